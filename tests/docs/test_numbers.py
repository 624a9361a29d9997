"""Every measured number that README and docs quote stands in a results.json.

A section of a page names the files its numbers are from, in a comment that the page does not show:
folders of docs/results, or JSON files by their path.

    <!-- figures: target-size story-cv minift/weights/word2vec/config.json -->

What counts as measured: percentages, numbers with decimals, and whole numbers before a unit such as
seconds or times; in prose and in tables, not in code. (A rate of 1e-3 is none.) What a section
states without having measured it (15% of the tokens are masked) it lists as given, or says that all
of it is:

    <!-- given: 15% 80% -->      (points as percentages)
    <!-- given: all, numbers of sections -->

A number is found if one of the files has a figure that rounds to it. Of a study these are its
findings, means, deviations, intervals, levels and settings, and not its thousand single runs, among
which any two digits would be found.
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
BY_HAND = {"parity.md", "performance.md"}  # tables that the benchmarks print, put there by hand
PAGES = [  # that of docs/results is compared as a whole, in test_verdicts.py
    page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if page.name not in BY_HAND and page.parent != RESULTS
]
COMMENT = re.compile(r"<!-- (figures|given): (.*?) -->")
UNHEARD = re.compile(  # answers, code, links' targets: what no reader takes for a measurement
    r"<details>.*?</details>|`[^`\n]*`|\]\([^)]*\)|<!--.*?-->",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(
    r"(?<![\w.,/-])[+-]?\d[\d,]*"
    r"(?:\.\d+(?:e-?\d+|%)?|%| (?=seconds|minutes|times|MB\b))(?![\d-])"
)


def path_of(name: str) -> Path:
    return ROOT / name if name.endswith(".json") else RESULTS / name / "results.json"


def sections(text: str) -> Iterator[str]:
    """The page without its code, cut before each heading."""
    prose = re.sub(r"^```.*?^```$", " ", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.split(r"^(?=#+ )", prose, flags=re.MULTILINE)


def quoted(section: str) -> list[str]:
    """The measured numbers of a section as they are written, but points as percentages."""
    prose = re.sub(r"(?<=\d)\s+points\b", "%", UNHEARD.sub(" ", section))
    kept = [
        line
        for block in re.split(r"\n\s*\n", prose)
        for line in block.splitlines()
        # Indented blocks are commands, unless a rule under their first line makes them a table.
        if not line.startswith("    ") or re.search(r"^ +---", block, re.MULTILINE)
    ]
    return [found.strip() for found in NUMBER.findall("\n".join(kept))]


def figures(content: Any) -> Iterator[float]:
    """All numbers of a results.json but those of single runs."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in ("cells", "ingredients", "versions"):
                yield from figures(value)
    elif isinstance(content, list):
        for value in content:
            yield from figures(value)
    elif isinstance(content, (int, float)) and not isinstance(content, bool):
        yield content


def is_among(number: str, known: set[float]) -> bool:
    """Whether a figure rounds to what is written; a share may be written as a percentage."""
    digits = number.strip("+-%").replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    form = f".{len(mantissa.partition('.')[2])}{'e' if exponent else 'f'}"
    scale = 100 if number.endswith("%") else 1
    written = {float(f"{abs(figure) * factor:{form}}") for figure in known for factor in (1, scale)}
    return float(digits) in written


def test_numbers_are_told_from_code_and_names() -> None:
    prose = "89.5% in 301 seconds, 1.2e-6 off, at a rate of 1e-3, `lr 0.1`, GPT-2, 10 pictures"
    page = f"# A\n\n{prose}\n\n    --lr 0.3\n\n    a  b\n    ---\n    c  0.5\n"
    assert quoted(page) == ["89.5%", "301", "1.2e-6", "0.5"]


def test_a_number_is_found_by_what_it_rounds_to() -> None:
    assert is_among("76.4%", {0.76441})
    assert is_among("301", {300.8})
    assert is_among("1.3e-6", {1.34e-6})
    assert not is_among("76.5%", {0.76441})
    assert not is_among("1.3e-6", {1.36e-6})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_quoted_numbers_stand_in_their_results(page: Path) -> None:
    lost = []
    for section in sections(page.read_text(encoding="utf-8")):
        named = {"figures": "", "given": ""}
        for kind, words in COMMENT.findall(section):
            named[kind] += f" {words}"
        paths = [path_of(name) for name in named["figures"].split()]
        known = {
            figure for path in paths for figure in figures(json.loads(path.read_text("utf-8")))
        }
        given = named["given"].split()
        if "all," in given:
            continue
        lost += [n for n in quoted(section) if n not in given and not is_among(n, known)]
    assert not lost
