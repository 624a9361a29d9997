"""The benchmarks run, and both sides of a row do the same work; how fast is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytestmark = pytest.mark.parity  # minutes of imports in fresh processes
ROOT = Path(__file__).parents[2]


def test_every_side_is_timed_in_every_round(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--threads", "1", "--rounds", "2"]
    out = tmp_path / "results.json"

    done = subprocess.run(
        [*command, "--only", "adam", "loading", "--out", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())["results"]
    for sides in results.values():
        assert all(len(side["seconds"]) == 2 and side["memory"] > 0 for side in sides.values())
    assert "torch, fused" in done.stdout
    # The sum of all weights of the folder that both have read.
    assert results["loading"]["minift"]["figure"] == pytest.approx(
        results["loading"]["transformers"]["figure"], rel=1e-6
    )


def test_a_side_that_fails_is_named():
    code = (
        "from benchmarks import runner\n"
        "from benchmarks.adam import WORKLOAD\n"
        "WORKLOAD.sides['no such side'] = None\n"
        "runner.measure('adam', runner.Settings(rounds=1, threads=1, is_quick=True))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: adam: no such side ended with status 1" in done.stderr
