"""docs/draw.py makes the pictures that the pages of the course show."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    return load_script("docs/draw.py")


def test_every_picture_of_the_course_is_drawn_by_it(draw: ModuleType) -> None:
    shown = {
        name
        for page in (DOCS / "course").glob("*.md")
        for name in re.findall(r"\(pictures/(.+?)\.(?:png|svg)\)", page.read_text("utf-8"))
    }
    assert shown <= {*draw.PICTURES, *draw.DRAWINGS}


def test_filters_are_drawn_as_they_stand_in_the_course(draw: ModuleType, tmp_path: Path) -> None:
    drawn = draw.save("filters", tmp_path).read_bytes()
    assert drawn == (DOCS / "course" / "pictures" / "filters.png").read_bytes()


def test_a_drawing_is_the_same_file_each_time(draw: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first = draw.save("step-scale", tmp_path).read_bytes()
    assert draw.save("step-scale", tmp_path).read_bytes() == first
