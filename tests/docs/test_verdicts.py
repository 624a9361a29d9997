"""docs/results holds the full studies, and its page says what they found."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from scripts import load_script

from minift.studies.page import results_of, write_results
from minift.studies.study import Study
from minift.studies.verdict import verdict_of

DOCS = Path(__file__).parents[2] / "docs"


verdicts = load_script("docs/verdicts.py")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def test_the_page_says_what_the_results_say() -> None:
    assert (DOCS / "results" / "README.md").read_text(encoding="utf-8") == verdicts.page()


@pytest.mark.parametrize("study", verdicts.STUDIES, ids=lambda study: study.name)
def test_a_study_stands_in_full_and_is_judged_by_the_rule_of_today(
    study: Study, tmp_path: Path
) -> None:
    path = DOCS / "results" / study.name / "results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    measured = content["measured"]
    assert measured["form"] == "full"
    assert measured["settings"] == json.loads(json.dumps(asdict(study.settings)))
    assert measured["seeds"] == list(range(100, 100 + study.seeds))  # as the page says
    grid = [{**cell, "seed": seed} for cell in study.cells(study.settings)
            for seed in measured["seeds"]]  # fmt: skip
    ran = [each["cell"] for each in measured["cells"]]
    assert sorted(map(str, ran)) == sorted(map(str, grid))
    assert content["verdict"] == verdict_of(study.judge(results_of(measured)))
    write_results(study, measured, tmp_path)
    # Another machine may round the last digit otherwise.
    for name in ("results.json", "report.html"):
        drawn, kept = (
            (folder / name).read_text(encoding="utf-8") for folder in (tmp_path, path.parent)
        )
        assert NUMBER.split(drawn) == NUMBER.split(kept)
        for found, expected in zip(NUMBER.findall(drawn), NUMBER.findall(kept)):
            if found != expected:
                last_digit = 10.0 ** -len(expected.partition("e")[0].partition(".")[2])
                assert abs(float(found) - float(expected)) < 1.1 * max(last_digit, 1e-9)
