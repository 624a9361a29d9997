"""A corpus as token ids on the disk: encoded once by several processes, read by memory map.

Texts go by one after another and are gathered into chunks of like size. Each chunk becomes a file
of ids, a shard. Only a few chunks are at hand at a time, and of the shards only what is asked for
is read, so that a corpus of any size takes the same memory.

A shard's name tells what is in it (a hash of its texts and of the tokenizer's fingerprint), and it
is there whole or not at all. So a writing that was broken off is done again, and goes on where it
was: shards that are there are kept.

Shapes: B batch, T length of a block.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache, partial
from itertools import accumulate, chain
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from minift.data.batches import Batches, Dataset, epoch_batches

PathLike = str | os.PathLike[str]

CHUNKS_PER_PROCESS = 2  # one at work and one that waits, so that no process ever waits for a text


class Encoder(Protocol):
    """What is asked of a tokenizer."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def encode(self, text: str, *, special_tokens: bool) -> list[int]: ...


# ------------------------------------------------------------------------------- writing


def write_shards(
    texts: Iterable[str],
    tokenizer: Encoder,
    folder: PathLike,
    *,
    eos_id: int | None = None,
    num_processes: int = 2,
    shard_size: int = 2**22,
) -> TokenShards:
    """Encode texts in parallel to files of ids, one text after another.

    Parameters
    ----------
    texts : read one by one, and never all at once; `read_lines` gives those of files.
    tokenizer : reads each text literally, without special tokens.
    eos_id : put before each text to part it from the last, as GPT wants it; None puts nothing.
    num_processes : processes that encode, beside the one that reads the texts.
    shard_size : characters in a shard; the text that reaches it is still taken whole.

    Raises
    ------
    ValueError if there is no text, or an argument is out of its range.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts must be many strings, got the string {texts[:40]!r}")
    for name, value in (("num_processes", num_processes), ("shard_size", shard_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if eos_id is not None and not 0 <= eos_id < tokenizer.vocab_size:
        raise ValueError(f"eos_id must be in 0..{tokenizer.vocab_size - 1}, got {eos_id}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    paths: list[Path] = []
    in_flight: deque[Future[None]] = deque()
    with ProcessPoolExecutor(
        num_processes, initializer=_start_process, initargs=(tokenizer, eos_id)
    ) as pool:
        for number, chunk in enumerate(_chunks(texts, shard_size)):
            key = _key(chunk, f"{tokenizer.fingerprint} {eos_id}")
            paths.append(folder / f"{number:06d}-{key}.npy")
            if _is_whole(paths[-1]):
                continue
            if len(in_flight) == CHUNKS_PER_PROCESS * num_processes:
                in_flight.popleft().result()
            in_flight.append(pool.submit(_write_shard, paths[-1], chunk))
        for future in in_flight:
            future.result()
    shards = [{"file": path.name, "num_tokens": len(_open(path))} for path in paths]
    if not any(shard["num_tokens"] for shard in shards):
        raise ValueError("texts must hold some text, found none")

    # Last: a folder without it is one that was broken off.
    description = {
        "fingerprint": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "shards": shards,
    }
    _write(folder / "shards.json", (json.dumps(description, indent=2) + "\n").encode())
    return TokenShards(folder)


def read_lines(paths: PathLike | Sequence[PathLike], max_length: int = 2**20) -> Iterator[str]:
    """Read the lines of UTF-8 files one by one, each with its end: joined they are the files.

    A line of more than `max_length` characters, as text8 is a single one, comes in parts, cut
    before a space where there is one.
    """
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        rest = ""
        with open(path, encoding="utf-8", newline="\n") as file:
            try:
                for part in iter(partial(file.readline, max_length), ""):
                    line, rest = rest + part, ""
                    if len(part) == max_length and not part.endswith("\n"):
                        end = line.rfind(" ") if " " in line[1:] else len(line)
                        line, rest = line[:end], line[end:]
                    yield line
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} must be UTF-8, found {error.reason}") from error
        if rest:
            yield rest


def _chunks(texts: Iterable[str], shard_size: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= shard_size:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _key(chunk: list[str], settings: str) -> str:
    """16 hex digits that change with the texts and with how they are encoded."""
    content = hashlib.sha256(settings.encode())
    for text in chunk:
        content.update(f" {len(text)} ".encode() + text.encode("utf-8", "surrogatepass"))
    return content.hexdigest()[:16]


class _Process:
    """What a process that encodes is given once, with which goes its memory of known words."""

    tokenizer: Encoder
    eos_id: int | None


def _start_process(tokenizer: Encoder, eos_id: int | None) -> None:
    _Process.tokenizer, _Process.eos_id = tokenizer, eos_id
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Where the parent was killed, its processes would wait for chunks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write_shard(path: Path, chunk: list[str]) -> None:
    tokenizer, eos_id = _Process.tokenizer, _Process.eos_id
    start = [] if eos_id is None else [eos_id]
    encoded = (start + tokenizer.encode(text, special_tokens=False) for text in chunk)
    # Two bytes are enough for GPT-2's 50,257 tokens, and half of what four take to read.
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32
    content = io.BytesIO()
    np.save(content, np.fromiter(chain.from_iterable(encoded), dtype))
    _write(path, content.getvalue())


def _write(path: Path, content: bytes) -> None:
    """Write under another name, then rename: a reader finds the old file or the new.

    The same steps as in `training.files`, which data does not import.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# ------------------------------------------------------------------------------- reading


