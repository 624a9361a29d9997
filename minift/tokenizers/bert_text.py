"""How BERT reads text before it spells it: cleaned, and cut into words and single signs.

Control characters vanish; white space, of which Unicode has more than one kind, parts words; every
punctuation mark and every Chinese character, written without spaces, is a word of its own. The
uncased models lose capitals and accents, so that "Café" and "cafe" are one word. Each character of
a word remembers which one of the text it came from: an answer can then be shown as it was written.

Nothing reaches over white space, so a text is read one run of other characters at a time; runs
repeat, and what has been read once can be looked up (base.py, WordCache).

Paper: Devlin et al. 2019; the rules are those of the code published with it. Where Hugging Face's
libraries, in which these models are run today, read otherwise, we do as they do: characters for
private use vanish too, letters become small one by one (a Greek sigma at the end of a word keeps
its form "σ"), and one block of rare ideographs is left in words. Python's tables of Unicode are
newer than theirs, which tells in some hundred characters of rare scripts.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate
from typing import NamedTuple

# str.split() would also part at control characters (0x1c to 0x1f, 0x85), which are to vanish.
NOT_SPACE = re.compile(
    "[^\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"  # Zs, Zl and Zp
)

# What stands alone in ASCII is every printable sign that is no letter or digit.
_ASCII_WORD = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]")

Letter = tuple[str, int]  # a character, and the place of the one it came from


class Word(NamedTuple):
    """A word as the vocabulary is asked for it."""

    text: str
    places: list[int]  # for each character of `text` where that which it came from stands


def basic_tokenize(text: str, lowercase: bool = True) -> list[str]:
    """Split text at white space, at every punctuation mark and at every Chinese character.

    Control characters vanish. With `lowercase` letters lose their case and their accents.

    >>> basic_tokenize("Ça va, naïve?")
    ['ca', 'va', ',', 'naive', '?']
    """
    return [word for run in NOT_SPACE.findall(text) for word in split_run(run, lowercase)]


def split_run(
    run: str, lowercase: bool = True, strip_accents: bool | None = None, split_chinese: bool = True
) -> list[str]:
    """Return the words that `read_words` reads, without the places of their characters."""
    if run.isascii() and run.isprintable():
        # Nothing vanishes and nothing has an accent: ten times faster, and most of English.
        return _ASCII_WORD.findall(run.lower() if lowercase else run)
    return [word.text for word in read_words(run, lowercase, strip_accents, split_chinese)]


def read_words(
    run: str, lowercase: bool = True, strip_accents: bool | None = None, split_chinese: bool = True
) -> list[Word]:
    """Clean a run of characters without white space, and cut it into words.

    Parameters
    ----------
    strip_accents : None means as `lowercase`.
    split_chinese : False leaves Chinese characters in words, as Japanese models want it.

    >>> read_words("(Été")
    [Word(text='(', places=[0]), Word(text='ete', places=[1, 2, 3])]
    """
    strip_accents = lowercase if strip_accents is None else strip_accents
    letters = [(sign, place) for place, sign in enumerate(run) if not _vanishes(sign)]
    if strip_accents and not run.isascii():
        letters = _without_accents(letters)
    if lowercase:
        # One by one: `str.lower` of a whole word looks at where in it a sigma stands.
        letters = [(small, place) for sign, place in letters for small in sign.lower()]

    words: list[list[Letter]] = [[]]
    for letter in letters:
        if _is_punctuation(letter[0]) or (split_chinese and _is_chinese(letter[0])):
            words += [[letter], []]
        else:
            words[-1].append(letter)
    return [
        Word("".join(sign for sign, _ in word), [place for _, place in word])
        for word in words
        if word
    ]


def _vanishes(sign: str) -> bool:
    """Control and format characters, those for private use, halves of a pair, and U+FFFD."""
    return sign == "\ufffd" or unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs")


def _without_accents(letters: list[Letter]) -> list[Letter]:
    """Write accents as characters of their own (normal form D), and drop those."""
    parts = [
        (part, place) for sign, place in letters for part in unicodedata.normalize("NFD", sign)
    ]
    # To the normal form belongs the order of the marks on one letter: by their class, which is 0
    # for letters.
    classes = [unicodedata.combining(sign) for sign, _ in parts]
    letter_numbers = accumulate(mark_class == 0 for mark_class in classes)
    ordered = sorted(zip(letter_numbers, classes, parts), key=lambda item: item[:2])
    return [letter for *_, letter in ordered if unicodedata.category(letter[0]) != "Mn"]


def _is_punctuation(sign: str) -> bool:
    # BERT counts every printable ASCII sign, also $ + < = > ^ ` | ~, which Unicode calls symbols.
    if sign.isascii():
        return sign.isprintable() and not sign.isalnum() and sign != " "
    return unicodedata.category(sign).startswith("P")


def _is_chinese(sign: str) -> bool:
    """Whether a character is in the blocks of CJK ideographs, written without spaces between words.

    Japanese kana and Korean hangul are not: BERT leaves them in words.
    """
    # Most text lies below all of the blocks.
    return sign >= "\u3400" and any(first <= sign <= last for first, last in _CHINESE_BLOCKS)


_CHINESE_BLOCKS = (
    ("\u3400", "\u4dbf"),
    ("\u4e00", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\U00020000", "\U0002a6df"),
    ("\U0002a700", "\U0002b73f"),
    ("\U0002b740", "\U0002b81f"),
    ("\U0002b920", "\U0002ceaf"),  # from 2B820 on in BERT's own code
    ("\U0002f800", "\U0002fa1f"),
)
