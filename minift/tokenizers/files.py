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


def huggingface_kind(folder: Path) -> str | None:
    """Return which kind of tokenizer a folder in Hugging Face's layout holds.

    None means that it is not in that layout: it has a tokenizer.json of ours, or nothing known.
    """
    path = folder / "tokenizer.json"
    if path.exists():
        content = read_json(path)
        model = content.get("model") if isinstance(content, dict) else None
        if not isinstance(model, dict) or "kind" in content:
            return None
        name = model.get("type", "BPE" if "merges" in model else None)  # old files do not say
        kinds = {"WordPiece": "wordpiece", "BPE": "byte_bpe", "Unigram": "unigram"}
        if name not in list(kinds):
            raise ValueError(f"{path}: model type must be one of {list(kinds)}, got {name!r}")
        return kinds[name]
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        return "byte_bpe"
    if any(folder.glob("*.model")):
        return "unigram"
    # Our own word lists have that name too, and their tokenizer.json may have been lost.
    described = any((folder / name).exists() for name in ("tokenizer_config.json", "config.json"))
    return "wordpiece" if (folder / "vocab.txt").exists() and described else None


def read_json(path: Path, **options: Any) -> Any:
    """Parse a JSON file; ValueError names the file and where it breaks."""
    text = read_text(path)
    try:
        return json.loads(text, **options)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno} must be JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number without end, a nest without bottom
        raise ValueError(f"{path} must be JSON of sane size: {error}") from None


def read_text(path: Path) -> str:
    """Read a UTF-8 file with its line ends as they are; ValueError names the file."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8, byte {error.start} is not") from None


def read_bytes(path: Path) -> bytes:
    """Read a file whole; ValueError names one that is missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8; a reader finds the old file or the new."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write under another name, then rename: a reader finds the old file or the new.

    The same steps as in `training.files`, which tokenizers do not import.
    """
    # The number of the process keeps two runs apart that write to one place.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            # On the disk before the rename is, or a power cut leaves the new name on no content.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
