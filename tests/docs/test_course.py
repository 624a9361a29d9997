"""Every page of the course has its parts, its commands parse, and its answers are right.

A reader types a page's answers into one session, from top to bottom; so does the test.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "course"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
PARTS = ("idea", "code", "command", "picture")
EXERCISES = 3
ANSWER = re.compile(r"<details><summary>Answer</summary>(.*?)</details>", re.DOTALL)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^    python (train_\w+)\.py (.*)$", re.MULTILINE)
COMMANDS = [
    (page, script, flags)
    for page in PAGES
    for script, flags in COMMAND.findall(page.read_text(encoding="utf-8"))
]


def answers(page: Path) -> list[str]:
    """The code of a page's answers."""
    text = page.read_text(encoding="utf-8")
    return ["\n".join(BLOCK.findall(answer)) for answer in ANSWER.findall(text)]


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    """The two scripts, which are no part of the installed package."""
    return {name: load_script(f"{name}.py") for name in ("train_cv", "train_nlp")}


def named(value: object) -> str:
    return value.stem if isinstance(value, Path) else str(value)


def test_the_contents_lists_every_page_in_order() -> None:
    listed = re.findall(r"\((\d\d-.*?\.md)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert listed == [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_has_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [part for part in PARTS if f"**The {part}.**" not in text] == []
    assert [script for place, script, _ in COMMANDS if place == page]
    picture = text.partition("**The picture.**")[2].partition("**Exercises.**")[0]
    assert re.search(r"!\[.+\]\(pictures/|study [a-z-]+ --quick", picture)
    assert [bool(re.search(r"^ *assert |assert_close|raises", code, re.MULTILINE))
            for code in answers(page)] == [True] * EXERCISES  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_answers_are_right(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    for number, code in enumerate(answers(page), 1):
        exec(compile(code, f"{page.name}, answer {number}", "exec"), session)


@pytest.mark.parametrize(("page", "script", "flags"), COMMANDS, ids=named)
def test_a_command_is_one(
    scripts: dict[str, ModuleType], page: Path, script: str, flags: str
) -> None:
    assert scripts[script].parse(shlex.split(flags)).run
