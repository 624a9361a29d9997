"""What a study writes: every number as JSON, and a page that needs nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from minift.studies.page import combinations, flat, read_measured, results_of, write_results
from minift.studies.results import Results
from minift.studies.runner import measure
from minift.studies.study import Figure, Study


def written(toy: ModuleType, folder: Path, gain: float = 3.0, num_seeds: int = 3) -> Study:
    study: Study = toy.study(toy.Settings(str(folder / "notes"), gain))
    measured = measure(study, folder, seeds=range(num_seeds), progress=False)
    write_results(study, {**measured, "command": "python toy.py"}, folder)
    return study


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def content_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def test_the_page_says_all_there_is_to_say(toy: ModuleType, tmp_path: Path) -> None:
    written(toy, tmp_path)
    page = page_of(tmp_path)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert headings == [
        "The claim", "The verdict: shown at this scale", "The set-up", "The picture",
        "The numbers", "To repeat it",
    ]  # fmt: skip
    for text in (
        "The new method &lt;beats&gt; the old one.", "Source: Nobody 2000", "Numbers are drawn.",
        "Shown if the gain is above 0.", "A finding is shown if", "new, minus old", "above 0",
        "95% interval", "standard deviation", "<svg", "chance", "0.10", "python toy.py", "torch",
        "make-trunk",
    ):  # fmt: skip
        assert text in page, text
    HTMLParser().feed(page)


def test_the_page_asks_the_network_for_nothing(toy: ModuleType, tmp_path: Path) -> None:
    written(toy, tmp_path)
    assert not re.search(r"https?:|@import|url\(|<script|<link|<iframe", page_of(tmp_path))


def test_the_verdict_follows_the_numbers(toy: ModuleType, tmp_path: Path) -> None:
    for gain, verdict in ((3.0, "shown"), (0.0, "not shown"), (-3.0, "reversed")):
        written(toy, tmp_path / verdict, gain)
        assert f"The verdict: {verdict} at this scale" in page_of(tmp_path / verdict)
        assert content_of(tmp_path / verdict)["verdict"] == verdict


def test_the_file_has_every_number_seed_setting_and_version(
    toy: ModuleType, tmp_path: Path
) -> None:
    written(toy, tmp_path)
    content = content_of(tmp_path)
    measured = content["measured"]
    assert measured["seeds"] == [0, 1, 2]
    assert measured["settings"] == {"notes": str(tmp_path / "notes"), "gain": 3.0}
    assert {"code", "python", "torch", "numpy", "processor"} <= measured["versions"].keys()
    scores = results_of(measured).by_seed("score", method="new")
    (new,) = [each for each in content["summary"] if each["method"] == "new"]
    assert new["mean"] == pytest.approx(sum(scores.values()) / 3)
    assert new["low"] == pytest.approx(min(scores.values()))
    assert new["chance"] == pytest.approx(0.1)
    assert content["findings"][0]["outcome"] == "shown"


def test_one_seed_has_no_interval_and_no_verdict(toy: ModuleType, tmp_path: Path) -> None:
    written(toy, tmp_path, num_seeds=1)
    assert content_of(tmp_path)["findings"][0]["low"] is None
    assert content_of(tmp_path)["verdict"] == "not shown"
    assert "nan" not in page_of(tmp_path)


def test_the_page_says_what_few_seeds_can_give(toy: ModuleType, tmp_path: Path) -> None:
    said = {}
    for num_seeds in (2, 4, 5):
        written(toy, tmp_path / f"{num_seeds}", num_seeds=num_seeds)
        said[num_seeds] = re.findall(
            r"about (\d+)% of the time", page_of(tmp_path / f"{num_seeds}")
        )
    assert said == {2: ["50"], 4: ["88"], 5: []}


def test_the_page_is_made_anew_from_the_file(toy: ModuleType, tmp_path: Path) -> None:
    study = written(toy, tmp_path)
    page = page_of(tmp_path)
    write_results(study, read_measured(tmp_path), tmp_path)
    assert page_of(tmp_path) == page


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_file_of_another_kind_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"results.json must be the results of a study"):
        read_measured(tmp_path)
    with pytest.raises(ValueError, match="is missing: run the study first"):
        read_measured(tmp_path / "nowhere")


def test_nested_settings_are_listed_one_by_one() -> None:
    settings = {"source": {"epochs": 3}, "tasks": ["a", "b"], "lr": 0.1}
    assert dict(flat(settings)) == {"source epochs": 3, "tasks": "a, b", "lr": 0.1}


def test_tables_are_in_the_order_of_their_factors() -> None:
    rows = [{"ids": i, "task": t, "score": 1.0} for i in ("own", "other") for t in ("b", "a")]
    rows.append({"ids": "own", "task": "c", "seconds": 1.0})
    found = combinations(Results(rows), Figure("score", ""), ("task", "ids"))
    assert [tuple(each.values()) for each in found] == [
        ("b", "own"), ("b", "other"), ("a", "own"), ("a", "other"),
    ]  # fmt: skip


def test_a_table_has_the_factors_that_its_rows_have() -> None:
    rows = [{"method": m, "stage": s, "distance": 1.0} for m in ("a", "b") for s in (0, 1)]
    rows += [{"method": m, "loss": 1.0} for m in ("a", "b")]
    factors = ("method", "stage")
    assert combinations(Results(rows), Figure("loss", ""), factors) == [
        {"method": "a"}, {"method": "b"},
    ]  # fmt: skip
    assert len(combinations(Results(rows), Figure("distance", ""), factors)) == 4
