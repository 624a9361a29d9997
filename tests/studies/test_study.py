"""The description of a study, kept true: its example runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from textwrap import dedent

import pytest

from minift.studies.page import write_results
from minift.studies.runner import measure
from minift.studies.study import Study

IMPORTS = """
from dataclasses import dataclass
import torch
from minift.studies.study import Figure, Study
from minift.studies.verdict import above
"""


def test_the_example_in_the_docstring_is_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Study.__doc__ is not None
    example = dedent(Study.__doc__.partition("coins.py:\n")[2])
    (tmp_path / "coins.py").write_text(IMPORTS + example)
    monkeypatch.syspath_prepend(str(tmp_path))
    study = importlib.import_module("coins").STUDY

    measured = measure(study, tmp_path, seeds=range(study.seeds), progress=False)
    (finding,) = write_results(study, {**measured, "command": ""}, tmp_path)

    assert finding.outcome == "shown"
    assert finding.estimate.mean == pytest.approx(0.1, abs=0.02)
    assert "<svg" in (tmp_path / "report.html").read_text()
