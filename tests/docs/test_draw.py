"""docs/draw.py makes the pictures that the pages of the course show."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = sorted((DOCS / "course" / "pictures").iterdir())
COMPUTED = {"attention", "words"}  # by a model, whose last digits hang on the processor
SAME = [picture for picture in SHOWN if picture.stem not in COMPUTED]


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    return load_script("docs/draw.py")


def test_the_course_shows_every_picture_and_all_are_drawn_by_it(draw: ModuleType) -> None:
    shown = {
        name
        for page in (DOCS / "course").glob("*.md")
        for name in re.findall(r"\(pictures/(.+?)\)", page.read_text("utf-8"))
    }
    assert shown == {picture.name for picture in SHOWN}
    assert {picture.stem for picture in SHOWN} == {*draw.PICTURES, *draw.DRAWINGS}


@pytest.mark.parametrize("picture", SAME, ids=lambda path: path.stem)
def test_a_picture_is_drawn_as_it_stands_in_the_course(
    draw: ModuleType, picture: Path, tmp_path: Path
) -> None:
    kept = picture.read_bytes()
    if picture.suffix == ".svg":
        matplotlib = pytest.importorskip("matplotlib")
        if f"Matplotlib v{matplotlib.__version__},".encode() not in kept:
            pytest.skip("another matplotlib sets letters and lines elsewhere")
    assert draw.save(picture.stem, tmp_path).read_bytes() == kept


def test_a_drawing_is_the_same_file_each_time(draw: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first = draw.save("step-scale", tmp_path).read_bytes()
    assert draw.save("step-scale", tmp_path).read_bytes() == first
