"""GPT-2's tokenizer: byte pair encoding over bytes, so that no text is unknown and none is changed.

The letters are the 256 bytes of UTF-8; what is common is merged to longer tokens (Radford et al.
2019, section 2.2; Sennrich et al. 2016). Encoding a word replays the merges in the order they were
learnt. `decode(encode(text, special_tokens=False)) == text` for every str, without exception.

So that tokens can be written in files and read by people, each byte is shown as a printable
character: a printable one as itself, the others as the characters from U+0100 on. A space is "Ġ".

Before merging, text is split into words by a pattern, so that no token reaches over a word's end
("dog." and "dog!" share "dog"). A space belongs to the word after it.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar

from minift.tokenizers.base import Tokenizer, WordCache, check_texts
from minift.tokenizers.files import index_tokens, read_json, read_text
from minift.tokenizers.layouts import LAYOUTS
from minift.tokenizers.pair_merges import learn_merges, merge_pair

SPECIAL = replace(LAYOUTS["gpt"], unk_token=None)  # bytes spell everything


class ByteBPE(Tokenizer):
    """Byte-level BPE in GPT's layout: nothing around a text, <|endoftext|> between two.

    Parameters
    ----------
    vocab : the tokens, the 256 bytes and <|endoftext|> among them; id = position.
    merges : pairs of tokens, the first learnt first.

    Raises
    ------
    ValueError if a byte is missing, a token has characters that stand for no byte, or a merge has a
    part or a result that is not in `vocab`.
    """

    kind: ClassVar[str] = "byte_bpe"

    def __init__(self, vocab: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        super().__init__(vocab, SPECIAL)
        bytes_missing = [symbol for symbol in BYTE_TO_SYMBOL.values() if symbol not in self._ids]
        if bytes_missing:
            raise ValueError(f"vocab must hold all 256 bytes, lacks {''.join(bytes_missing)!r}")
        for token in self.vocab:
            if not _SYMBOLS.issuperset(token):
                raise ValueError(f"vocab must be written in the 256 byte symbols, got {token!r}")
        for number, (left, right) in enumerate(merges):
            for token in (left, right, left + right):
                if token not in self._ids:
                    raise ValueError(
                        f"merges[{number}] must make tokens of vocab, got {left!r} + {right!r}, "
                        f"but {token!r} is not in it"
                    )
        self.merges = list(merges)
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        if len(self._ranks) < len(self.merges):
            pair, times = Counter(self.merges).most_common(1)[0]
            raise ValueError(f"merges must hold each pair once, got {pair} {times} times")
        self._cache = WordCache(self._merge)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, *, min_count: int = 2) -> ByteBPE:
        """Learn merges: the highest count first, of equals the pair of the smallest ids.

        Parameters
        ----------
        vocab_size : the most tokens there may be: 256 bytes, the merges, and <|endoftext|> as the
            last. There are fewer where no pair occurs `min_count` times any more.
        """
        check_texts(texts)
        special = SPECIAL.tokens
        symbols = list(BYTE_TO_SYMBOL.values())
        if vocab_size < len(symbols) + len(special):
            raise ValueError(
                f"vocab_size must be at least {len(symbols) + len(special)}, 256 bytes and "
                f"<|endoftext|>, got {vocab_size}"
            )
        counts = Counter(word for text in texts for word in split_words(text))
        words = {tuple(_to_symbols(word)): word_count for word, word_count in counts.items()}
        tokens, merges = learn_merges(
            words, symbols, vocab_size - len(special), str.__add__, min_count
        )
        return cls(tokens + special, merges)

    @classmethod
    def from_files(cls, vocab_path: str | Path, merges_path: str | Path) -> ByteBPE:
        """Read GPT-2's own two files: vocab.json (token -> id) and merges.txt (a merge a line)."""
        return cls(_read_vocab_json(Path(vocab_path)), _read_merges(Path(merges_path)))

    def tokenize(self, text: str) -> list[str]:
        return list(chain.from_iterable(self._cache[word] for word in split_words(text)))

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Put bytes together; those that make no character, as a cut text may end, give U+FFFD."""
        content = "".join(tokens).translate(_SYMBOL_TO_BYTE).encode("latin-1")
        try:
            return content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return content.decode("utf-8", "replace")

    def _merge(self, word: str) -> list[str]:
        """Of all neighbours merge the pair that was learnt first, until none was ever learnt.

        Each merge passes over the word, so that the time grows with the square of a word's length.
        """
        pieces = list(_to_symbols(word))
        never = len(self._ranks)
        while len(pieces) > 1:
            pair = min(pairwise(pieces), key=lambda pair: self._ranks.get(pair, never))
            if pair not in self._ranks:
                break
            pieces = merge_pair(pieces, pair, pair[0] + pair[1])
        return pieces

    def _vocab_files(self) -> dict[str, str]:
        merges = "".join(f"{left} {right}\n" for left, right in self.merges)
        return {
            "vocab.json": json.dumps(self._ids, ensure_ascii=False) + "\n",
            "merges.txt": "#version: 0.2\n" + merges,
        }

    @classmethod
    def _from_files(cls, folder: Path, settings: dict[str, Any]) -> ByteBPE:
        return cls.from_files(folder / "vocab.json", folder / "merges.txt")


def split_words(text: str) -> list[str]:
    """Cut text into words, each with the space before it; joined they are the text again.

    >>> split_words("It's 2 dogs,  three!")
    ['It', "'s", ' 2', ' dogs', ',', ' ', ' three', '!']
    """
    return _word_pattern().findall(text)


@cache
def _word_pattern() -> re.Pattern[str]:
    r"""GPT-2's pattern in the words of `re`, which has no \p{L} (letters) and \p{N} (numbers).

    There \w is exactly letters, numbers and "_", and \d the decimal digits. What is left to name
    are the numbers that are no digits, such as roman numerals and fractions. And \s counts four
    separators of ASCII as white space, 0x1c to 0x1f, that Unicode does not.
    """
    other_numbers = _ranges(
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Nl", "No")
    )
    letter = rf"[^\W\d_{other_numbers}]"
    number = rf"[\d{other_numbers}]"
    other = r"(?:[^\s\w]|[_\x1c-\x1f])"
    space = r"[^\S\x1c-\x1f]"
    return re.compile(
        r"'(?:s|t|re|ve|m|ll|d)"  # English contractions
        rf"| ?{letter}+| ?{number}+| ?{other}+"
        # Of several spaces the last is left to the word that follows.
        rf"|{space}+(?![\S\x1c-\x1f])|{space}+"
    )


def _ranges(codes: Iterable[int]) -> str:
    """Rising code points as the inside of a character class, neighbours as one range."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _byte_symbols() -> dict[int, str]:
    """Byte -> the printable character that shows it, in the order of GPT-2's first 256 ids."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    return symbols | {byte: chr(256 + index) for index, byte in enumerate(others)}


BYTE_TO_SYMBOL = _byte_symbols()
_SYMBOL_TO_BYTE = {ord(symbol): byte for byte, symbol in BYTE_TO_SYMBOL.items()}
_SYMBOLS = frozenset(BYTE_TO_SYMBOL.values())


def _to_symbols(word: str) -> str:
    """UTF-8 bytes of a word as symbols; half of a surrogate pair, which is no character, too."""
    # Latin-1 reads byte n as character n, which `translate` then replaces.
    return word.encode("utf-8", "surrogatepass").decode("latin-1").translate(BYTE_TO_SYMBOL)


def _read_vocab_json(path: Path) -> list[str]:
    entries = read_json(path, object_pairs_hook=lambda pairs: pairs)  # a dict would hide repeats
    if not isinstance(entries, list) or not all(isinstance(entry, tuple) for entry in entries):
        raise ValueError(f"{path} must be an object of token: id")
    index_tokens((token for token, _ in entries), f"{path}: entry", first=1)
    ids = [index for _, index in entries]
    if not all(isinstance(index, int) for index in ids) or sorted(ids) != list(range(len(ids))):
        raise ValueError(f"{path}: ids must be 0..{len(entries) - 1}, each once")
    return [token for token, _ in sorted(entries, key=lambda entry: entry[1])]


def _read_merges(path: Path) -> list[tuple[str, str]]:
    merges: dict[tuple[str, str], int] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise ValueError(f"{path}: line {number} must be two tokens, got {line!r}")
        if (left, right) in merges:
            raise ValueError(
                f"{path}: line {number} must be a new merge, got {line!r} again, "
                f"as line {merges[left, right]} is"
            )
        merges[left, right] = number
    return list(merges)
