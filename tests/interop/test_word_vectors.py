"""Word vectors in and out: both formats come back as they were, and damage is named."""

from __future__ import annotations

import gzip
import struct
import warnings
from pathlib import Path

import pytest
import torch

import minift
from minift.interop.word_vectors import load_word2vec, read_vectors, save_word2vec, write_vectors
from minift.models.word2vec import Word2Vec, Word2VecConfig, nearest
from minift.recipes.finetuning import FinetuneConfig, finetune
from minift.tokenizers import WordVocab

WORDS = ["the", "naïve", "b\xa0c", "日本", "x" * 300]
VECTORS = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", ["v.vec", "v.bin.gz"])
def test_what_was_written_is_read_bit_for_bit(tmp_path: Path, name: str, binary: bool) -> None:
    write_vectors(tmp_path / name, WORDS, VECTORS, binary=binary)
    words, vectors = read_vectors(tmp_path / name)
    assert words == WORDS
    assert torch.equal(vectors, VECTORS)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_format_is_seen_also_where_vectors_are_short(tmp_path: Path, size: int) -> None:
    for binary in (False, True):
        write_vectors(tmp_path / "v", WORDS, VECTORS[:, :size], binary=binary)
        assert torch.equal(read_vectors(tmp_path / "v").vectors, VECTORS[:, :size])


def test_the_same_vectors_make_the_same_compressed_file(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_vectors(tmp_path / name, WORDS, VECTORS)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_the_layout_of_the_authors_program_is_read(tmp_path: Path) -> None:
    """It ends a text row with a space, and a binary one with a newline."""
    text = write(tmp_path / "t", b"2 2\n</s> 0.5 -1.000000 \nof 2 3e-2 \n")
    binary = write(
        tmp_path / "b",
        b"2 2\n</s> "
        + struct.pack("<2f", 0.5, -1)
        + b"\nof "
        + struct.pack("<2f", 2, 3e-2)
        + b"\n",
    )
    expected = torch.tensor([[0.5, -1.0], [2.0, 3e-2]])
    for path in (text, binary):
        words, vectors = read_vectors(path)
        assert words == ["</s>", "of"]
        assert torch.equal(vectors, expected)


def test_a_limit_reads_the_first_rows_only(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v", WORDS, VECTORS, binary=True)
    words, vectors = read_vectors(tmp_path / "v", limit=2)
    assert words == WORDS[:2]
    assert torch.equal(vectors, VECTORS[:2])


def test_of_a_repeated_word_the_first_vector_stays(tmp_path: Path) -> None:
    words, vectors = read_vectors(write(tmp_path / "v", b"3 1\na 1\nb 2\na 3\n"))
    assert words == ["a", "b"]
    assert vectors.tolist() == [[1.0], [2.0]]


def test_a_word_cut_within_a_character_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "v", b"2 1\na\xc3 1\nb 2\n")
    with pytest.raises(ValueError, match=r"v: row 1 of 2: the word .* must be UTF-8"):
        read_vectors(path)
    assert read_vectors(path, errors="ignore").words == ["a", "b"]


TEXT = b"2 3\na 1 2 3\nb 4 5 6\n"
BINARY = b"2 3\na " + struct.pack("<3f", 1.5, 2.5, 3.5) + b"b " + struct.pack("<3f", 4.5, 5.5, 6.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 must be the number of words"),
        (b"hello world\n", "line 1 must be"),
        (b"2\n", "line 1 must be"),
        (b"0 3\n", "line 1 must be"),
        (b"-1 3\na 1 2 3\n", "line 1 must be"),
        (b"2 3" + b" " * 1000 + b"\n", "line 1 must be"),
        (b"9" * 1000, "line 1 must be"),
        (b"3000000000 300\na 1 2 3\n", "announces 3000000000 words"),
        (b"1 99999999\na 1 2 3\n", "announces 1 words of 99999999"),
        (b"3 3\na 1 2.0 3\nb 4 5 6\n", "row 3 of 3 is missing"),
        (b"1 3\na 1 2 3\nb 4 5 6\n", "more follows the 1 rows"),
        (b"2 3\na 1 2\nb 4 5 6\n", "row 1 of 2 must be a word and 3 numbers"),
        (b"2 3\na 1 2 3\nb 4 5 6 7\n", "row 2 of 2 must be a word and 3 numbers"),
        (b"2 3\na 1 2 3\nb 4 five 6\n", "row 2 of 2, 'b', holds what is no number"),
        (b"2 3\na 1 nan 3\nb 4 5 6\n", "row 1 of 2, 'a', holds a number that is not finite"),
        (b"2 3\na 1 2 3\nb 4 1e99 6\n", "row 2 of 2, 'b', holds a number that is not finite"),
        (BINARY[:-1], "row 2 of 2 must be a word and 12 bytes, got 11"),
        (BINARY[:-13], "row 2 of 2 has no end of the word"),
        (BINARY + b"c 123", "more follows"),
        (BINARY.replace(b"2 3", b"2 2"), "more follows the 2 rows"),
        (BINARY[:4] + b"a" * 70_000 + BINARY[5:], "row 1 of 2 has no end of the word"),
    ],
)
@pytest.mark.parametrize("name", ["v.vec", "v.vec.gz"])
def test_damage_is_named_with_file_and_row(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=rf"{name}.*{message}") as caught:
        read_vectors(path)
    assert "\n" not in str(caught.value)


