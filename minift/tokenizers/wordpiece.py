"""BERT's tokenizer: split at spaces and punctuation, then spell each word in the longest pieces.

A piece that continues a word is written with "##" in front: "unaffable" -> "un ##aff ##able". A
word is read greedily, from the left the longest piece in the vocabulary each time; it needs no
merges, only the list of pieces (Schuster & Nakajima 2012; Wu et al. 2016, section 4.1; Devlin et
al. 2019). A word that cannot be spelt to its end is one [UNK].

Where we differ: the papers choose the merge that raises the likelihood of the training text most,
count(ab) / (count(a) count(b)). We choose by count(ab) alone, as Hugging Face's trainer does. It
trains a vocabulary of much the same use, and shares its code with byte-level BPE.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import ClassVar

from minift.tokenizers.base import Tokenizer, WordCache, check_texts, join_words
from minift.tokenizers.layouts import LAYOUTS
from minift.tokenizers.pair_merges import learn_merges

UNKNOWN = "[UNK]"
CONTINUATION = "##"
MAX_WORD_LENGTH = 100  # characters; a longer word is [UNK], for reading it takes its length squared


class WordPiece(Tokenizer):
    """Word pieces in BERT's layout: [CLS] a [SEP], and [CLS] a [SEP] b [SEP].

    Parameters
    ----------
    vocab : the pieces, those that continue a word with "##" in front; id = position.
    lowercase : lower-case and drop accents, as the uncased BERT; False reads text as it stands.

    Examples
    --------
    >>> pieces = ["un", "##aff", "##able", "able"]
    >>> tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])
    >>> tokenizer.tokenize("Unaffable, able")
    ['un', '##aff', '##able', '[UNK]', 'able']
    """

    kind: ClassVar[str] = "wordpiece"
    setting_names: ClassVar[tuple[str, ...]] = ("lowercase",)

    def __init__(self, vocab: Sequence[str], lowercase: bool = True) -> None:
        super().__init__(vocab, LAYOUTS["bert"])
        self.lowercase = lowercase
        self._cache = WordCache(self._spell)
        self._starts_word = [not token.startswith(CONTINUATION) for token in self.vocab]

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        lowercase: bool = True,
        min_count: int = 2,
        max_characters: int = 1000,
    ) -> WordPiece:
        """Learn pieces by merging the commonest neighbours (see `learn_merges` for ties).

        Parameters
        ----------
        vocab_size : the most pieces there may be, special tokens and characters included; there
            are fewer where no pair of pieces occurs `min_count` times any more.
        max_characters : how many of the commonest characters are kept. Each enters as a start and
            as a continuation, so that every word written in them can be spelt.
        """
        check_texts(texts)
        counts = Counter(word for text in texts for word in basic_tokenize(text, lowercase))
        character_counts: Counter[str] = Counter()
        for word, word_count in counts.items():
            for character in word:
                character_counts[character] += word_count
        ranking = sorted(character_counts, key=lambda c: (-character_counts[c], c))
        characters = sorted(ranking[:max_characters])
        tokens = [*LAYOUTS["bert"].tokens, *characters, *(CONTINUATION + c for c in characters)]
        if vocab_size < len(tokens):
            raise ValueError(
                f"vocab_size must be at least {len(tokens)}, the special tokens and both forms of "
                f"{len(characters)} characters, got {vocab_size}; or lower max_characters"
            )

        kept = set(characters)
        words = {
            (word[0], *(CONTINUATION + character for character in word[1:])): word_count
            for word, word_count in counts.items()
            if len(word) <= MAX_WORD_LENGTH and kept.issuperset(word)
        }
        tokens, _ = learn_merges(words, tokens, vocab_size, _join_pieces, min_count)
        return cls(tokens, lowercase)

    def tokenize(self, text: str) -> list[str]:
        words = basic_tokenize(text, self.lowercase)
        return list(chain.from_iterable(self._cache[word] for word in words))

    def detokenize(self, tokens: Sequence[str]) -> str:
        return join_words(" ".join(tokens).replace(" " + CONTINUATION, "").split(" "))

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Return for each id whether it starts a word; special tokens are words of their own.

        Whole-word masking needs it: a word goes from one True to the next.
        """
        return [self._starts_word[index] for index in ids]

    def _spell(self, word: str) -> list[str]:
        """The longest piece first, then the longest that continues it, to the end of the word."""
        if len(word) > MAX_WORD_LENGTH:
            return [UNKNOWN]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            mark = CONTINUATION if start else ""
            for end in range(len(word), start, -1):
                if mark + word[start:end] in self._ids:
                    break
            else:
                return [UNKNOWN]
            pieces.append(mark + word[start:end])
            start = end
        return pieces


def basic_tokenize(text: str, lowercase: bool = True) -> list[str]:
    """Split text at white space, at every punctuation mark and at every Chinese character.

    Control characters vanish. With `lowercase` letters lose their case and their accents.

    >>> basic_tokenize("Ça va, naïve?")
    ['ca', 'va', ',', 'naive', '?']
    """
    text = text.translate(_CLEAN)
    if lowercase:
        # Normal form D writes an accent as a character of its own, which can then be dropped.
        text = unicodedata.normalize("NFD", text.lower()).translate(_WITHOUT_ACCENTS)
    return text.translate(_PUNCTUATION_APART).split()


class _Clean(dict[int, str]):
    """For `str.translate`: each character is classified when first met, then looked up."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in "\t\n\r" or unicodedata.category(character) == "Zs":
            replacement = " "
        elif code == 0xFFFD or unicodedata.category(character) in ("Cc", "Cf"):
            replacement = ""
        else:
            replacement = f" {character} " if _is_chinese(code) else character
        self[code] = replacement
        return replacement


class _WithoutAccents(dict[int, str]):
    def __missing__(self, code: int) -> str:
        self[code] = "" if unicodedata.category(chr(code)) == "Mn" else chr(code)
        return self[code]


class _PunctuationApart(dict[int, str]):
    def __missing__(self, code: int) -> str:
        self[code] = f" {chr(code)} " if _is_punctuation(chr(code)) else chr(code)
        return self[code]


_CLEAN = _Clean()
_WITHOUT_ACCENTS = _WithoutAccents()
_PUNCTUATION_APART = _PunctuationApart()


def _is_punctuation(character: str) -> bool:
    # BERT counts every printable ASCII sign, also $ + < = > ^ ` | ~, which Unicode calls symbols.
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")


def _is_chinese(code: int) -> bool:
    """Whether a character is in the blocks of CJK ideographs, written without spaces between words.

    Japanese kana and Korean hangul are not: BERT leaves them in words.
    """
    return any(first <= code <= last for first, last in _CHINESE_BLOCKS)


_CHINESE_BLOCKS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def _join_pieces(left: str, right: str) -> str:
    return left + right.removeprefix(CONTINUATION)
