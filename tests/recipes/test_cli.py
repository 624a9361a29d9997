"""Command lines: flags out of configurations, overrides, and errors in one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from minift.models.bert import BertConfig
from minift.models.resnet import ResNetConfig
from minift.models.t5 import T5Config
from minift.recipes.cli import (
    SHARED_DEFAULTS,
    add_config,
    at_least_one,
    config_from,
    config_overrides,
    field_comments,
    resume_file,
    run,
    shared_flags,
)
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.pretraining import PretrainConfig
from minift.training.loop import NonFiniteLossError


@dataclass(frozen=True)
class Config:
    num_steps: int = 10  # optimizer steps
    lr: float = 1e-3  # peak, in 100% of all cases
    head_lr: float | None = None  # None: lr
    betas: tuple[float, float] = (0.9, 0.98)
    is_tied: bool = True  # one matrix for both


def parsed(*argv: str, skip: Sequence[str] = (), **defaults: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_config(parser, Config, skip, **defaults)
    return parser.parse_args(argv)


def test_shared_flags_of_a_command_do_not_undo_what_stands_before_it() -> None:
    parser = argparse.ArgumentParser(parents=[shared_flags()])
    parser.add_subparsers(dest="command").add_parser("train", parents=[shared_flags()])

    def shared(*argv: str) -> dict[str, object]:
        args = parser.parse_args(argv, argparse.Namespace(**SHARED_DEFAULTS))
        return {name: getattr(args, name) for name in SHARED_DEFAULTS}

    assert shared() == shared("train") == SHARED_DEFAULTS
    assert shared("--seed", "7", "train") == shared("train", "--seed", "7")
    assert shared("--no-progress", "train", "--seed", "7") == {
        **SHARED_DEFAULTS, "progress": False, "seed": 7,
    }  # fmt: skip


def test_no_flags_give_the_configuration_as_it_is() -> None:
    assert config_from(parsed(), Config) == Config()


def test_flags_become_fields_of_their_types() -> None:
    argv = ("--num-steps", "3", "--head-lr", "0.1", "--betas", "0.5", "0.6", "--no-is-tied")
    config = config_from(parsed(*argv), Config)
    assert config == Config(num_steps=3, head_lr=0.1, betas=(0.5, 0.6), is_tied=False)


def test_defaults_of_a_script_replace_the_fields_own() -> None:
    assert config_from(parsed(lr=0.5), Config).lr == 0.5


def test_overrides_win_over_flags() -> None:
    assert config_from(parsed("--num-steps", "3"), Config, num_steps=7).num_steps == 7


def test_skipped_fields_have_no_flag() -> None:
    with pytest.raises(SystemExit):
        parsed("--lr", "1", skip=["lr"])


def test_the_comment_behind_a_field_is_its_help() -> None:
    assert field_comments(Config)["is_tied"] == "one matrix for both"
    parser = argparse.ArgumentParser()
    add_config(parser, Config, lr=None)
    text = " ".join(parser.format_help().split())
    assert "peak, in 100% of all cases (default: by the model)" in text
    assert "None: lr (default: None)" in text


@pytest.mark.parametrize("config_class", [FinetuneConfig, PretrainConfig])
def test_real_configurations_make_flags_and_help(config_class: type) -> None:
    parser = argparse.ArgumentParser()
    add_config(parser, config_class)
    assert "default" in parser.format_help()
    assert config_from(parser.parse_args([]), config_class) == config_class()


@pytest.mark.parametrize(
    ("pair", "config_class", "value"),
    [
        ("num_layers=2", BertConfig, 2),
        ("dropout=0", BertConfig, 0),
        ("dropout=0.5", BertConfig, 0.5),
        ("activation=relu", BertConfig, "relu"),
        ("head_size=None", T5Config, None),
        ("start_id=0", T5Config, 0),
        ("is_gated=True", T5Config, True),
        ("blocks=(1, 2)", ResNetConfig, (1, 2)),
    ],
)
def test_overrides_are_values_of_their_fields_types(
    pair: str, config_class: type, value: object
) -> None:
    assert config_overrides([pair], config_class) == {pair.partition("=")[0]: value}


@pytest.mark.parametrize(
    ("pair", "config_class", "message"),
    [
        ("num_layer=2", BertConfig, "NAME=VALUE, NAME of .*'num_layers'.*got 'num_layer=2'"),
        ("num_layers", BertConfig, "num_layers must be a valid int, got ''"),
        ("num_layers=two", BertConfig, "num_layers must be a valid int, got 'two'"),
        ("num_layers=1.5", BertConfig, "valid int, got '1.5'"),
        ("num_layers=True", BertConfig, "valid int, got 'True'"),
        ("num_heads=0", BertConfig, "valid int, got '0'"),
        ("hidden_size=-4", BertConfig, "valid int, got '-4'"),
        ("dropout=none", BertConfig, "valid float, got 'none'"),
        ("num_layers=None", T5Config, "valid int, got 'None'"),
    ],
)
def test_a_wrong_override_is_named(pair: str, config_class: type, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_overrides([pair], config_class)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", ""])
def test_counts_are_whole_numbers_from_one(text: str) -> None:
    assert at_least_one("12") == 12
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        at_least_one(text)


def raising(error: BaseException) -> Callable[[Sequence[str] | None], None]:
    def main(argv: Sequence[str] | None) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("lr must be above 0,\n  got -1"), "lr must be above 0, got -1"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "a.txt: No such file"),
        (IsADirectoryError(21, "Is a directory", "runs"), "runs: Is a directory"),
        (FileNotFoundError("folder must hold a.idx"), "folder must hold a.idx"),
        (ImportError("a.x needs safetensors: pip install it"), "a.x needs safetensors: pip"),
        (NonFiniteLossError(3, float("nan"), 0.1), "not finite at step 3"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(raising(error), "train.py")
    printed = capsys.readouterr().err
    assert stopped.value.code == 2
    assert printed.startswith("train.py: error: ")
    assert line in printed
    assert printed.count("\n") == 1


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()), "train.py")


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)]
)
def test_being_stopped_from_outside_has_the_shells_status(
    error: BaseException, status: int
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(raising(error), "train.py")
    assert stopped.value.code == status


def test_an_old_resume_file_goes_unless_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "resume.pt").write_bytes(b"old")
    assert resume_file(tmp_path, is_resumed=True).exists()
    assert not resume_file(tmp_path, is_resumed=False).exists()


def test_resuming_what_left_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--resume needs .*resume.pt, which is missing"):
        resume_file(tmp_path, is_resumed=True)


def test_asking_for_the_resume_file_makes_no_folder(tmp_path: Path) -> None:
    resume_file(tmp_path / "new", is_resumed=False)
    assert list(tmp_path.iterdir()) == []