def test_a_compressed_file_that_is_cut_off_or_damaged_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT)
    for content in (whole[:-12], whole[:12], whole[:-8] + b"\0" * 8, whole[:3]):
        (tmp_path / "v.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"v\.gz"):
            read_vectors(tmp_path / "v.gz")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.vec: cannot be read: No such file"):
        read_vectors(tmp_path / "none.vec")


def test_any_cut_of_a_file_raises_and_nothing_else(tmp_path: Path) -> None:
    for content in (TEXT, BINARY, gzip.compress(TEXT)):
        for length in range(len(content) - 2):  # the last number's last digit could be missing
            (tmp_path / "v").write_bytes(content[:length])
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(ValueError, match="v"):
                    read_vectors(tmp_path / "v")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "a"], "'a' 2 times"),
        (["a", "b c"], "without spaces, got 'b c'"),
        (["a", ""], "non-empty"),
        (["\na", "b"], "without spaces"),
        (["a"], "a row for each of the 1 words"),
    ],
)
def test_words_that_could_not_be_read_back_are_refused(
    tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_vectors(tmp_path / "v", words, VECTORS[:2])
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v", ["a"], VECTORS[:1])
    before = (tmp_path / "v").read_bytes()
    with pytest.raises(ValueError, match="finite"):
        write_vectors(tmp_path / "v", ["a"], VECTORS[:1] * torch.inf)
    with pytest.raises(UnicodeEncodeError):
        write_vectors(tmp_path / "v", ["\ud800"], VECTORS[:1])
    assert (tmp_path / "v").read_bytes() == before


def test_a_file_becomes_a_model_and_its_tokenizer(tmp_path: Path) -> None:
    path = write(tmp_path / "v", b"3 2\ndog 1 0\ncat 0.9 0.1\nstone 0 1\n")
    model, tokenizer = load_word2vec(path)
    ids = tokenizer(["dog stone", "cat unheard-of"])
    assert model(ids["input_ids"], ids["attention_mask"])[0].tolist() == [
        0.5,
        0.5,
    ]  # the mean, with nothing around the text
    assert not model.vectors[tokenizer.unk_id].any()
    dog = tokenizer.encode("dog", special_tokens=False)
    found, _ = nearest(model.vectors, model.vectors[dog[0]], k=2)
    assert tokenizer.decode(found.tolist()) == "dog cat"


@pytest.mark.parametrize("layout", ["bert", "t5", "gpt"])
@pytest.mark.parametrize("binary", [False, True])
def test_a_trained_model_comes_back_with_the_same_ids(
    tmp_path: Path, layout: str, binary: bool
) -> None:
    tokenizer = WordVocab.train(["some words and some more"], 40, layout=layout)
    model = Word2Vec(Word2VecConfig(len(tokenizer) + 3, 4, tokenizer.pad_id))  # 3 rows to spare
    model.tokenizer_id = tokenizer.fingerprint
    save_word2vec(model, tokenizer, tmp_path / "v.gz", binary=binary)
    again, again_tokenizer = load_word2vec(tmp_path / "v.gz")
    assert again_tokenizer.fingerprint == tokenizer.fingerprint == again.tokenizer_id
    assert torch.equal(again.vectors, model.vectors[: len(tokenizer)])
    ids = tokenizer(["more words", "some"])["input_ids"]
    model.reset_head(None)
    assert torch.equal(again(ids), model.eval()(ids))


def test_a_model_refuses_another_tokenizer(tmp_path: Path) -> None:
    tokenizer, other = (WordVocab.train([text], 40) for text in ("one text", "another text"))
    model = Word2Vec(Word2VecConfig(len(tokenizer), 4))
    model.tokenizer_id = tokenizer.fingerprint
    with pytest.raises(ValueError, match="is not the model's own"):
        save_word2vec(model, other, tmp_path / "v")


def test_vectors_from_elsewhere_are_finetuned_like_any_trunk(tmp_path: Path) -> None:
    path = write(tmp_path / "v", b"4 2\ngood 1 0\nfine 0.8 0.3\nbad 0 1\nawful 0.2 0.9\n")
    model, tokenizer = load_word2vec(path)
    minift.save(model, tmp_path / "saved", tokenizer)
    model = minift.load(tmp_path / "saved", head="classify", num_classes=2)
    tokenizer = minift.load_tokenizer(tmp_path / "saved")
    rows = tokenizer(["good good", "bad"])
    train = {name: rows[name] for name in model.input_names}
    train["labels"] = torch.tensor([1, 0])
    config = FinetuneConfig(
        epochs=20, batch_size=2, lr=0.1, num_frozen=2, precision="fp32", progress=False
    )
    finetune(model, train, config)
    ids = tokenizer(["fine", "awful"])  # words that only the vectors know to be like the others
    with torch.no_grad():
        decided = model.eval()(ids["input_ids"], ids["attention_mask"]).argmax(dim=1)
    assert decided.tolist() == [1, 0]
