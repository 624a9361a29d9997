"""results.json of a story has what its table shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minift.recipes import story_cv, story_nlp
from minift.recipes.story_results import write_results


def test_numbers_of_the_table_stand_in_the_file(tmp_path: Path) -> None:
    shapes = story_cv.Row("100 new shapes", "fine-tune all", [0.5, 0.7], reached=[40, None])
    shapes.curve = [(1, 0.2)]
    sentiment = story_nlp.Row("sentiment", "pretrained", [0.9], chance=0.5, num_labels=128)
    write_results(tmp_path / "results.json", story_cv.QUICK, [shapes, sentiment], seconds=12.5)

    content = json.loads((tmp_path / "results.json").read_text())
    pictures, text = content["rows"]
    assert pictures["score"] == pytest.approx(0.6)
    assert pictures["sd"] == pytest.approx(0.1414, abs=1e-4)
    assert pictures["reached"] == [40, None]
    assert (text["score"], text["chance"], text["num_labels"]) == (0.9, 0.5, 128)
    assert "curve" not in pictures
    assert content["seconds"] == 12.5
    assert content["settings"]["num_source"] == story_cv.QUICK.num_source
