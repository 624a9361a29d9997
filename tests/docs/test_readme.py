"""The README's code runs, its commands parse, and its table of weights is that of the files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from scripts import load_script

import minift
from minift.shipped import WEIGHTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^    python train_(cv|nlp)\.py\b *(.*)$", re.MULTILINE)
TOPICS = re.compile(r"^\| topic, `python train_(cv|nlp)\.py` .*\n((?:\|.*\n)+)", re.MULTILINE)
TO_TRY = re.compile(r"`([a-z][a-z-]+ [^`]*)`(?=[^|]*\|$)", re.MULTILINE)  # others are flags to add
COMMANDS = COMMAND.findall(TEXT) + [
    (script, flags) for script, table in TOPICS.findall(TEXT) for flags in TO_TRY.findall(table)
]
WEIGHTS_ROW = re.compile(r"^\| `([\w-]+)`.*?\| ([\d,]+) \| ([\d,]+) \|", re.MULTILINE)


def test_the_code_runs_and_scores_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = BLOCK.findall(TEXT)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "['embedding', 'block0', 'block1', 'block2', 'pooler']" in printed
    (accuracy,) = re.findall(r"'accuracy': (0\.\d+)", printed)
    assert float(accuracy) > 0.8


@pytest.mark.parametrize(("script", "flags"), COMMANDS)
def test_a_command_is_one(script: str, flags: str) -> None:
    assert load_script(f"train_{script}.py").parse(shlex.split(flags)).run


@pytest.mark.parametrize(("name", "weights", "size"), WEIGHTS_ROW.findall(TEXT))
def test_the_table_says_what_is_shipped(name: str, weights: str, size: str) -> None:
    model = minift.load(name)
    files = [path for path in (WEIGHTS / name).iterdir() if path.is_file()]
    assert f"{sum(p.numel() for p in model.parameters()):,}" == weights
    assert f"{sum(path.stat().st_size for path in files):,}" == size
