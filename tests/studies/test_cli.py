"""The command `study`, with the toy study and with those of the scripts."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from minift.recipes.cli import SHARED_DEFAULTS, run, shared_flags
from minift.studies import cv, nlp
from minift.studies.cli import study_command, study_flags
from minift.studies.runner import CellError
from minift.training import NonFiniteLossError

Run = Callable[..., None]


@pytest.fixture
def command(toy: ModuleType, tmp_path: Path) -> Run:
    """Run the command with the toy study as the only one there is, as the scripts do."""
    studies = [toy.study(toy.Settings(str(tmp_path / "notes")))]

    def call(*argv: str) -> None:
        parser = argparse.ArgumentParser(parents=[shared_flags()])
        parser.add_argument("--quick", action="store_true")
        parser.add_argument("--seeds", type=int)
        commands = parser.add_subparsers(dest="command")
        commands.add_parser("study", parents=[shared_flags(), study_flags()])
        before = argparse.Namespace(**{**SHARED_DEFAULTS, "out": tmp_path / "runs"})
        args = parser.parse_args([*argv, "--no-progress", "--workers", "1"], before)
        study_command(studies, "toy.py")(args)

    return call


def noted(tmp_path: Path) -> int:
    return len((tmp_path / "notes").read_text().splitlines())


def test_list_names_the_studies_and_their_claims(
    command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    command("study", "list")
    assert capsys.readouterr().out == "toy\n    The new method <beats> the old one.\n"


def test_a_study_prints_its_verdict_and_leaves_a_page(
    command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("study", "toy")
    printed = capsys.readouterr().out
    page = tmp_path / "runs" / "toy" / "report.html"
    assert "new, minus old" in printed
    assert "shown at this scale" in printed
    assert str(page) in printed
    assert "python toy.py study toy --seeds 3" in page.read_text()


def test_all_are_the_studies_there_are(command: Run, tmp_path: Path) -> None:
    command("study", "all")
    assert (tmp_path / "runs" / "toy" / "results.json").exists()


@pytest.mark.parametrize("argv", [["--quick", "study", "toy"], ["study", "toy", "--quick"]])
def test_the_small_form_stands_beside_the_full_one(
    argv: list[str], command: Run, tmp_path: Path
) -> None:
    command(*argv)
    page = (tmp_path / "runs" / "toy" / "quick" / "report.html").read_text()
    assert "quick form, 2 seeds" in page
    assert "study toy --quick --seeds 2" in page
    assert not (tmp_path / "runs" / "toy" / "report.html").exists()


def test_seeds_are_as_many_as_are_asked_for(command: Run, tmp_path: Path) -> None:
    command("study", "toy", "--seeds", "4", "--seed", "7")
    page = (tmp_path / "runs" / "toy" / "report.html").read_text()
    assert "7, 8, 9, 10" in page
    assert "--seeds 4 --seed 7" in page


def test_again_runs_what_is_finished_anew(command: Run, tmp_path: Path) -> None:
    for flags, number in (([], 9), ([], 9), (["--again"], 18)):
        command("study", "toy", *flags)
        assert noted(tmp_path) == number


def test_redraw_runs_nothing(command: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is missing: run the study first"):
        command("study", "toy", "--redraw")
    command("study", "toy")
    page = tmp_path / "runs" / "toy" / "report.html"
    page.unlink()
    command("study", "toy", "--redraw")
    assert page.exists()
    assert noted(tmp_path) == 9


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["study", "toi"], "study 'toi' is unknown; did you mean toy"),
        (["study", "zzz"], "study 'zzz' is unknown; there are toy, all and list"),
        (["study", "toy", "--device", "cuda"], "--device must be left out"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    argv: list[str],
    line: str,
    command: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(lambda _: command(*argv), "toy.py")
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cause", [OSError("disk full"), NonFiniteLossError(4, math.nan, 0.1)])
def test_what_is_no_fault_of_the_code_is_one_line_in_a_cell_too(
    cause: Exception, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CellError("toy seed=0 failed") from cause

    monkeypatch.setattr("minift.studies.cli.measure", fail)
    with pytest.raises(ValueError, match="toy seed=0 failed"):
        command("study", "toy")


def test_names_are_told_apart_and_are_no_other_words_of_the_command() -> None:
    studies = [*cv.STUDIES, *nlp.STUDIES]
    names = [study.name for study in studies]
    assert len({*names, "all", "list"}) == len(names) + 2  # both scripts write to one folder
    assert all(type(study.settings) is type(study.quick) for study in studies)
