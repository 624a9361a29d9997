"""Word vectors in the two file formats of the word2vec program, in and out.

Mikolov et al. 2013a and 2013b published their vectors in these formats, and most collections since
use them (fastText's `.vec` is the text format). Both begin with a line "V C"; then come V rows:

    text     word, space, C decimal numbers between spaces, newline
    binary   word, space, C little-endian float32, and after them a newline or nothing

A name that ends in .gz is compressed on writing; on reading the first bytes tell.

A header is a claim: 20 bytes may promise a terabyte. It is compared with the file's size first,
and memory grows with the rows that were really there, never with what was promised.

Shapes: V words, C numbers in a word's vector.
"""

from __future__ import annotations

import gzip
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from minift.models.word2vec import Embedding, Word2Vec, Word2VecConfig
from minift.tokenizers import Tokenizer, WordVocab
from minift.tokenizers.layouts import LAYOUTS
from minift.training.files import replacing

MAX_HEADER = 64  # bytes; two numbers have fewer
MAX_SIZE = 1 << 20  # numbers in a vector
MAX_WORD = 1 << 16  # bytes; a longer word is a sign of damage
MAX_NUMBER = 64  # bytes of a number in text; the largest float32 in full has 46
MAX_DEFLATE = 1032  # gzip makes nothing smaller than by this factor


class VectorTable(NamedTuple):
    """Words in the order of the file, the commonest first as a rule, and their vectors."""

    words: list[str]
    vectors: Tensor  # (V, C) float32


def read_vectors(
    path: str | Path,
    *,
    binary: bool | None = None,
    limit: int | None = None,
    errors: str = "strict",
) -> VectorTable:
    """Read a file of word vectors.

    Parameters
    ----------
    binary : which of the two formats; None looks at the first row.
    limit : read so many rows only, the commonest words in most files; None reads all.
    errors : what to do with a word that is no UTF-8, as in `bytes.decode`: "strict" refuses the
        file; "replace" and "ignore" are for collections that cut words within a character.

    Returns
    -------
    VectorTable
        A word that occurs again is left out; its first vector stays.

    Raises
    ------
    ValueError : the file is missing, cut off or damaged, its header does not fit the rows, or a
        vector holds a number that is not finite. It names the file and the row.

    Examples
    --------
    >>> words, vectors = read_vectors("GoogleNews-vectors-negative300.bin.gz", limit=100_000)
    ... # doctest: +SKIP
    """
    path = Path(path)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or None, got {limit}")
    try:
        with _open(path) as (file, capacity):
            V, C = _read_header(file, path, capacity)
            start = file.tell()
            if binary is None:
                binary = not _looks_like_text(file, C)
                file.seek(start)
            read_row = _read_binary_row if binary else _read_text_row
            words: dict[str, None] = {}  # a set that keeps its order
            numbers = array("f")
            for row in range(min(V, limit or V)):
                where = f"{path}: row {row + 1} of {V}"
                spelling, vector = read_row(file, C, where)
                word = _decode(spelling, errors, where)
                if not np.isfinite(vector).all():
                    raise ValueError(f"{where}, {word[:40]!r}, holds a number that is not finite")
                if word not in words:
                    words[word] = None
                    numbers.frombytes(vector.astype(np.float32).tobytes())
            if limit is None and file.read(MAX_WORD).strip():
                raise ValueError(f"{path}: more follows the {V} rows that the header announces")
    except OSError as error:  # gzip's complaints are OSErrors with no strerror
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path}: the compressed data is cut off or damaged: {error}") from error
    vectors = torch.from_numpy(np.frombuffer(numbers, dtype=np.float32).reshape(-1, C))
    return VectorTable(list(words), vectors)


