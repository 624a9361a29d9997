"""Shards: the ids of one process, in little memory, and a writing that goes on where it broke."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from minift.data.batches import epoch_batches
from minift.data.shards import TokenShards, block_batches, read_lines, write_shards
from minift.objectives.causal import lm_blocks
from minift.tokenizers import ByteBPE, WordVocab

TEXTS = [f"text {number} of [MASK], été {'and more ' * (number % 7)}" for number in range(100)]


@pytest.fixture(scope="module")
def tokenizer() -> ByteBPE:
    return ByteBPE.train(TEXTS, 300)


@pytest.fixture
def shards(tokenizer: ByteBPE, tmp_path: Path) -> TokenShards:
    """Of about ten texts each."""
    return write_shards(TEXTS, tokenizer, tmp_path, shard_size=500)


def encoded(tokenizer: ByteBPE, eos_id: int | None = None) -> list[int]:
    start = [] if eos_id is None else [eos_id]
    rows = (start + tokenizer.encode(text, special_tokens=False) for text in TEXTS)
    return list(chain.from_iterable(rows))


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Which file each name of a shard stands for, and since when."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.npy")
    }


# ------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("num_processes", [1, 3])
@pytest.mark.parametrize("shard_size", [1, 500, 10**6])
def test_ids_are_those_of_one_process(
    tokenizer: ByteBPE, num_processes: int, shard_size: int, tmp_path: Path
) -> None:
    shards = write_shards(
        TEXTS, tokenizer, tmp_path, num_processes=num_processes, shard_size=shard_size
    )

    assert shards[:].tolist() == encoded(tokenizer)
    assert (shards.fingerprint, shards.vocab_size) == (tokenizer.fingerprint, len(tokenizer))


def test_an_end_of_text_stands_before_each_text(tokenizer: ByteBPE, tmp_path: Path) -> None:
    shards = write_shards(TEXTS, tokenizer, tmp_path, eos_id=tokenizer.eos_id, shard_size=500)

    assert shards[:].tolist() == encoded(tokenizer, tokenizer.eos_id)


@pytest.mark.parametrize(("num_words", "size"), [(2**16, 2), (2**16 + 1, 4)])
def test_ids_take_two_bytes_where_they_fit(num_words: int, size: int, tmp_path: Path) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{number}" for number in range(num_words - len(special))]

    shards = write_shards([words[-1]], WordVocab([*special, *words]), tmp_path)

    assert shards[:].tolist() == [num_words - 1]
    assert shards[:].dtype.itemsize == size


def test_only_a_few_chunks_are_in_flight(tokenizer: ByteBPE, tmp_path: Path) -> None:
    waiting: list[int] = []

    def texts() -> Iterator[str]:
        for number, text in enumerate(TEXTS):
            waiting.append(number - len(states(tmp_path)))
            yield text

    write_shards(texts(), tokenizer, tmp_path, num_processes=2, shard_size=1)

    assert max(waiting) <= 4


def test_memory_does_not_grow_with_the_corpus(tokenizer: ByteBPE, tmp_path: Path) -> None:
    def peak(num_texts: int) -> int:
        texts = (f"{number} " + 1000 * "word " for number in range(num_texts))
        tracemalloc.start()
        write_shards(texts, tokenizer, tmp_path / str(num_texts), shard_size=10_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # Five chunks of 10 KB, and 2 KB to describe each; the larger corpus has 500 KB more of text.
    assert peak(120) < peak(20) + 300_000


def test_whole_shards_are_kept_and_others_written_again(
    tokenizer: ByteBPE, shards: TokenShards, tmp_path: Path
) -> None:
    before = states(tmp_path)
    lost, broken, *kept = sorted(before)
    (tmp_path / lost).unlink()
    (tmp_path / broken).write_bytes((tmp_path / broken).read_bytes()[:-1])
    (tmp_path / "shards.json").unlink()

    again = write_shards(TEXTS, tokenizer, tmp_path, shard_size=500)

    after = states(tmp_path)
    assert after.keys() == before.keys()
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert again[:].tolist() == encoded(tokenizer)


def test_what_is_of_another_text_or_tokenizer_is_not_kept(
    tokenizer: ByteBPE, shards: TokenShards, tmp_path: Path
) -> None:
    other = ByteBPE.train(TEXTS, 260)

    by_other = write_shards(TEXTS, other, tmp_path, shard_size=500)[:].tolist()
    of_other = write_shards([*TEXTS[:-1], "new"], tokenizer, tmp_path, shard_size=500)

    assert by_other == encoded(other)
    assert tokenizer.decode(of_other[-30:].tolist()).endswith("new")


KILLED = """
import sys, time
from minift.data.shards import write_shards
from minift.tokenizers import WordVocab

