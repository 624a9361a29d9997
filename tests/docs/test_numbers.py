"""Every measured number that README and docs quote stands in a results.json.

A section of a page names the files its numbers are from, in a comment that the page does not show:
folders of docs/results, or JSON files by their path.

    <!-- figures: target-size story-cv minift/weights/word2vec/config.json -->

An item of a list may have such a comment of its own; one that begins with the name of a study is
about that study alone.

What counts as measured: percentages, numbers with decimals, and whole numbers before a unit such as
seconds or times; in prose and in tables, not in code. (A rate of 1e-3 is none.) What a section
states without having measured it (15% of the tokens are masked) it lists as given, or says that all
of it is:

    <!-- given: 15% 80% -->      (points as percentages)
    <!-- given: all, numbers of sections -->

A number is found if one of the files has a figure that rounds to it. Of a study these are its
findings, means, deviations, intervals and levels, and not its thousand single runs, among which any
two digits would be found; a number that is no percentage may also be a setting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PAGES = [  # what is below docs/results is written from its files
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if not page.is_relative_to(RESULTS)
]
COMMENT = re.compile(r"<!-- (figures|given): (.*?) -->", re.DOTALL)
ITEM = re.compile(r"^- .*\n(?:(?:  .*)?\n)*", re.MULTILINE)  # with its indented lines
STUDY = re.compile(r"- \*\*`([\w-]+)`:")
UNHEARD = re.compile(  # answers, code, links' targets: what no reader takes for a measurement
    r"<details>.*?</details>|`[^`\n]*`|\]\([^)]*\)|<!--.*?-->",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(
    r"(?<![\w.,/-])[+-]?\d[\d,]*"
    r"(?:\.\d+(?:e-?\d+|%)?|%| (?=seconds|minutes|times|MB\b))(?![\d-]|\.\d)"
)


def path_of(name: str) -> Path:
    return ROOT / name if name.endswith(".json") else RESULTS / name / "results.json"


def parts(text: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """The page without its code, cut before each heading and item, with what holds for the part."""
    prose = re.sub(r"^```.*?^```$", " ", text, flags=re.DOTALL | re.MULTILINE)
    for section in re.split(r"^(?=#+ )", prose, flags=re.MULTILINE):
        around = ITEM.sub("\n", section)
        said = named(around)
        yield around, said
        for item in ITEM.findall(section):
            study = STUDY.match(item)
            own = {"figures": [study[1]], "given": said["given"]} if study else said
            yield item, named(item) if COMMENT.search(item) else own


def named(text: str) -> dict[str, list[str]]:
    """The words of the comments, by their kind."""
    words: dict[str, list[str]] = {"figures": [], "given": []}
    for kind, listed in COMMENT.findall(text):
        words[kind] += listed.split()
    return words


def quoted(part: str) -> list[str]:
    """The measured numbers of a part as they are written, but points as percentages."""
    prose = re.sub(r"(?<=\d)\s+(to|and)\s+([\d.]+)\s+points\b", r"% \1 \2%", UNHEARD.sub(" ", part))
    prose = re.sub(r"(?<=\d)\s+points\b", "%", prose)
    kept = [
        line
        for block in re.split(r"\n\s*\n", prose)
        for line in block.splitlines()
        # Indented blocks are commands, unless a rule under their first line makes them a table.
        if not line.startswith("    ") or re.search(r"^ +---", block, re.MULTILINE)
    ]
    return [found.strip() for found in NUMBER.findall("\n".join(kept))]


def figures(content: Any, without: tuple[str, ...]) -> Iterator[float]:
    """All numbers of a results.json but those under these keys."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in without:
                yield from figures(value, without)
    elif isinstance(content, list):
        for value in content:
            yield from figures(value, without)
    elif isinstance(content, (int, float)) and not isinstance(content, bool):
        yield content


def is_among(number: str, contents: list[Any]) -> bool:
    """Whether a figure of one of the files rounds to what is written."""
    digits = number.strip("+-%").replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    form = f".{len(mantissa.partition('.')[2])}{'e' if exponent else 'f'}"
    is_share = number.endswith("%")
    without = ("measured",) if is_share else ("cells", "ingredients", "versions")
    known = (abs(figure) for content in contents for figure in figures(content, without))
    return float(digits) in {
        float(f"{figure * (100 if is_share else 1):{form}}") for figure in known
    }


def test_numbers_are_told_from_code_and_names() -> None:
    prose = (
        "89.5% in 301 seconds, 1.2e-6 off, at a rate of 1e-3, `lr 0.1`, GPT-2, 10 pictures, 2.13.0"
    )
    page = f"# A\n\n{prose}\n\n    --lr 0.3\n\n    a  b\n    ---\n    c  0.5\n"
    assert quoted(page) == ["89.5%", "301", "1.2e-6", "0.5"]
    assert quoted("3 to 4.5 points, and -2\npoints") == ["3%", "4.5%", "-2%"]


def test_a_number_is_found_by_what_it_rounds_to() -> None:
    assert is_among("76.4%", [{"mean": -0.76441}])
    assert is_among("301", [[300.8], [1.0]])
    assert is_among("1.3e-6", [1.34e-6])
    assert not is_among("76.5%", [0.76441])
    assert not is_among("5%", [5])
    assert not is_among("1.3e-6", [1.36e-6])


def test_single_runs_are_no_figures_and_settings_no_percentages() -> None:
    content = {"measured": {"settings": {"rate": 0.25}, "cells": [{"accuracy": 0.5}]}}
    assert is_among("0.25", [content])
    assert not is_among("25%", [content])
    assert not is_among("0.5", [content])


def test_an_item_of_a_list_may_name_its_own_file() -> None:
    page = """# A

<!-- figures: frozen -->
First.
- **`layers`: one.** 1.5
- two <!-- figures: tuning
  story-cv -->
- three

After the list.
"""
    files = [said["figures"] for _, said in parts(page)]
    assert files == [[], ["frozen"], ["layers"], ["tuning", "story-cv"], ["frozen"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_quoted_numbers_stand_in_their_results(page: Path) -> None:
    lost = []
    for part, said in parts(page.read_text(encoding="utf-8")):
        if "all," not in said["given"]:
            paths = map(path_of, said["figures"])
            contents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            numbers = [number for number in quoted(part) if number not in said["given"]]
            lost += [number for number in numbers if not is_among(number, contents)]
    assert not lost
