"""docs/results holds the full studies, and its page says what they found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scripts import load_script

from minift.studies.page import results_of, write_results
from minift.studies.study import Study
from minift.studies.verdict import verdict_of

DOCS = Path(__file__).parents[2] / "docs"


verdicts = load_script("docs/verdicts.py")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
DONE = [study for study in verdicts.STUDIES if verdicts.path_of(study).exists()]


def test_the_page_says_what_the_results_say() -> None:
    assert (DOCS / "results" / "README.md").read_text(encoding="utf-8") == verdicts.page()


@pytest.mark.parametrize("study", DONE, ids=lambda study: study.name)
def test_a_study_stands_in_full_and_is_judged_by_the_rule_of_today(
    study: Study, tmp_path: Path
) -> None:
    path = verdicts.path_of(study)
    content = json.loads(path.read_text(encoding="utf-8"))
    measured = content["measured"]
    assert measured["form"] == "full"
    assert len(measured["seeds"]) >= study.seeds
    assert content["verdict"] == verdict_of(study.judge(results_of(measured)))
    write_results(study, measured, tmp_path)
    # Another machine may round the last digit otherwise; the page shows four at most.
    for name, last_digit in (("results.json", 1e-9), ("report.html", 0.11)):
        drawn, kept = (
            (folder / name).read_text(encoding="utf-8") for folder in (tmp_path, path.parent)
        )
        assert NUMBER.split(drawn) == NUMBER.split(kept)
        found, expected = (list(map(float, NUMBER.findall(text))) for text in (drawn, kept))
        assert found == pytest.approx(expected, rel=1e-6, abs=last_digit)
