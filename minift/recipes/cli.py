"""What both scripts' command lines share: flags out of configurations, and errors in one line.

A flag is a field of a frozen dataclass; the comment behind the field is the flag's help, so that
there is one place to read and to change.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from minift.models.registry import can_be
from minift.training.loop import NonFiniteLossError

Config = TypeVar("Config")

_PARSERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}


SHARED_DEFAULTS = {"seed": 0, "device": "auto", "precision": "auto", "progress": True, "out": None}


def shared_flags() -> argparse.ArgumentParser:
    """The flags that may stand before a command as well as behind it: a parent for both parsers.

    They have no defaults of their own, because argparse lets those of a command overwrite what was
    said before it. Parse into `Namespace(**SHARED_DEFAULTS)` instead.
    """
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--seed", type=int, help="of all random numbers (default: 0)")
    shared.add_argument("--device", help="auto, cpu, cuda or mps (default: auto)")
    shared.add_argument("--precision", help="auto, fp32 or bf16 (default: auto)")
    shared.add_argument("--progress", action=argparse.BooleanOptionalAction, help="show bars")
    shared.add_argument("--out", type=Path, help="folder to write to (default: one in runs/)")
    return shared


def source_flags(help_text: str) -> argparse.ArgumentParser:
    """--from, --pretrained and --from-hub: where a pretrained model is. A parent for the commands'
    parsers."""
    source = argparse.ArgumentParser(add_help=False)
    group = source.add_mutually_exclusive_group()
    group.add_argument("--from", "--init-from", dest="source", help=help_text)
    group.add_argument(
        "--pretrained", metavar="NAME", help="the weights of that name that come with minift"
    )
    group.add_argument(
        "--from-hub",
        metavar="NAME",
        help="a public model's name: owner/name or owner/name@revision",
    )
    return source


def require_cpu(args: argparse.Namespace) -> None:
    """ValueError for another --device: what is compared there is small, and was timed on a CPU."""
    if args.device not in ("auto", "cpu"):
        raise ValueError(f"--device must be left out: this runs on the CPU, got {args.device}")


def require_no_config(args: argparse.Namespace) -> None:
    """ValueError for --config beside weights that have a configuration of their own."""
    if args.config:
        raise ValueError(
            f"--config is for fresh weights: those of --from, --pretrained or --from-hub have "
            f"sizes of their own, got {' '.join(args.config)}"
        )


def page_flag(parser: argparse.ArgumentParser) -> None:
    """--page of `show`."""
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write a page of pictures "
                        "that teach: an .html file")  # fmt: skip


def add_config(
    parser: argparse.ArgumentParser, config_class: type, skip: Sequence[str] = (), **defaults: Any
) -> None:
    """Add a flag for each field of a configuration; `defaults` replace the fields' own."""
    comments = field_comments(config_class)
    group = parser.add_argument_group(f"settings ({config_class.__name__})")
    for field in fields(config_class):
        if field.name in skip:
            continue
        default = defaults.get(field.name, None if field.default is MISSING else field.default)
        annotation = str(field.type)
        flag = "--" + field.name.replace("_", "-")
        shown = "by the model" if default is None and field.default is not None else default
        text = f"{comments.get(field.name, '')} (default: {shown})".replace("%", "%%")
        if annotation == "bool":
            action = argparse.BooleanOptionalAction
            group.add_argument(flag, action=action, default=default, help=text)
        elif annotation.startswith("tuple"):
            group.add_argument(flag, type=float, nargs=2, default=default, help=text)
        else:
            parse = _PARSERS[annotation.split(" | ")[0]]
            group.add_argument(flag, type=parse, default=default, help=text, metavar="X")


def config_from(args: argparse.Namespace, config_class: type[Config], **overrides: Any) -> Config:
    """Build the configuration from parsed flags; `overrides` win."""
    values = {
        field.name: getattr(args, field.name)
        for field in fields(config_class)  # type: ignore[arg-type]
        if hasattr(args, field.name)
    }
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return config_class(**{**values, **overrides})


def at_least_one(text: str) -> int:
    """The type of flags that count something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def config_overrides(pairs: Sequence[str], config_class: type) -> dict[str, Any]:
    """Turn "name=value" texts into fields of a configuration.

    Raises
    ------
    ValueError : no such field, a value of another type, or a number that nothing can have.

    Examples
    --------
    >>> config_overrides(["num_layers=2", "dropout=0"], BertConfig)
    {'num_layers': 2, 'dropout': 0}
    """
    annotations = {field.name: str(field.type) for field in fields(config_class)}
    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in annotations:
            raise ValueError(f"--config must be NAME=VALUE, NAME of {[*annotations]}, got {pair!r}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        if not can_be(name, annotations[name], value):
            raise ValueError(f"--config {name} must be a valid {annotations[name]}, got {text!r}")
        values[name] = value
    return values


def field_comments(config_class: type) -> dict[str, str]:
    """Field name -> the comment behind it in the source."""
    pattern = re.compile(r"^ +(\w+): [^#\n]+#\s*(.+)$", re.MULTILINE)
    return dict(pattern.findall(inspect.getsource(config_class)))


def default_folder(script: str, command: str | None) -> Path:
    """What a command writes to without --out.

    Of its own for each script: a folder of texts has a tokenizer, which no picture goes with.
    """
    return Path("runs", script if command is None else f"{script}-{command}")


def run(main: Callable[[Sequence[str] | None], None], program: str) -> None:
    """Run a script; a user's mistake is one line on standard error and exit status 2."""
    try:
        main(None)
    except BrokenPipeError:
        sys.exit(141)
    # An import that fails while a script runs is that of an extra, and says how to install it.
    except (ValueError, OSError, ImportError, NonFiniteLossError) as error:
        message = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            message = f"{error.filename}: {error.strerror}"  # without the number of the error
        print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        sys.exit(130)


def resume_file(out: Path, is_resumed: bool) -> Path:
    """Where a run's resume file is; without --resume an old one is out of date and goes.

    Raises
    ------
    ValueError : with --resume, if there is none to go on from.
    """
    path = out / "resume.pt"
    if is_resumed and not path.exists():
        raise ValueError(
            f"--resume needs {path}, which is missing: a finished run leaves none, and one that "
            "was stopped before its first --save-every has none; leave out --resume to begin anew"
        )
    if not is_resumed:
        path.unlink(missing_ok=True)
    return path
