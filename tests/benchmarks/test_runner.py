"""The benchmarks run, and refuse sides that do other work; how fast they are is not tested."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # the benchmarks are not part of the package
    return importlib.import_module("benchmarks.runner")


@pytest.fixture
def report(runner):
    return importlib.import_module("benchmarks.report")


def timed(runner, seconds=(1.0,), figures=(2.5, 2.5), memory=100.0, **same):
    return runner.Timed(list(seconds), list(figures), memory, same)


def test_sides_with_equal_counts_and_nearly_equal_losses_do_the_same_work(runner):
    ours, peer = timed(runner, weights=7, loss=9.01), timed(runner, weights=7, loss=9.011)
    runner.require_same_work(runner.Row("step", "minift", "peer"), ours, peer, is_exact=True)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"weights": 10_001}, "weights is 10000 for minift, 10001 for peer"),
        ({"weights": 10_000, "tokens": 3}, "tokens is nan for minift, 3 for peer"),
        ({"weights": 10_000, "figures": (2.6, 2.5)}, "first figure is 2.5 for minift, 2.6 for"),
    ],
)
def test_a_peer_that_does_other_work_is_refused(runner, other, what):
    ours, peer = timed(runner, weights=10_000), timed(runner, **other)
    row = runner.Row("step", "minift", "peer")
    with pytest.raises(runner.DifferentWorkError, match=what):
        runner.require_same_work(row, ours, peer, is_exact=True)


def test_the_first_figure_may_differ_where_chance_decides(runner):
    ours, peer = timed(runner, figures=(2.5,)), timed(runner, figures=(2.6,))
    runner.require_same_work(runner.Row("step", "minift", "peer"), ours, peer, is_exact=False)


def test_the_ratio_is_the_median_over_the_rounds(runner):
    # In the second round the machine was slow for both sides, in the third for ours alone.
    ours, peer = timed(runner, (1.0, 3.0, 9.0)), timed(runner, (2.0, 6.0, 2.0))
    assert runner.ratio(ours, peer) == 2.0


def test_a_side_whose_package_is_not_there_is_left_out_with_the_reason(runner, report):
    sides = {
        "minift": runner.Side(lambda _: None),
        "peer": runner.Side(lambda _: None, ("nowhere",)),
    }
    workload = runner.Workload(sides, [runner.Row("step", "minift", "peer")])
    assert runner.lacking(sides["minift"]) is None
    assert report.left_out(workload) == ["step beside peer: left out, nowhere is not installed"]
    assert report.lines(workload, {"minift": timed(runner)}) == []


def test_the_table_has_medians_ratio_memory_and_figures(runner, report):
    row = runner.Row("step", "minift", "peer", 1.2, reach_memory=0.7)
    workload = runner.Workload({}, [row])
    sides = {
        "minift": timed(runner, (1.0, 1.0, 4.0), (9.9, 2.0, 4.0)),
        "peer": timed(runner, (2.0, 3.0, 2.0), (9.9, 3.5), memory=200.0),
    }
    rows = report.lines(workload, sides)
    assert [report.cells(report.COLUMNS, row) for row in rows] == [
        ["step", "peer", "1.000", "2.000", "2.00", "1.2", "100", "200", "0.50", "0.7", "3", "3.5"]
    ]


def test_a_cell_is_empty_without_a_value_and_a_bar_in_it_parts_no_cells(report):
    columns = {"text": str, "beside": str, "ratio": "{:.1f}".format}
    cells = report.cells(columns, {"text": "a|b", "beside": None})
    assert report.markdown(columns, [cells]).splitlines() == [
        "| text | beside | ratio |",
        "| --- | --- | ---: |",
        r"| a\|b |  |  |",
    ]


def test_the_results_hold_in_full_what_the_tables_round(report, monkeypatch, tmp_path, capsys):
    main = importlib.import_module("benchmarks.__main__")
    part = report.Part([{"work": "step", "ratio": 2 / 3}], ["a note"], {"seconds": [0.1]})
    columns = {"work": str, "beside": str, "ratio": "{:.2f}".format}
    study = report.Study(("one", "two"), columns, "what it is", lambda *_: part)
    monkeypatch.setitem(main.STUDIES, "table", study)
    out, data = tmp_path / "new" / "out", tmp_path / "data"
    arguments = ["benchmarks", "--data-dir", str(data), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)

    main.main()

    text, table = (out / "results.json").read_text(), (out / "tables.md").read_text()
    one = {"rows": [{"work": "step", "ratio": 2 / 3}], "seconds": [0.1]}
    assert json.loads(text)["workloads"] == {"one": one, "two": one}
    assert str(tmp_path) not in text + table
    assert table.count("| step |  | 0.67 |") == 2
    assert table.endswith("\n\na note\n")


@pytest.mark.parametrize("name", ["__main__", "parity"])
def test_a_file_is_no_place_for_the_results(runner, monkeypatch, tmp_path, capsys, name):
    path = tmp_path / "all.md"
    path.write_text("kept")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--out", str(path)])

    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(f"benchmarks.{name}").main()

    assert stopped.value.code == 2
    assert "--out must be a folder, got the file" in capsys.readouterr().err


def test_every_row_has_its_sides(runner, monkeypatch):
    main = importlib.import_module("benchmarks.__main__")
    for name in main.WORKLOADS:
        workload = runner.load(name)
        for row in workload.rows:
            assert {row.ours, row.peer} <= workload.sides.keys()
            assert row.ours.startswith("minift")


@pytest.mark.parity  # fresh processes, which import much
def test_a_run_prints_the_table_and_writes_it(tmp_path):
    pytest.importorskip("transformers")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--threads", "1", "--rounds", "2"]

    done = subprocess.run(
        [*command, "--only", "adam", "loading", "--out", tmp_path / "new"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    workloads = json.loads((tmp_path / "new" / "results.json").read_text())["workloads"]
    for workload in workloads.values():
        for side in workload["sides"].values():
            assert len(side["seconds"]) == 2
            assert len(side["figures"]) == 3
            assert side["memory"] > 0
        assert workload["rows"][0]["ratio"] > 0
    table = (tmp_path / "new" / "tables.md").read_text()
    assert "| 20 AdamW steps | torch, fused |" in table
    assert "| loading BERT-base | transformers |" in table
    assert "torch, fused" in done.stdout


@pytest.mark.parity
@pytest.mark.parametrize("name", ["bert", "generation", "t5", "resnet", "frozen"])
def test_the_sides_of_a_row_do_the_same_work(name, tmp_path):
    """Otherwise the run ends with a DifferentWorkError."""
    for package in ("transformers", "timm", "torchvision", "safetensors"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "benchmarks", "--quick", "--threads", "1", "--rounds", "1"]

    done = subprocess.run(
        [*command, "--only", name, "--out", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parity
def test_a_side_that_fails_is_named():
    code = (
        "from benchmarks import runner\n"
        "from benchmarks.adam import WORKLOAD\n"
        "WORKLOAD.sides['no such side'] = runner.Side(None)\n"
        "runner.measure('adam', WORKLOAD, runner.Settings(rounds=1, threads=1, is_quick=True))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: adam: no such side ended with status 1" in done.stderr
