"""WordPiece: splitting as BERT does, greedy spelling, and pieces that training finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from minift.tokenizers import WordPiece
from minift.tokenizers.bert_text import basic_tokenize
from minift.tokenizers.files import read_vocab

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello,  World!\n", ["hello", ",", "world", "!"]),
        ("naïve CAFÉ", ["naive", "cafe"]),
        ("it's $5 (or less)", ["it", "'", "s", "$", "5", "(", "or", "less", ")"]),
        ("新しい本", ["新", "しい", "本"]),
        ("a\u00a0b\u200bc\x00d\ufffd", ["a", "bcd"]),
        ("“quoted”—so", ["“", "quoted", "”", "—", "so"]),
        (" \t\n", []),
    ],
)
def test_text_is_split_as_bert_splits_it(text: str, words: list[str]) -> None:
    assert basic_tokenize(text) == words


def test_cased_text_keeps_case_and_accents() -> None:
    assert basic_tokenize("Naïve CAFÉ!", lowercase=False) == ["Naïve", "CAFÉ", "!"]


def test_a_word_is_spelt_in_the_longest_pieces_from_the_left() -> None:
    tokenizer = WordPiece([*SPECIAL, "a", "ab", "##b", "##bc", "##c", "##cd", "##d"])

    # "ab" first, although "a ##bc ##d" would do as well.
    assert tokenizer.tokenize("abcd") == ["ab", "##cd"]


def test_a_word_without_a_spelling_is_unknown_as_a_whole() -> None:
    tokenizer = WordPiece([*SPECIAL, "a", "##b", "b"])

    assert tokenizer.tokenize("ab abx b") == ["a", "##b", "[UNK]", "b"]


def test_a_word_of_more_than_a_hundred_characters_is_unknown() -> None:
    tokenizer = WordPiece([*SPECIAL, "a", "##a"])

    assert tokenizer.tokenize("a" * 100) == ["a"] + ["##a"] * 99
    assert tokenizer.tokenize("a" * 101) == ["[UNK]"]


def test_training_finds_planted_pieces() -> None:
    texts = ["low lowest tall tallest", "dark darkest slim slimmest low tall dark"] * 2

    tokenizer = WordPiece.train(texts, 60, min_count=4)

    assert {"low", "tall", "dark", "##est"} <= set(tokenizer.vocab)
    assert tokenizer.tokenize("lowest darkest") == ["low", "##est", "dark", "##est"]


def test_training_is_deterministic_and_keeps_to_its_size() -> None:
    texts = ["the theatre there then thaw that", "other weather bathe together", "the then there"]

    first, second = (WordPiece.train(order, 36, min_count=1) for order in (texts, texts[::-1]))

    assert first.vocab == second.vocab
    assert len(first) == 36


def test_every_trained_character_spells_at_the_start_and_inside() -> None:
    tokenizer = WordPiece.train(["xyz"], 20)

    assert "[UNK]" not in tokenizer.tokenize("zyx yxz")


def test_the_rarest_characters_stay_unknown() -> None:
    tokenizer = WordPiece.train(["aab aab aac"], 20, max_characters=2)

    assert tokenizer.tokenize("aab") != ["[UNK]"]
    assert tokenizer.tokenize("aac") == ["[UNK]"]


def test_decoding_joins_pieces_and_punctuation() -> None:
    texts = ["the lower house, the newest one."]
    tokenizer = WordPiece.train(texts, 60)

    assert tokenizer.decode(tokenizer.encode(texts[0])) == texts[0]


def test_word_starts_tell_words_apart() -> None:
    tokenizer = WordPiece([*SPECIAL, "un", "##aff", "##able", "cat"])

    ids = tokenizer.encode("unaffable cat")

    assert tokenizer.word_starts(ids) == [True, True, False, False, True, True]


def test_a_size_without_room_for_the_characters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"vocab_size must be at least 11, .* got 10"):
        WordPiece.train(["abc"], 10)


@pytest.mark.skipif(not DATA.exists(), reason="needs BERT's vocabularies beside the checkout")
def test_bert_ids_of_known_texts() -> None:
    uncased = WordPiece(read_vocab(DATA / "bert-base-uncased" / "vocab.txt"))
    cased = WordPiece(read_vocab(DATA / "bert-base-cased" / "vocab.txt"), lowercase=False)

    assert uncased.encode("hello world") == [101, 7592, 2088, 102]
    assert uncased.tokenize("Unaffable embeddings") == [
        *["una", "##ffa", "##ble", "em", "##bed", "##ding", "##s"]
    ]
    assert cased.encode("hello world") == [101, 19082, 1362, 102]
    assert uncased.mask_id == cased.mask_id == 103


def test_spans_tell_what_each_piece_was_read_from() -> None:
    tokenizer = WordPiece([*SPECIAL, "na", "##ive", "cafe", ",", "##s"])
    text = "\u200b Nai\u0308ve, XX\tCAFÉ\u00ads"

    tokens, spans = tokenizer.tokenize(text), tokenizer.spans(text)

    assert [(token, text[start:end]) for token, (start, end) in zip(tokens, spans)] == [
        *[("na", "Na"), ("##ive", "i\u0308ve"), (",", ","), ("[UNK]", "XX")],
        *[("cafe", "CAFÉ"), ("##s", "s")],
    ]


def test_reading_a_span_again_gives_its_piece(nasty_texts: list[str]) -> None:
    letters = {sign for text in nasty_texts for word in basic_tokenize(text) for sign in word}
    pieces = [*letters, *(f"##{sign}" for sign in letters), "##ed", "ca", "##ive"]
    tokenizer = WordPiece([*SPECIAL, *pieces])

    for text in nasty_texts:
        tokens, spans = tokenizer.tokenize(text), tokenizer.spans(text)
        assert "[UNK]" not in tokens
        for token, (start, end) in zip(tokens, spans):
            # A sign that Unicode takes apart gives several pieces, each with the whole of it.
            own = "".join(basic_tokenize(text[start:end]))
            assert token.removeprefix("##") in own or token == "##"


def test_added_tokens_are_never_split_nor_cleaned() -> None:
    vocab = [*SPECIAL, "a", "b", "é", "[", "]", "[Él]", "[Él]é"]
    tokenizer = WordPiece(vocab, added_tokens={"[Él]": True, "[Él]é": False})

    def read(text: str, **options: bool) -> list[str]:
        return [tokenizer.vocab[index] for index in tokenizer.encode(text, **options)[1:-1]]

    assert read("a[Él]b [Él]éb") == ["a", "[Él]", "b", "[Él]é", "b"]  # the longest
    assert read("[él]") == ["[", "[UNK]", "]"]
    assert "[Él]" not in read("a[Él]b", special_tokens=False)
    assert tokenizer.decode(tokenizer.encode("a [Él] b [Él]é")) == "a b [Él]é"


def test_an_added_token_that_the_vocabulary_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"added_tokens must be in vocab, got '\[E1\]'"):
        WordPiece(SPECIAL, added_tokens={"[E1]": True})


def test_the_longest_word_is_a_setting() -> None:
    tokenizer = WordPiece([*SPECIAL, "a", "##a"], max_word_length=200)

    assert len(tokenizer.tokenize("a" * 200)) == 200
    assert tokenizer.tokenize("a" * 201) == ["[UNK]"]
    assert tokenizer.spans("a" * 201) == [(0, 201)]


def test_settings_change_what_is_read() -> None:
    vocab = [*SPECIAL, "Ca", "Ça", "ça", "本a", "本", "a"]

    assert WordPiece(vocab, lowercase=False, strip_accents=True).tokenize("Ça") == ["Ca"]
    assert WordPiece(vocab, strip_accents=False).tokenize("Ça") == ["ça"]
    assert WordPiece(vocab).tokenize("本a") == ["本", "a"]
    assert WordPiece(vocab, split_chinese=False).tokenize("本a") == ["本a"]


def test_nothing_is_learnt_from_an_endless_word() -> None:
    tokenizer = WordPiece.train(["ab " + "xy" * 60] * 3, 40)

    assert "ab" in tokenizer.vocab
    assert "xy" not in tokenizer.vocab
