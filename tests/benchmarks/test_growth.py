"""The growth of cost: its exponents, and that the steps do the work that their sizes say."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def growth(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # the benchmarks are not part of the package
    return importlib.import_module("benchmarks.growth")


def test_the_exponent_tells_linear_from_quadratic(growth):
    cells = importlib.import_module("benchmarks.report").cells
    points = [growth.Point(size, [99.0, size**2 / 100, 0.0], size, 50.0) for size in (10, 20, 80)]

    rows = [cells(growth.COLUMNS, row) for row in growth.rows("step", "length", points)]

    assert rows == [
        ["step", "length", "10", "1", "", "100000", "50", ""],
        ["step", "length", "20", "4", "2.00", "200000", "50", "0.00"],
        ["step", "length", "80", "64", "2.00", "800000", "50", "0.00"],
    ]


@pytest.mark.parametrize("model", ["BERT", "GPT"])
def test_a_step_computes_what_its_sizes_say(growth, model):
    profile = importlib.import_module("benchmarks.profile")
    sizes = growth.Sizes(length=16, batch=2, width=64, vocabulary=128)

    def power(**larger: int) -> float:
        """The exponent of the operations in the size that is doubled."""
        before, after = (
            profile.matrix_flops(growth.MODELS[model](each))
            for each in (sizes, replace(sizes, **larger))
        )
        return growth.exponent(2, after / before)

    assert power(batch=4) == pytest.approx(1)
    assert 1 < power(length=32) < 1.3  # attention's share is quadratic
    assert 1.8 < power(width=128) < 2
    assert 0 < power(vocabulary=256) < 0.3


def test_a_corpus_is_as_large_as_it_says_and_ends_in_a_whole_character(growth, tmp_path):
    path = tmp_path / "corpus.txt"
    growth.write_corpus(path, "xäö\n", 16)
    assert path.read_text(encoding="utf-8") == "xäö\nxäö\nxä"  # half of the ö is left out


@pytest.mark.parity  # fresh processes
@pytest.mark.parametrize(
    ("study", "name", "row"),
    [
        ("profile", "adam", "| adam |"),
        ("growth", "length", "| GPT step | length | 128 |"),
        ("growth", "corpus", "| token shards | corpus, MB | 10 |"),
    ],
)
def test_a_study_prints_its_table_and_writes_it(study, name, row, tmp_path):
    command = [sys.executable, "-m", "benchmarks", study, "--quick", "--threads", "1"]

    done = subprocess.run(
        [*command, "--rounds", "1", "--only", name, "--out", tmp_path / "new"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert row in (tmp_path / "new" / "tables.md").read_text()
    assert name in json.loads((tmp_path / "new" / "results.json").read_text())["workloads"]
