"""Strings that tokenizers have failed at, for all their tests."""

from __future__ import annotations

import random
import unicodedata

import pytest

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # three faces and the joiners between them

# How BERT's rules read them: text -> words without capitals and accents, words as written.
BERT_WORDS: dict[str, tuple[list[str], list[str]]] = {
    "": ([], []),
    " \t\r\n\u00a0\u3000\u2028": ([], []),
    # Every kind of space parts; control and format characters do not, they vanish.
    "a\u00a0b\u2003c\u3000d\u2029e\u1680f": (["a", "b", "c", "d", "e", "f"],) * 2,
    "a\x00b\x07c\x1fd\x7fe\x85f\x0bg": (["abcdefg"],) * 2,
    "zero\u200bwidth\u200djoin\ufeffed soft\u00adhyphen": (["zerowidthjoined", "softhyphen"],) * 2,
    "\u202eright\u202c to left\u200f": (["right", "to", "left"],) * 2,
    "gone\ufffd \ue000private\uf8ff \U0010fffd": (["gone", "private"],) * 2,
    "\ud800half\udfff": (["half"],) * 2,
    "\u200b \ufeff": ([], []),
    # Accents: composed, apart, several in either order, without a letter to stand on.
    "Ça vä? NAÏVE": (["ca", "va", "?", "naive"], ["Ça", "vä", "?", "NAÏVE"]),
    "e\u0301 E\u0301a": (["e", "ea"], ["e\u0301", "E\u0301a"]),
    "q\u0323\u0307 q\u0307\u0323": (["q", "q"], ["q\u0323\u0307", "q\u0307\u0323"]),
    "\u0301 \u0301a": (["a"], ["\u0301", "\u0301a"]),
    "Z\u0351\u036b\u0343a\u0363lgo": (["zalgo"], ["Z\u0351\u036b\u0343a\u0363lgo"]),
    "Ångström Å \u212b": (["angstrom", "a", "a"], ["Ångström", "Å", "\u212b"]),
    "≠ \u037e": (["=", ";"], ["≠", "\u037e"]),  # taken apart, these are punctuation
    # Letters whose small form is longer, none, or another at a word's end.
    "İstanbul IĞDIR": (["istanbul", "igdir"], ["İstanbul", "IĞDIR"]),
    "ΣΊΣΥΦΟΣ Σ": (["σισυφοσ", "\u03c3"], ["ΣΊΣΥΦΟΣ", "Σ"]),
    "Straße ẞ ﬁn Ǆ": (["straße", "ß", "ﬁn", "ǆ"], ["Straße", "ẞ", "ﬁn", "Ǆ"]),
    "Ёлка Й": (["елка", "и"], ["Ёлка", "Й"]),
    # Punctuation: of ASCII also what Unicode calls symbols; of the rest only punctuation.
    "a$b+c<d^e`f|g~h": (list("a$b+c<d^e`f|g~h"),) * 2,
    "€5 ©2020 10° ±1": (["€5", "©2020", "10°", "±1"],) * 2,
    "«so»—¿no?…": (["«", "so", "»", "—", "¿", "no", "?", "…"],) * 2,
    "it's_me@home.org": (["it", "'", "s", "_", "me", "@", "home", ".", "org"],) * 2,
    # Chinese characters stand alone, kana and hangul do not.
    "日本語を新しい本a人b": (["日", "本", "語", "を", "新", "しい", "本", "a", "人", "b"],) * 2,
    "\U00020000x\U0002f800": (["\U00020000", "x", "\u4e3d"], ["\U00020000", "x", "\U0002f800"]),
    "カタカナ「ガ」": (["カタカナ", "「", "カ", "」"], ["カタカナ", "「", "ガ", "」"]),
    "한국어": (["\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165"], ["한국어"]),
    # Arabic and Hebrew lose the signs of their vowels, Thai and Hindi those above and below.
    "مُحَمَّد، ؟": (["محمد", "،", "؟"], ["مُحَمَّد", "،", "؟"]),
    "شَلُوم שָׁלוֹם־": (["شلوم", "שלום", "־"], ["شَلُوم", "שָׁלוֹם", "־"]),
    "สวัสดีที่นี่": (["สวสดทน"], ["สวัสดีที่นี่"]),
    "हिन्दी।": (["हिनदी", "।"], ["हिन्दी", "।"]),
    # Emoji: a variation selector and a keycap are marks, a joiner is a format character.
    "ok👍🏽!": (["ok👍🏽", "!"],) * 2,
    FAMILY + " 🇩🇪": ([FAMILY.replace("\u200d", ""), "🇩🇪"],) * 2,
    "❤\ufe0f 1\ufe0f\u20e3": (["❤", "1\u20e3"], ["❤\ufe0f", "1\ufe0f\u20e3"]),
    "\t Mixed 漢字,Ünïcödé\u200b🎉e\u0301!\n": (
        ["mixed", "漢", "字", ",", "unicode🎉e", "!"],
        ["Mixed", "漢", "字", ",", "Ünïcödé🎉e\u0301", "!"],
    ),
}


@pytest.fixture(params=BERT_WORDS, ids=ascii)
def nasty(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def bert_words(nasty: str) -> tuple[list[str], list[str]]:
    return BERT_WORDS[nasty]


@pytest.fixture(scope="session")
def nasty_texts() -> list[str]:
    """Those above, each also twice in one text, and all in one."""
    return [*BERT_WORDS, *(f"{text}[MASK]x{text}" for text in BERT_WORDS), "".join(BERT_WORDS)]


@pytest.fixture(scope="session")
def random_texts() -> list[str]:
    """2,000 strings of characters from all of Unicode, common ones and marks more often."""
    generator = random.Random(0)
    marks = [chr(code) for code in range(0x110000) if unicodedata.combining(chr(code))]
    sources = (
        lambda: chr(generator.randrange(0x110000)),  # halves of pairs too
        lambda: chr(generator.randrange(0x3000)),
        lambda: chr(generator.randrange(0x80)),
        lambda: generator.choice(marks),
    )
    return [
        "".join(generator.choice(sources)() for _ in range(generator.randrange(40)))
        for _ in range(2000)
    ]
