"""Whole words: what is kept, what is unknown, and how words come together again."""

from __future__ import annotations

import pytest

from minift.tokenizers import WordVocab

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_words_are_ranked_by_count_then_alphabet() -> None:
    vocab = WordVocab.train(["pear fig fig apple", "Fig pear plum"], 100).vocab

    assert vocab == [*SPECIAL, "fig", "pear", "apple", "plum"]


def test_training_depends_on_counts_only_not_on_the_order_of_texts() -> None:
    texts = ["b a c", "c d", "a c"]

    assert WordVocab.train(texts, 50).vocab == WordVocab.train(texts[::-1], 50).vocab


def test_rare_words_are_left_out_by_size_and_by_count() -> None:
    texts = ["a a a b b c"]

    assert WordVocab.train(texts, 7).vocab[5:] == ["a", "b"]
    assert WordVocab.train(texts, 50, min_count=3).vocab[5:] == ["a"]


def test_an_unseen_word_is_the_unknown_token() -> None:
    tokenizer = WordVocab.train(["the cat sat"], 50)

    assert tokenizer.tokenize("The zebra sat") == ["the", "[UNK]", "sat"]
    assert tokenizer.encode("zebra", special_tokens=False) == [tokenizer.unk_id]


@pytest.mark.parametrize(
    "text",
    ["yes, the dog's bone: old; new? gone!", "he said that it is here.", "don't you?"],
)
def test_decoding_puts_no_space_before_punctuation(text: str) -> None:
    tokenizer = WordVocab.train([text], 50)

    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_sentinels_are_special_and_in_order() -> None:
    tokenizer = WordVocab.train(["the cat sat"], 50, layout="t5", num_sentinels=12)

    assert [tokenizer.vocab[index] for index in tokenizer.sentinel_ids] == [
        f"<extra_id_{number}>" for number in range(12)
    ]
    assert set(tokenizer.sentinel_ids) < tokenizer.special_ids
    ids = tokenizer.encode("the <extra_id_11> sat", special_tokens=True)
    assert ids[1] == tokenizer.sentinel_ids[11]


def test_there_are_no_sentinels_unless_asked_for() -> None:
    assert WordVocab.train(["the cat sat"], 50, layout="t5").sentinel_ids == []


def test_mistakes_in_training_are_named() -> None:
    with pytest.raises(ValueError, match=r"layout must be one of \['bert', 't5', 'gpt'\]"):
        WordVocab.train(["a"], 50, layout="elmo")
    with pytest.raises(ValueError, match=r"vocab_size must be above 5, .* got 5"):
        WordVocab.train(["a"], 5)
    with pytest.raises(ValueError, match="texts must be a list"):
        WordVocab.train("a b c", 50)


def test_spans_tell_where_words_stand_also_when_small_letters_take_more_room() -> None:
    tokenizer = WordVocab.train(["the dog's mat"], 20)
    text = "İ the DOG'S\nmat."

    tokens, spans = tokenizer.tokenize(text), tokenizer.spans(text)

    # The small form of the first letter is "i" and a dot, which is a token of its own.
    assert [text[start:end] for start, end in spans] == [
        *["İ", "İ", "the", "DOG", "'S", "mat", "."]
    ]
    assert tokens == ["[UNK]", "[UNK]", "the", "dog", "'s", "mat", "[UNK]"]
