"""Files of word vectors against gensim: byte for byte in writing, number for number in reading."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from minift.interop.word_vectors import load_word2vec, read_vectors, write_vectors
from minift.models.word2vec import analogy, nearest

pytestmark = pytest.mark.parity

NASTY = [
    "the",
    "naïve",
    "b\xa0c",
    "\x85",
    "日本",
    "😀",
    "e\u0301",
    "</s>",
    "1",
    "-",
    "\u200b",
    "\ufeff",
]


@pytest.fixture(scope="module")
def keyed():  # type: ignore[no-untyped-def]
    """500 words in gensim; the vectors' numbers have every size a float32 can have."""
    models = pytest.importorskip("gensim.models")
    rng = np.random.default_rng(0)
    words = NASTY + [f"word{n}" for n in range(500 - len(NASTY))]
    scales = 10.0 ** rng.integers(-44, 38, size=(250, 1))
    vectors = rng.standard_normal((500, 20))
    vectors[250:] *= scales
    vectors = np.concatenate([vectors, np.zeros((500, 1)), np.ones((500, 1))], axis=1)
    kept = models.KeyedVectors(22)
    kept.add_vectors(words, vectors.astype(np.float32))
    return kept


def table(keyed) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return torch.from_numpy(keyed.vectors)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_are_the_same_bytes(keyed, tmp_path: Path, binary: bool, ending: str) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = tmp_path / f"theirs{ending}", tmp_path / f"ours{ending}"
    keyed.save_word2vec_format(str(theirs), binary=binary)
    write_vectors(ours, keyed.index_to_key, table(keyed), binary=binary)
    unpack = gzip.decompress if ending else bytes
    assert unpack(ours.read_bytes()) == unpack(theirs.read_bytes())


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_each_reads_what_the_other_wrote(keyed, tmp_path: Path, binary: bool, ending: str) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = tmp_path / f"theirs{ending}", tmp_path / f"ours{ending}"
    keyed.save_word2vec_format(str(theirs), binary=binary)
    words, vectors = read_vectors(theirs)
    assert words == keyed.index_to_key
    assert torch.equal(vectors, table(keyed))
    write_vectors(ours, words, vectors, binary=binary)
    again = type(keyed).load_word2vec_format(str(ours), binary=binary)
    assert again.index_to_key == keyed.index_to_key
    assert np.array_equal(again.vectors, keyed.vectors)


@pytest.mark.parametrize("digits", [1, 6, 9, 17, 30])
def test_decimals_of_any_length_are_read_as_the_same_float32(
    keyed, tmp_path: Path, digits: int  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    rng = np.random.default_rng(digits)
    rows = [" ".join(f"{x:.{digits}f}" for x in row) for row in rng.standard_normal((200, 8))]
    path = tmp_path / "v.vec"
    path.write_text("200 8\n" + "".join(f"w{n} {row} \n" for n, row in enumerate(rows)))
    theirs = type(keyed).load_word2vec_format(str(path))
    assert np.array_equal(read_vectors(path).vectors.numpy(), theirs.vectors)


def test_repeated_words_and_limits_are_treated_alike(keyed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "v"
    path.write_text("4 1\na 1\nb 2\na 3\nc 4\n")
    theirs = type(keyed).load_word2vec_format(str(path))
    words, vectors = read_vectors(path)
    # gensim keeps an empty row at the end for each word left out.
    assert words == [word for word in theirs.index_to_key if word is not None]
    assert np.array_equal(vectors.numpy(), theirs.vectors[: len(words)])
    assert (
        read_vectors(path, limit=2).words
        == type(keyed).load_word2vec_format(str(path), limit=2).index_to_key
    )


def test_a_trained_table_answers_alike(tmp_path: Path) -> None:
    """Nearest words and analogies (3CosAdd) of vectors that gensim trained."""
    models = pytest.importorskip("gensim.models")
    rng = np.random.default_rng(0)
    sentences = [[f"w{n}" for n in rng.integers(0, 30, size=12)] for _ in range(200)]
    trained = models.Word2Vec(sentences, vector_size=16, min_count=1, workers=1, seed=1, epochs=3)
    path = tmp_path / "v.bin"
    trained.wv.save_word2vec_format(str(path), binary=True)
    model, tokenizer = load_word2vec(path)
    words = trained.wv.index_to_key
    row = {word: tokenizer.encode(word, special_tokens=False)[0] for word in words}
    assert np.array_equal(model.vectors[[row[word] for word in words]].numpy(), trained.wv.vectors)
    specials = torch.tensor(sorted(tokenizer.special_ids))
    for a, b, c in zip(words, words[1:], words[2:]):
        own = torch.tensor([row[a]])
        ids, cosines = nearest(
            model.vectors, model.vectors[row[a]], 5, exclude=torch.cat([own, specials])
        )
        theirs = trained.wv.most_similar(a, topn=5)
        assert [tokenizer.vocab[index] for index in ids] == [word for word, _ in theirs]
        assert cosines.tolist() == pytest.approx([cosine for _, cosine in theirs], abs=1e-5)
        answer = analogy(model.vectors, torch.tensor([row[a], row[b], row[c]]))
        [(best, _)] = trained.wv.most_similar(positive=[b, c], negative=[a], topn=1)
        assert tokenizer.vocab[int(answer[0])] == best
