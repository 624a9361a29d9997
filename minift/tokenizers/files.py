"""Files of a vocabulary: written whole or not at all, read with errors that name file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def index_tokens(tokens: Iterable[str], place: str = "vocab: id", first: int = 0) -> dict[str, int]:
    """Number tokens from `first` on; `place` says in messages what the numbers count.

    Raises
    ------
    ValueError if a token is empty or occurs twice.
    """
    numbers: dict[str, int] = {}
    for number, token in enumerate(tokens, first):
        if not token:
            raise ValueError(f"{place} {number} must be a token, got an empty string")
        if token in numbers:
            raise ValueError(
                f"{place} {number} must be a new token, got {token!r} again, as {numbers[token]} is"
            )
        numbers[token] = number
    return numbers


def read_vocab(path: str | Path) -> list[str]:
    """Read one token a line; the first has id 0. ValueError names the line of a repeated token."""
    # Only "\n" ends a line: `splitlines` would also split at characters that are tokens.
    lines = read_text(Path(path)).removesuffix("\n").split("\n")
    tokens = [line.removesuffix("\r") for line in lines]
    index_tokens(tokens, f"{path}: line", first=1)
    return tokens


def read_description(folder: Path) -> dict[str, Any]:
    """Read a saved tokenizer's tokenizer.json and see that it says its kind."""
    if not folder.is_dir():
        raise ValueError(f"folder must be one that a tokenizer was saved in, {folder} is no folder")
    path = folder / "tokenizer.json"
    own = read_json(path)
    if not isinstance(own, dict) or not isinstance(own.get("kind"), str):
        raise ValueError(f'{path}: must have a "kind"; this file was not written by `save`')
    return own


def read_json(path: Path, **options: Any) -> Any:
    """Parse a JSON file; ValueError names the file and where it breaks."""
    try:
        return json.loads(read_text(path), **options)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno} must be JSON: {error.msg}") from None


def read_text(path: Path) -> str:
    """Read a UTF-8 file with its line ends as they are; ValueError names the file."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8, byte {error.start} is not") from None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 under another name, then rename: a reader finds the old file or the new.

    The same steps as in `training.files`, which tokenizers do not import.
    """
    # The number of the process keeps two runs apart that write to one place.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(text.encode())
            file.flush()
            # On the disk before the rename is, or a power cut leaves the new name on no content.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
