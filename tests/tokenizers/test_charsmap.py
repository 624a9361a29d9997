"""Character maps: the longest string is replaced, and every character knows where it came from."""

# ruff: noqa: RUF001 (signs that look like others are the point)

from __future__ import annotations

import random

import pytest

from minift.tokenizers.charsmap import CharacterMap, Normalizer, nfkc_rules

RULES = {"ﬁ": "fi", "e\u0301": "é", "e\u0301\u0302": "ê", "\t": " ", "\u200b": "", "a": "A"}


@pytest.fixture(scope="module")
def nfkc() -> CharacterMap:
    return CharacterMap.from_rules(nfkc_rules())


def test_the_longest_string_of_the_map_is_replaced() -> None:
    charsmap = CharacterMap.from_rules(RULES)

    assert charsmap.longest("xe\u0301\u0302z", 1) == (3, "ê")
    assert charsmap.longest("e\u0301z", 0) == (2, "é")
    assert charsmap.longest("ez", 0) is None
    assert charsmap.longest("e", 0) is None
    assert charsmap.longest("\u200b", 0) == (1, "")


def test_every_rule_is_found_in_a_compiled_map(nfkc: CharacterMap) -> None:
    rules = nfkc_rules()

    assert len(rules) > 5000
    for string, text in rules.items():
        assert nfkc.longest(string, 0) == (len(string), text)


def test_a_map_finds_nothing_that_is_not_in_it() -> None:
    draw = random.Random(0)
    rules = {"".join(draw.choices("abcdé漢\x01", k=draw.randrange(1, 5))): "x" for _ in range(300)}
    charsmap = CharacterMap.from_rules(rules)

    for _ in range(3000):
        text = "".join(draw.choices("abcdé漢\x01\x00", k=5))
        longest = max((n for n in range(1, 6) if text[:n] in rules), default=None)
        assert charsmap.longest(text, 0) == (None if longest is None else (longest, "x")), text


def test_compatible_characters_spaces_and_marks_are_united(nfkc: CharacterMap) -> None:
    normalizer = Normalizer(nfkc)

    text, _ = normalizer(" ﬁne\t①\u3000e\u0301 e\u0302\u0301 Ａ\u200b! ")

    assert text == "▁fine▁1▁é▁\u1ebf▁A!"


def test_spaces_shrink_and_text_begins_with_one() -> None:
    text, sources = Normalizer()("  a  b ")

    assert text == "▁a▁b"
    assert sources == [(2, 2), (2, 3), (3, 4), (5, 6)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"add_dummy_prefix": False}, "a▁b"),
        ({"remove_extra_whitespaces": False}, "▁▁▁a▁▁b▁"),
        ({"escape_whitespaces": False}, " a b"),
        ({"whitespace_as_suffix": True}, "a▁b▁"),
    ],
)
def test_the_treatment_of_spaces_can_be_chosen(options: dict[str, bool], expected: str) -> None:
    assert Normalizer(**options)("  a  b ")[0] == expected


@pytest.mark.parametrize("text", ["", " ", "   ", "\u200b", "\u200b \u200b"])
def test_nothing_stays_nothing(text: str, nfkc: CharacterMap) -> None:
    assert Normalizer(nfkc)(text) == ("", [])


def test_a_replacement_comes_from_all_it_replaces() -> None:
    text, sources = Normalizer(CharacterMap.from_rules(RULES), add_dummy_prefix=False)("xﬁe\u0301")

    assert text == "xfié"
    assert sources == [(0, 1), (1, 2), (1, 2), (2, 4)]


def test_what_is_to_stay_untouched_stays() -> None:
    normalizer = Normalizer(CharacterMap.from_rules(RULES), add_dummy_prefix=False)

    assert normalizer("ﬁaﬁa")[0] == "fiAfiA"
    assert normalizer("ﬁaﬁa", {"aﬁ"})[0] == "fiaﬁA"


def test_half_of_a_surrogate_pair_becomes_the_replacement_character(nfkc: CharacterMap) -> None:
    assert Normalizer(nfkc)("a\ud800b")[0] == "▁a\ufffdb"


@pytest.mark.parametrize(
    ("rules", "message"),
    [({"": "x"}, "rules must be of texts"), ({"a\0": "x"}, "rules must be of texts")],
)
def test_rules_that_a_map_cannot_hold_are_refused(rules: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CharacterMap.from_rules(rules)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x01", b"\xff\xff\xff\xff" + bytes(8), b"\x00\x00\x00\x00" + bytes(8), bytes(2000)],
)
def test_a_size_that_does_not_fit_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="character map must begin with the size of its trie"):
        CharacterMap(content)


def test_a_damaged_map_is_refused_or_harmless() -> None:
    content = CharacterMap.from_rules(RULES).content
    draw = random.Random(0)

    for _ in range(300):
        damaged = bytearray(content[: draw.choice([len(content), draw.randrange(len(content))])])
        for _ in range(draw.randrange(1, 8)):
            if damaged:
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            charsmap = CharacterMap(bytes(damaged))
        except ValueError:
            continue
        for string in [*RULES, "zzz", "\U0010ffff"]:
            Normalizer(charsmap)(string + "x" + string)
