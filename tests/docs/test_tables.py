"""The tables of the benchmarks stand in their pages as they were written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "speed": "performance.md",
    "profile": "performance.md",
    "growth": "performance.md",
    "parity": "parity.md",
}
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_tables_that_were_measured(name: str) -> None:
    page = (DOCS / PAGES[name]).read_text(encoding="utf-8")
    tables = TABLE.findall((DOCS / "results" / name / "tables.md").read_text(encoding="utf-8"))
    assert tables
    assert [table for table in tables if table not in page] == []