def write_vectors(
    path: str | Path, words: Sequence[str], vectors: Tensor, *, binary: bool = False
) -> None:
    """Write a file of word vectors, whole or not at all.

    Parameters
    ----------
    words : one for each row of `vectors`, all different; none may hold a space or an end of line,
        which end a word in the file.
    vectors : (V, C), written as float32; in text with as few digits as give the same float32 back.
    """
    if vectors.ndim != 2 or len(words) != len(vectors) or not vectors.numel():
        raise ValueError(
            f"vectors must be a row for each of the {len(words)} words, got {tuple(vectors.shape)}"
        )
    if len(set(words)) < len(words):
        [(word, count)] = Counter(words).most_common(1)
        raise ValueError(f"words must be different, got {word!r} {count} times")
    for word in words:
        if not word or re.search(r"[ \t\n\v\f\r]", word) or len(word.encode()) > MAX_WORD:
            raise ValueError(f"words must be non-empty without spaces, got {word[:40]!r}")
    table = vectors.detach().to("cpu", torch.float32).numpy()
    if not np.isfinite(table).all():
        raise ValueError("vectors must be finite numbers, as float32 too")
    with replacing(Path(path)) as raw, _compressed(raw, Path(path)) as file:
        file.write(f"{table.shape[0]} {table.shape[1]}\n".encode())
        for word, vector in zip(words, table):
            if binary:
                file.write(word.encode() + b" " + vector.astype("<f4").tobytes())
            else:
                file.write(f"{word} {' '.join(map(str, vector))}\n".encode())


def load_word2vec(
    path: str | Path,
    *,
    layout: str | None = None,
    binary: bool | None = None,
    limit: int | None = None,
    errors: str = "strict",
) -> tuple[Word2Vec, WordVocab]:
    """Make a model without a head, and its tokenizer, of a file of word vectors.

    The special tokens come first in the vocabulary. One that the file lacks has a vector of zeros:
    it says nothing, but counts as a word in the mean of a text.

    Parameters
    ----------
    layout : the tokenizer's, see `WordVocab`; None is the one whose special tokens the file holds
        (as one of `save_word2vec` does), else "gpt", which puts nothing around a text.
    binary, limit, errors : see `read_vectors`.

    Notes
    -----
    The tokenizer lower-cases texts, so that a word with a capital in the file is never looked up.

    Examples
    --------
    A folder that `minift.load` and the scripts' `--from` take:

    >>> model, tokenizer = load_word2vec("wiki.vec", limit=50_000)  # doctest: +SKIP
    >>> minift.save(model, "runs/wiki", tokenizer)  # doctest: +SKIP
    """
    words, table = read_vectors(path, binary=binary, limit=limit, errors=errors)
    index = {word: row for row, word in enumerate(words)}
    if layout is None:
        held = (name for name, special in LAYOUTS.items() if {*special.tokens} <= index.keys())
        layout = next(held, "gpt")
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {list(LAYOUTS)}, got {layout!r}")
    special = LAYOUTS[layout].tokens
    vocab = special + [word for word in words if word and word not in special]
    tokenizer = WordVocab(vocab, layout)
    config = Word2VecConfig(len(vocab), table.shape[1], tokenizer.pad_id)
    model = Word2Vec(config, head=None)
    weight = _embedding(model)
    with torch.no_grad():
        weight.zero_()
        rows = torch.tensor([row for row, word in enumerate(vocab) if word in index])
        weight[rows] = table[[index[word] for word in vocab if word in index]]
    model.tokenizer_id = tokenizer.fingerprint
    return model.eval(), tokenizer


def save_word2vec(
    model: Word2Vec, tokenizer: Tokenizer, path: str | Path, *, binary: bool = False
) -> None:
    """Write a model's word vectors, special tokens included, so that `load_word2vec` gives them
    back with the same ids. Only the trunk is written: the formats have no place for a head.

    Raises
    ------
    ValueError : `tokenizer` is not the model's own.
    """
    if model.tokenizer_id not in (None, tokenizer.fingerprint):
        raise ValueError(
            f"tokenizer {tokenizer.fingerprint} is not the model's own, {model.tokenizer_id}"
        )
    words = tokenizer.vocab
    if len(words) > model.config.vocab_size:
        raise ValueError(
            f"tokenizer has {len(words)} tokens, more than the model's {model.config.vocab_size}"
        )
    write_vectors(path, words, model.vectors[: len(words)], binary=binary)  # the rest is padding


