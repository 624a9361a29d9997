"""What all tokenizers share, tried on whole words: frames, tensors, truncation, padding, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.tokenizers import WordVocab
from minift.tokenizers.base import WordCache

TEXTS = ["the cat sat on the mat .", "a dog ran to the old house .", "one two three four five six"]


@pytest.fixture
def bert() -> WordVocab:
    return WordVocab.train(TEXTS, 100)


def tokens(tokenizer: WordVocab, ids: list[int] | torch.Tensor) -> list[str]:
    return [tokenizer.vocab[index] for index in ids]


def test_bert_frames_a_text_and_a_pair(bert: WordVocab) -> None:
    assert tokens(bert, bert.encode("the cat")) == ["[CLS]", "the", "cat", "[SEP]"]
    assert tokens(bert, bert.encode("the cat", "a dog")) == [
        *["[CLS]", "the", "cat", "[SEP]"],
        *["a", "dog", "[SEP]"],
    ]


def test_t5_ends_each_text_of_a_pair() -> None:
    t5 = WordVocab.train(TEXTS, 100, layout="t5")

    assert tokens(t5, t5.encode("the cat")) == ["the", "cat", "</s>"]
    assert tokens(t5, t5.encode("the cat", "a dog")) == ["the", "cat", "</s>", "a", "dog", "</s>"]


def test_gpt_adds_nothing_to_a_text_and_a_separator_to_a_pair() -> None:
    gpt = WordVocab.train(TEXTS, 100, layout="gpt")

    assert tokens(gpt, gpt.encode("the cat")) == ["the", "cat"]
    assert tokens(gpt, gpt.encode("the cat", "a dog")) == [
        *["the", "cat", "<|endoftext|>", "a", "dog"]
    ]


def test_ids_of_roles_are_none_where_the_layout_has_none() -> None:
    bert, t5, gpt = (WordVocab.train(TEXTS, 100, layout=name) for name in ("bert", "t5", "gpt"))

    assert [bert.pad_id, bert.unk_id, bert.cls_id, bert.sep_id, bert.mask_id] == [0, 1, 2, 3, 4]
    assert bert.eos_id is None
    assert [t5.pad_id, t5.eos_id, t5.unk_id] == [0, 1, 2]
    assert t5.mask_id is t5.cls_id is t5.sep_id is None
    assert gpt.pad_id == gpt.eos_id == 0


def test_special_tokens_written_in_a_text_are_read_unless_it_is_taken_literally(
    bert: WordVocab,
) -> None:
    read = bert.encode("the [MASK] sat")
    literal = bert.encode("the [MASK] sat", special_tokens=False)

    assert tokens(bert, read) == ["[CLS]", "the", "[MASK]", "sat", "[SEP]"]
    assert not set(literal) & {bert.mask_id, bert.cls_id, bert.sep_id}


def test_decode_leaves_special_tokens_out_or_keeps_them(bert: WordVocab) -> None:
    ids = torch.tensor(bert.encode("the cat sat."))

    assert bert.decode(ids) == "the cat sat."
    assert bert.decode(ids, skip_special_tokens=False) == "[CLS] the cat sat. [SEP]"


def test_decode_refuses_ids_outside_the_vocabulary(bert: WordVocab) -> None:
    with pytest.raises(ValueError, match=r"ids must be in 0\..*got -100"):
        bert.decode([5, -100])


def test_token_to_id_refuses_an_unknown_token(bert: WordVocab) -> None:
    assert bert.vocab[bert.token_to_id("cat")] == "cat"
    with pytest.raises(ValueError, match="'zebra'"):
        bert.token_to_id("zebra")


def test_batch_has_the_stated_shapes_and_types(bert: WordVocab) -> None:
    batch = bert(TEXTS, padding="max_length", max_length=12)

    assert {name: (value.dtype, tuple(value.shape)) for name, value in batch.items()} == {
        "input_ids": (torch.int64, (3, 12)),
        "attention_mask": (torch.bool, (3, 12)),
        "token_type_ids": (torch.int64, (3, 12)),
    }


def test_no_texts_make_a_batch_of_no_rows(bert: WordVocab) -> None:
    assert bert([], padding="max_length", max_length=5)["input_ids"].shape == (0, 5)


def test_a_row_of_a_batch_is_the_encoded_text(bert: WordVocab) -> None:
    batch = bert(TEXTS)

    for row, text in enumerate(TEXTS):
        assert batch["input_ids"][row][batch["attention_mask"][row]].tolist() == bert.encode(text)


def test_token_types_are_one_for_the_second_text_and_its_separator(bert: WordVocab) -> None:
    batch = bert(["the cat"], ["a dog ran"], padding="max_length", max_length=10)

    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 0, 0]]


def test_padding_goes_to_the_asked_side(bert: WordVocab) -> None:
    right = bert(["the cat", "a dog ran to"])
    left = bert(["the cat", "a dog ran to"], padding_side="left")

    assert right["attention_mask"][0].tolist() == [True] * 4 + [False] * 2
    assert left["attention_mask"][0].tolist() == [False] * 2 + [True] * 4
    assert (right["input_ids"][~right["attention_mask"]] == bert.pad_id).all()
    assert (left["input_ids"][~left["attention_mask"]] == bert.pad_id).all()
    assert right["input_ids"][1].equal(left["input_ids"][1])


def test_mask_tells_an_end_of_text_from_padding_of_the_same_id() -> None:
    gpt = WordVocab.train(TEXTS, 100, layout="gpt")

    batch = gpt(["the cat<|endoftext|>"], padding="max_length", max_length=5)

    assert batch["input_ids"][0, 2:].tolist() == [gpt.eos_id] * 3
    assert batch["attention_mask"].tolist() == [[True, True, True, False, False]]


def test_a_single_text_is_cut_at_its_end(bert: WordVocab) -> None:
    batch = bert(["one two three four five six"], max_length=5)

    assert tokens(bert, batch["input_ids"][0]) == ["[CLS]", "one", "two", "three", "[SEP]"]


@pytest.mark.parametrize(
    ("max_length", "num_first", "num_second"),
    [(11, 6, 2), (10, 5, 2), (7, 2, 2), (6, 2, 1), (5, 1, 1), (4, 1, 0)],
)
def test_of_a_pair_the_longer_text_is_cut_first_and_of_equals_the_second(
    bert: WordVocab, max_length: int, num_first: int, num_second: int
) -> None:
    first, second = "one two three four five six", "the cat"

    batch = bert([first], [second], max_length=max_length)

    assert tokens(bert, batch["input_ids"][0]) == [
        *["[CLS]", *first.split()[:num_first], "[SEP]"],
        *[*second.split()[:num_second], "[SEP]"],
    ]


def test_too_long_a_text_is_named_when_not_to_be_cut(bert: WordVocab) -> None:
    with pytest.raises(ValueError, match=r"texts\[1\] has 8 tokens, more than max_length 5"):
        bert(["the cat", "one two three four five six"], truncation=False, max_length=5)


def test_without_padding_rows_must_be_equally_long(bert: WordVocab) -> None:
    assert bert(["the cat", "a dog"], padding=None)["attention_mask"].all()
    with pytest.raises(ValueError, match="padding=None needs rows of one length, got 3 to 4"):
        bert(["the cat", "a"], padding=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": "the cat"}, "texts must be a list"),
        ({"pairs": ["one", "two"]}, "pairs must be as many as texts, 1, got 2"),
        ({"padding": "short"}, "padding must be"),
        ({"padding": "max_length"}, "needs max_length"),
        ({"padding_side": "top"}, "padding_side must be"),
        ({"max_length": 2}, "max_length must be above 2"),
        ({"max_length": 3, "pairs": ["one"]}, "max_length must be above 3"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    bert: WordVocab, arguments: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        bert(**{"texts": ["the cat"], **arguments})


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]"], r"lacks \['\[MASK\]'\]"),
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "a"], "id 7 .*'a' again, as 5"),
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ""], "id 5 .*empty"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(vocab: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordVocab(vocab)


def test_fingerprint_tells_vocabulary_order_and_settings(bert: WordVocab) -> None:
    same = WordVocab(bert.vocab)
    swapped = WordVocab([*bert.vocab[:-2], bert.vocab[-1], bert.vocab[-2]])
    both = [*bert.vocab, "<pad>", "</s>", "<unk>"]

    assert len(bert.fingerprint) == 16
    assert same.fingerprint == bert.fingerprint
    assert swapped.fingerprint != bert.fingerprint
    assert WordVocab(both, "t5").fingerprint != WordVocab(both, "bert").fingerprint


def test_saving_leaves_no_temporary_files(bert: WordVocab, tmp_path: Path) -> None:
    bert.save(tmp_path / "new" / "folder")

    names = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert names == {"tokenizer.json", "vocab.txt"}


def test_word_cache_works_each_word_out_once_and_stays_small() -> None:
    asked: list[str] = []

    def pieces(word: str) -> list[str]:
        asked.append(word)
        return list(word)

    cache = WordCache(pieces, max_words=2, max_length=3)
    assert [cache[word] for word in ("ab", "ab", "c")] == [["a", "b"], ["a", "b"], ["c"]]
    assert asked == ["ab", "c"]
    assert cache["d"] == ["d"]
    assert len(cache) == 1
    assert cache["long"] == list("long")
    assert "long" not in cache
