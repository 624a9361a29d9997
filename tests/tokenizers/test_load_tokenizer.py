"""Every kind comes back from its folder as it was, and a folder that is wrong says what is."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from minift.tokenizers import ByteBPE, Tokenizer, WordPiece, WordVocab, load_tokenizer

TEXTS = ["The newest café is lower than the lowest.", "Wider, newer, lower: new!"]
TOKENIZERS: dict[str, Tokenizer] = {
    "word_vocab": WordVocab.train(TEXTS, 50),
    "word_vocab_t5": WordVocab.train(TEXTS, 50, layout="t5", num_sentinels=3),
    "wordpiece": WordPiece.train(TEXTS, 80),
    "wordpiece_cased": WordPiece.train(TEXTS, 90, lowercase=False),
    "byte_bpe": ByteBPE.train(TEXTS, 270),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_saved_tokenizer_comes_back_the_same(name: str, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[name]

    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)

    assert type(loaded) is type(tokenizer)
    assert loaded.vocab == tokenizer.vocab
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.special_ids == tokenizer.special_ids
    for text in [*TEXTS, "An unseen LOWER café…"]:
        assert loaded.encode(text, "and") == tokenizer.encode(text, "and")


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_travels_to_other_processes(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    expected = [tokenizer.encode(text) for text in TEXTS]

    travelled = pickle.loads(pickle.dumps(tokenizer))

    assert [travelled.encode(text) for text in TEXTS] == expected


def test_fingerprints_of_different_tokenizers_differ() -> None:
    assert len({tokenizer.fingerprint for tokenizer in TOKENIZERS.values()}) == len(TOKENIZERS)


def test_merges_count_in_the_fingerprint() -> None:
    letters = TOKENIZERS["byte_bpe"].vocab[:256]
    vocab = [*letters, "ab", "bc", "<|endoftext|>"]

    one = ByteBPE(vocab, [("a", "b"), ("b", "c")])
    other = ByteBPE(vocab, [("b", "c"), ("a", "b")])

    assert one.encode("abc") != other.encode("abc")
    assert one.fingerprint != other.fingerprint


def test_a_save_broken_off_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TOKENIZERS["word_vocab"].save(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def power_cut(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        TOKENIZERS["word_vocab"].save(tmp_path)

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_loading_as_another_kind_is_refused(tmp_path: Path) -> None:
    TOKENIZERS["word_vocab"].save(tmp_path)

    with pytest.raises(ValueError, match="kind must be 'wordpiece', got 'word_vocab'"):
        WordPiece.load(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is no folder"):
        load_tokenizer(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("word_vocab", "tokenizer.json"),
        ("word_vocab", "vocab.txt"),
        ("byte_bpe", "vocab.json"),
        ("byte_bpe", "merges.txt"),
    ],
)
def test_a_missing_file_is_named(name: str, file: str, tmp_path: Path) -> None:
    TOKENIZERS[name].save(tmp_path)
    (tmp_path / file).unlink()

    with pytest.raises(ValueError, match=f"{file} is missing"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"kind": "word_vocab",\n oops}', r"tokenizer\.json: line 2 must be JSON"),
        ('{"version": "1.0"}', r'tokenizer\.json: must have a "kind"'),
        ("[1, 2]", r'tokenizer\.json: must have a "kind"'),
        ('{"kind": "sentences"}', r"kind must be one of \['word_vocab', .*got 'sentences'"),
        ('{"kind": "word_vocab", "settings": {"colour": 1}}', r"settings must .*\['layout'\]"),
    ],
)
def test_a_broken_description_is_named(content: str, message: str, tmp_path: Path) -> None:
    TOKENIZERS["word_vocab"].save(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)

    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


def test_a_repeated_token_is_named_with_its_line(tmp_path: Path) -> None:
    TOKENIZERS["word_vocab"].save(tmp_path)
    path = tmp_path / "vocab.txt"
    path.write_text(path.read_text() + "[SEP]\n")
    last = len(path.read_text().splitlines())

    with pytest.raises(ValueError, match=rf"vocab\.txt: line {last} .*'\[SEP\]' again, as 4 is"):
        load_tokenizer(tmp_path)


def test_a_repeated_entry_of_vocab_json_is_named(tmp_path: Path) -> None:
    TOKENIZERS["byte_bpe"].save(tmp_path)
    path = tmp_path / "vocab.json"
    path.write_text(path.read_text().replace("{", '{"!": 5, ', 1))

    with pytest.raises(ValueError, match=r"vocab\.json: entry 2 .*'!' again, as 1 is"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("ids", [[0, 2], [1, 2], ["0", "1"]])
def test_ids_of_vocab_json_must_count_up_from_zero(ids: list, tmp_path: Path) -> None:
    TOKENIZERS["byte_bpe"].save(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"a": ids[0], "b": ids[1]}))

    with pytest.raises(ValueError, match=r"vocab\.json: ids must be 0\.\.1, each once"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a b c", "must be two tokens, got 'a b c'"),
        ("lonely", "must be two tokens, got 'lonely'"),
        ("l o", "must be a new merge, got 'l o' again, as line 3 is"),
    ],
)
def test_a_broken_merge_is_named_with_its_line(line: str, message: str, tmp_path: Path) -> None:
    TOKENIZERS["byte_bpe"].save(tmp_path)
    path = tmp_path / "merges.txt"
    assert path.read_text().splitlines()[2] == "l o"
    path.write_text(path.read_text() + line + "\n")
    last = len(path.read_text().splitlines())

    with pytest.raises(ValueError, match=rf"merges\.txt: line {last} {message}"):
        load_tokenizer(tmp_path)


def test_files_of_two_tokenizers_in_one_folder_are_noticed(tmp_path: Path) -> None:
    TOKENIZERS["word_vocab"].save(tmp_path)
    vocab = TOKENIZERS["word_vocab"].vocab
    (tmp_path / "vocab.txt").write_text("\n".join([*vocab, "more"]) + "\n")

    with pytest.raises(ValueError, match="the files are of different tokenizers"):
        load_tokenizer(tmp_path)


def test_a_vocabulary_with_windows_line_ends_is_read(tmp_path: Path) -> None:
    TOKENIZERS["wordpiece"].save(tmp_path)
    path = tmp_path / "vocab.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert load_tokenizer(tmp_path).vocab == TOKENIZERS["wordpiece"].vocab
