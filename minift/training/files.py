"""Files that are whole or not there: written under another name first, then renamed.

A run that is killed while it writes would otherwise leave half a checkpoint in the place of the
good one. Renaming within a folder is atomic, so a reader finds the old file or the new one.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch


def write_text(path: str | Path, text: str) -> None:
    """Write `text` in UTF-8 to `path` in one piece; missing folders are made."""
    with replacing(Path(path)) as file:
        file.write(text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` in one piece; missing folders are made."""
    with replacing(Path(path)) as file:
        file.write(content)


def save_tensors(path: str | Path, obj: Any) -> None:
    """Write tensors, numbers and strings, in any nesting of dicts and lists, in one piece."""
    with replacing(Path(path)) as file:
        torch.save(obj, file)


def load_tensors(path: str | Path) -> Any:
    """Read what `save_tensors` wrote; the tensors come back on the CPU, wherever they were.

    Only data is read (`weights_only`): a pickle can name any function to be called while it is
    loaded, and checkpoints are files that people get from strangers.

    Raises
    ------
    ValueError : the file is missing or cannot be opened, is cut off or damaged, or holds more
        than data.
    """
    try:
        with open(path, "rb") as file:
            return _read(file, path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error


def _read(file: IO[bytes], path: str | Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch finds odd in a file is refused below
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # reading a damaged pickle can end in any of them
        # torch writes zip archives, whose table of contents comes last: half of one is none. In a
        # bare pickle, as torch wrote them before, the refusal names what was to be called.
        is_whole = zipfile.is_zipfile(path) or "GLOBAL" in str(error)
        if isinstance(error, pickle.UnpicklingError) and is_whole:
            raise ValueError(
                f"{path}: holds Python objects besides tensors, numbers and strings; loading them "
                "would run code from the file, so it is refused"
            ) from error
        raise ValueError(
            f"{path}: is cut off, damaged or not a file of tensors; copy or make it again"
        ) from error


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal; ValueError if it is missing."""
    if not Path(path).exists():
        raise ValueError(f"{path} is missing")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a new file in the folder of `path`; put it in the place of `path` if all went well.

    For what is written piece by piece; the functions above are for what is at hand whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The number of the process keeps two runs apart that write to one place.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            # On the disk before the rename is, or a power cut leaves the new name on no content.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
