"""What the pages link to is there; where a page names a test, that test exists.

Only links within the repository: others could not be followed without a network.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)[^)]*\)")
TRAPS = (ROOT / "docs" / "traps.md").read_text(encoding="utf-8")


def links(text: str) -> list[tuple[str, str]]:
    """(words, target) of each link to a file."""
    return [found for found in LINK.findall(text) if "://" not in found[1]]


def traps() -> dict[str, str]:
    """What is wrong -> the paragraph about it."""
    paragraphs = re.split(r"\n\s*\n", TRAPS)
    opened = [re.match(r"\*\*(.+?)\*\*", text, re.DOTALL) for text in paragraphs]
    return {found[1]: text for found, text in zip(opened, paragraphs) if found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    missing = [
        target
        for _, target in links(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not missing


@pytest.mark.parametrize("trap", traps())
def test_a_trap_names_a_test_that_is_there(trap: str) -> None:
    named = [(words, target) for words, target in links(traps()[trap]) if "tests/" in target]
    assert named
    for test, target in named:
        code = (ROOT / "docs" / target).read_text(encoding="utf-8")
        assert f"def {test}(" in code