def _embedding(model: Word2Vec) -> Tensor:
    embedding = model.trunk.stages["embedding"]
    assert isinstance(embedding, Embedding)
    return embedding.words.weight


# ------------------------------------------------------------------------------- header and rows


@contextmanager
def _open(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open for reading, uncompressed; beside it, the most bytes that can be in it."""
    size = path.stat().st_size
    with open(path, "rb") as raw:
        is_compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if is_compressed:
            with gzip.open(raw) as file:
                yield cast("IO[bytes]", file), size * MAX_DEFLATE
        else:
            yield raw, size


@contextmanager
def _compressed(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """Compress what is written if the name asks for it; no time stamp, so that files compare."""
    if path.suffix != ".gz":
        yield raw
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
        yield cast("IO[bytes]", file)


def _read_header(file: IO[bytes], path: Path, capacity: int) -> tuple[int, int]:
    """Return V and C, if the file can be large enough for them."""
    line = file.readline(MAX_HEADER)
    match = re.fullmatch(rb"(\d+)[ \t]+(\d+)[ \t]*\r?\n", line)
    if match is None or not all(map(int, match.groups())):
        raise ValueError(
            f"{path}: line 1 must be the number of words and the length of a vector, "
            f"got {_shown(line)}"
        )
    V, C = map(int, match.groups())
    # The shortest row there can be in either format: a byte of word and two bytes for each number.
    least = V * (1 + 2 * C)
    if least > capacity or C > MAX_SIZE:
        raise ValueError(
            f"{path}: line 1 announces {V} words of {C} numbers, which is at least {least} bytes; "
            f"the file cannot hold more than {capacity}: it is cut off, or line 1 is wrong"
        )
    return V, C


def _looks_like_text(file: IO[bytes], C: int) -> bool:
    """Whether more than half of the first row's numbers are written in digits."""
    row = file.readline(MAX_WORD + MAX_NUMBER * C).partition(b" ")[2]
    return not row.strip(b"0123456789+-.eEnaif \r\n") and len(row.split()) > C // 2


def _read_text_row(file: IO[bytes], C: int, where: str) -> tuple[bytes, np.ndarray]:
    most = MAX_WORD + MAX_NUMBER * C
    line = file.readline(most)
    if not line:
        raise ValueError(f"{where} is missing; the file is cut off, or its header is wrong")
    # Words may hold what Unicode calls a space, so only the ASCII space separates.
    word, *fields = line.rstrip(b" \t\r\n").split(b" ")
    if len(fields) != C or len(line) == most or not word:
        raise ValueError(f"{where} must be a word and {C} numbers, got {_shown(line)}")
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        raise ValueError(f"{where}, {_shown(word)}, holds what is no number") from None
    with np.errstate(over="ignore"):  # infinity is looked for later
        return word, np.array(numbers).astype(np.float32)


def _read_binary_row(file: IO[bytes], C: int, where: str) -> tuple[bytes, np.ndarray]:
    word = bytearray()
    while (byte := file.read(1)) != b" ":
        # The newline, where there is one, stands after the vector before.
        if not byte or len(word) > MAX_WORD:
            raise ValueError(f"{where} has no end of the word; the file is cut off or damaged")
        if byte != b"\n" or word:
            word += byte
    data = file.read(4 * C)
    if len(data) < 4 * C or not word:
        raise ValueError(f"{where} must be a word and {4 * C} bytes, got {len(data)}")
    return bytes(word), np.frombuffer(data, dtype="<f4")


def _decode(spelling: bytes, errors: str, where: str) -> str:
    try:
        return spelling.decode("utf-8", errors)
    except UnicodeDecodeError:
        raise ValueError(
            f"{where}: the word {_shown(spelling)} must be UTF-8; errors='replace' reads on"
        ) from None


def _shown(data: bytes) -> str:
    """The beginning of some bytes, for a message of one line."""
    return repr(data[:40].decode("utf-8", "replace"))