class TokenShards:
    """All ids of a folder as one long row, of which only the asked part is read from the disk.

    Parameters
    ----------
    folder : what `write_shards` wrote.

    Attributes
    ----------
    fingerprint (str) and vocab_size (int) of the tokenizer whose ids these are.

    Raises
    ------
    ValueError naming the file that is missing or broken.

    Examples
    --------
    >>> shards = TokenShards("runs/corpus")  # doctest: +SKIP
    >>> shards[1_000_000:1_000_008]  # doctest: +SKIP
    array([1212,  318,  262,  717, 2420,  286,  257, 1492], dtype=uint16)
    """

    def __init__(self, folder: PathLike) -> None:
        path = Path(folder) / "shards.json"
        if not path.exists():
            raise ValueError(f"{path} is missing; where a writing was broken off, do it again")
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            self.fingerprint: str = description["fingerprint"]
            self.vocab_size: int = description["vocab_size"]
            shards = description["shards"]
            self._paths = [path.with_name(shard["file"]) for shard in shards]
            self._ends = list(accumulate(shard["num_tokens"] for shard in shards))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} must be as `write_shards` wrote it: {error!r}") from error
        for shard_path, shard in zip(self._paths, shards):
            if len(_open(shard_path)) != shard["num_tokens"]:
                raise ValueError(
                    f"{shard_path} must hold {shard['num_tokens']} tokens, as {path} says"
                )
        # Each map holds a file open, of which a process may have about a thousand.
        self._open = lru_cache(maxsize=256)(_open)

    def __len__(self) -> int:
        """The number of tokens."""
        return self._ends[-1]

    def __getitem__(self, places: slice) -> np.ndarray:
        """Return the ids from one place to another, (T,) uint16 or uint32."""
        start, stop, step = places.indices(len(self))
        if step != 1:
            raise ValueError(f"step must be 1, got {step}")
        parts = [self._open(self._paths[0])[:0]]  # says the dtype also where nothing is asked for
        number = bisect_right(self._ends, start)
        while start < stop:
            shard, end = self._open(self._paths[number]), self._ends[number]
            first = len(shard) - (end - start)
            parts.append(shard[first : first + stop - start])
            start, number = end, number + 1
        return np.concatenate(parts)


def block_batches(shards: TokenShards, batch_size: int, block_size: int, *, seed: int) -> Batches:
    """Return the function step -> {"input_ids": (B, T) int64}, blocks of running text.

    The same batches, in the same order, as `epoch_batches` gives of all blocks in memory.
    """
    if not 1 <= block_size <= len(shards):
        raise ValueError(
            f"block_size must be in 1..{len(shards)} (the number of tokens), got {block_size}"
        )
    num_blocks = len(shards) // block_size
    numbers = epoch_batches({"number": torch.arange(num_blocks)}, batch_size, seed=seed)

    def batch(step: int) -> Dataset:
        starts = (numbers(step)["number"] * block_size).tolist()
        rows = np.stack([shards[start : start + block_size] for start in starts])
        return {"input_ids": torch.from_numpy(rows.astype(np.int64))}

    return batch


def _open(path: Path) -> np.ndarray:
    """Map a shard into memory; ValueError names one that is missing or broken."""
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} must be a shard of token ids: {error}") from error
    if not isinstance(shard, np.ndarray) or shard.ndim != 1 or shard.dtype.kind != "u":
        raise ValueError(f"{path} must be a shard of token ids, found something else")
    return shard


def _is_whole(path: Path) -> bool:
    try:
        _open(path)
    except ValueError:
        return False
    return True
