"""BERT's way to read a text: which characters vanish, part, or stand alone, and from where."""

from __future__ import annotations

import unicodedata

import pytest

from minift.tokenizers.bert_text import NOT_SPACE, basic_tokenize, read_words, split_run


def test_nasty_strings_are_read_by_the_rules(
    nasty: str, bert_words: tuple[list[str], list[str]]
) -> None:
    uncased, cased = bert_words

    assert basic_tokenize(nasty) == uncased
    assert basic_tokenize(nasty, lowercase=False) == cased


def test_capitals_and_accents_go_apart_from_each_other() -> None:
    def read(**settings: bool) -> list[str]:
        return [word.text for word in read_words("Éİ", **settings)]

    assert read(lowercase=True, strip_accents=False) == ["éi\u0307"]
    assert read(lowercase=False, strip_accents=True) == ["EI"]


def test_chinese_characters_stay_in_words_where_asked() -> None:
    words = read_words("新しい本a", split_chinese=False)

    assert [word.text for word in words] == ["新しい本a"]


def test_a_word_knows_where_its_characters_came_from() -> None:
    text = "\u200b(É\u0323t\u200bé"

    words = read_words(text)

    assert [(word.text, word.places) for word in words] == [("(", [1]), ("ete", [2, 4, 6])]


@pytest.mark.parametrize("lowercase", [True, False])
def test_words_without_places_are_the_same_words(
    lowercase: bool, nasty_texts: list[str], random_texts: list[str]
) -> None:
    ascii_texts = ["".join(map(chr, range(128))), "It's_me@HOME.org (a\x1cB)\x7f!?"]
    for text in [*ascii_texts, *nasty_texts, *random_texts]:
        for run in NOT_SPACE.findall(text):
            words = [word.text for word in read_words(run, lowercase)]
            assert split_run(run, lowercase) == words, ascii(run)


def test_taking_accents_off_equals_the_normal_form_of_the_whole(random_texts: list[str]) -> None:
    for text in random_texts:
        for run in NOT_SPACE.findall(text):
            visible = (
                sign
                for sign in run
                if sign != "\ufffd" and unicodedata.category(sign) not in ("Cc", "Cf", "Co", "Cs")
            )
            normal = unicodedata.normalize("NFD", "".join(visible))
            expected = "".join(sign for sign in normal if unicodedata.category(sign) != "Mn")
            words = read_words(run, lowercase=False, strip_accents=True)
            assert "".join(word.text for word in words) == expected


def test_white_space_is_what_unicode_counts_as_a_separator() -> None:
    spaces = {chr(code) for code in range(0x110000) if not NOT_SPACE.match(chr(code))}

    assert spaces == {"\t", "\n", "\r"} | {
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code))[0] == "Z"
    }