class Slow(WordVocab):
    def encode(self, text, **options):
        time.sleep(0.05)
        return super().encode(text, **options)

if __name__ == "__main__":
    tokenizer = Slow.load(sys.argv[1])
    write_shards(sys.argv[3:], tokenizer, sys.argv[2], shard_size=1)
"""


def test_a_writing_that_was_killed_goes_on(tmp_path: Path) -> None:
    tokenizer, folder = WordVocab.train(TEXTS, 100), tmp_path / "shards"
    tokenizer.save(tmp_path / "tokenizer")
    (tmp_path / "killed.py").write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "killed.py", tmp_path / "tokenizer", folder, *TEXTS],
        stdout=subprocess.PIPE,
    )
    while len(states(folder)) < 5:
        assert process.poll() is None
        time.sleep(0.01)

    process.kill()
    process.communicate(timeout=60)  # comes back when no process of its own is left either
    before = states(folder)
    with pytest.raises(ValueError, match=r"shards\.json is missing; .* broken off"):
        TokenShards(folder)
    shards = write_shards(TEXTS, tokenizer, folder, shard_size=1)

    assert 5 <= len(before) < len(TEXTS)
    assert before.items() <= states(folder).items()
    ids = (tokenizer.encode(text, special_tokens=False) for text in TEXTS)
    assert shards[:].tolist() == list(chain.from_iterable(ids))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": "one text"}, "texts must be many strings, got the string 'one text'"),
        ({"texts": []}, "texts must hold some text, found none"),
        ({"num_processes": 0}, "num_processes must be at least 1, got 0"),
        ({"shard_size": 0}, "shard_size must be at least 1, got 0"),
        ({"eos_id": -1}, r"eos_id must be in 0\.\.\d+, got -1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    tokenizer: ByteBPE, arguments: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_shards(**{"texts": TEXTS, "tokenizer": tokenizer, "folder": tmp_path, **arguments})


# --------------------------------------------------------------------------------- lines


def test_lines_joined_are_the_files(tmp_path: Path) -> None:
    contents = ["été\r\n\n two\n", "", "no end", "x" * 50 + " y\n" + "word " * 20]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_bytes(content.encode())

    lines = list(read_lines(paths, max_length=16))

    assert "".join(lines) == "".join(contents)
    assert lines[:4] == ["été\r\n", "\n", " two\n", "no end"]


def test_a_long_line_is_cut_before_spaces(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one two three four five")

    assert list(read_lines(tmp_path / "one", max_length=9)) == ["one two", " three", " four five"]


def test_a_file_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))

    with pytest.raises(ValueError, match="latin must be UTF-8"):
        list(read_lines(tmp_path / "latin"))


# ------------------------------------------------------------------------------- reading


def test_a_slice_reaches_over_shards(tokenizer: ByteBPE, shards: TokenShards) -> None:
    ids = encoded(tokenizer)

    assert len(shards) == len(ids)
    for start in range(0, len(ids), 7):
        for size in (0, 1, 50, 500):
            assert shards[start : start + size].tolist() == ids[start : start + size]
    assert shards[-5:].tolist() == ids[-5:]
    with pytest.raises(ValueError, match="step must be 1, got 2"):
        shards[::2]


def test_blocks_come_as_from_memory(tokenizer: ByteBPE, shards: TokenShards) -> None:
    in_memory = epoch_batches({"input_ids": lm_blocks(encoded(tokenizer), 16)}, 4, seed=0)

    batches = block_batches(shards, 4, 16, seed=0)

    for step in range(100):
        ids = batches(step)["input_ids"]
        assert ids.dtype == torch.int64
        assert ids.equal(in_memory(step)["input_ids"])


def test_a_broken_description_is_named(shards: TokenShards, tmp_path: Path) -> None:
    for content in ("{", "[]", "{}", '{"fingerprint": "", "vocab_size": 1, "shards": [{}]}'):
        (tmp_path / "shards.json").write_text(content)
        with pytest.raises(ValueError, match=r"shards\.json must be as `write_shards` wrote it"):
            TokenShards(tmp_path)


def test_a_shard_that_is_missing_or_another_is_named(shards: TokenShards, tmp_path: Path) -> None:
    name = json.loads((tmp_path / "shards.json").read_text())["shards"][1]["file"]

    np.save(tmp_path / name, np.zeros(3, np.uint16))
    with pytest.raises(ValueError, match=rf"{name} must hold \d+ tokens"):
        TokenShards(tmp_path)
    np.save(tmp_path / name, np.zeros(3))
    with pytest.raises(ValueError, match=f"{name} must be a shard of token ids, found something"):
        TokenShards(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"{name} must be a shard of token ids: .*No such file"):
        TokenShards(tmp_path)
