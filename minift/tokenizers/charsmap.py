"""Normalisation before pieces: one spelling for what readers take for the same text.

SentencePiece (Kudo and Richardson 2018, sections 3.1 and 3.2) cleans text in two steps. A character
map replaces strings, always the longest that fits: "ﬁ" by "fi", "e" and a combining accent by "é",
a tab by a space. Then spaces become visible, as "▁", so that pieces joined again are the text; runs
of spaces shrink to one, and a text begins with one, so that a word is spelt alike everywhere.

A model file holds the map ready for search, as a double-array trie (Aoe 1989): an array of 32-bit
units and behind it the replacements. A unit is the label by which it is reached (8 bits), whether a
string ends there (bit 8), and an offset: the child by a byte c stands at `position ^ offset ^ c`.
Equal endings share their units, so that T5's 224,711 strings fit into 177 kB.
"""

from __future__ import annotations

import struct
import sys
import unicodedata
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SPACE = "▁"  # U+2581
Span = tuple[int, int]  # text[start:end]
UNREADABLE = "\ufffd"  # stands for what is no character: half of a surrogate pair


@dataclass(frozen=True)
class Normalizer:
    """Text to normalised text, with the way back for each character."""

    charsmap: CharacterMap | None = None  # None replaces nothing
    add_dummy_prefix: bool = True  # a space before the first word, as before all others
    remove_extra_whitespaces: bool = True  # none at the ends, one in a row
    escape_whitespaces: bool = True  # "▁" for a space
    whitespace_as_suffix: bool = False  # the added space stands at the end

    def __call__(self, text: str, untouched: Collection[str] = ()) -> tuple[str, list[Span]]:
        """Normalise a text.

        Parameters
        ----------
        untouched : strings that are not replaced where they occur (user-defined symbols).

        Returns
        -------
        The text, and for each of its characters where in the original it came from.
        """
        space = SPACE if self.escape_whitespaces else " "
        result: list[str] = []  # characters
        sources: list[Span] = []
        end = 0
        has_begun = False  # spaces before the text are no text
        after_space = self.remove_extra_whitespaces
        for chunk, start, end in self._chunks(text, untouched):
            if not has_begun and not (self.remove_extra_whitespaces and chunk == " "):
                has_begun = True
                if self.add_dummy_prefix and not self.whitespace_as_suffix:
                    result.append(space)
                    sources.append((start, start))
            if after_space:
                chunk = chunk.lstrip(" ")
            result += chunk.replace(" ", space)
            sources += [(start, end)] * len(chunk)
            if chunk:
                after_space = self.remove_extra_whitespaces and chunk.endswith(" ")

        if self.remove_extra_whitespaces:
            while result and result[-1] == space:
                result.pop()
                end, _ = sources.pop()
        if has_begun and self.add_dummy_prefix and self.whitespace_as_suffix:
            result.append(space)
            sources.append((end, end))
        return "".join(result), sources

    def _chunks(self, text: str, untouched: Collection[str]) -> Iterator[tuple[str, int, int]]:
        """Cut a text by the map: (replacement, start, end) of each part, in order."""
        lengths = _lengths_by_first(untouched)
        start = 0
        while start < len(text):
            first = text[start]
            length, chunk = 1, UNREADABLE if "\ud800" <= first <= "\udfff" else first
            kept = [n for n in lengths.get(first, ()) if text[start : start + n] in untouched]
            if kept:
                length = kept[0]
                chunk = text[start : start + length]
            elif self.charsmap is not None:
                length, chunk = self.charsmap.longest(text, start) or (length, chunk)
            yield chunk, start, start + length
            start += length


def _lengths_by_first(strings: Collection[str]) -> dict[str, list[int]]:
    """First character -> how long the strings with it are, longest first."""
    lengths: dict[str, set[int]] = {}
    for string in strings:
        lengths.setdefault(string[0], set()).add(len(string))
    return {first: sorted(numbers, reverse=True) for first, numbers in lengths.items()}


_HAS_LEAF = 1 << 8
_IS_LEAF = 1 << 31  # a value of 31 bits, where a replacement begins; reached by the label 0
_LABEL = _IS_LEAF | 0xFF
_MAX_KNOWN = 50_000


class CharacterMap:
    """A precompiled map: the size of the trie in bytes, the trie, the replacements.

    Raises
    ------
    ValueError for a size that does not fit, and for a string whose replacement is not there.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        size = int.from_bytes(content[:4], "little")
        if not 4 <= size <= len(content) - 4 or size % 4:
            raise ValueError(
                f"character map must begin with the size of its trie, a multiple of 4 within "
                f"the {len(content)} bytes there are, got {size}"
            )
        self._units = array("I", struct.unpack_from(f"<{size // 4}I", content, 4))
        self._texts = content[4 + size :]
        self._known: dict[str, tuple[int, str] | None] = {}  # first two characters -> result
        self._check()

    @classmethod
    def from_rules(cls, rules: Mapping[str, str]) -> CharacterMap:
        """Compile a map from string -> replacement; SentencePiece reads its `content` too.

        No string may be empty, and none may hold the character 0, which ends them in the file.
        """
        for string, text in rules.items():
            if not string or "\0" in string + text:
                raise ValueError(f"rules must be of texts without \\0, got {string!r}: {text!r}")
        return cls(_compile(rules))

    def longest(self, text: str, start: int) -> tuple[int, str] | None:
        """Find the longest string of the map that text[start:] begins with.

        Returns its length and replacement, or None if there is none.
        """
        # Nearly always the second character ends the search, so that two tell the result.
        pair = text[start : start + 2]
        if pair in self._known:
            return self._known[pair]
        end, found = self._search(text, start)
        if end < start + len(pair):
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[pair] = found
        return found

    def _search(self, text: str, start: int) -> tuple[int, tuple[int, str] | None]:
        """Walk down the trie; returns where in the text it ended, too."""
        units = self._units
        found = None
        unit, base = 0, _base(units[0], 0)
        for end in range(start, len(text)):
            for byte in text[end].encode("utf-8", "surrogatepass"):
                position = base ^ byte
                if position >= len(units) or units[position] & _LABEL != byte:
                    return end, found
                unit = units[position]
                base = _base(unit, position)
            if unit & _HAS_LEAF:
                found = (end + 1 - start, self._text(units[base]))
        return len(text), found

    def _text(self, leaf: int) -> str:
        start = leaf & ~_IS_LEAF
        return self._texts[start : self._texts.index(b"\0", start)].decode()

    def _check(self) -> None:
        """See that each string that can be found has a replacement, node by node from the root."""
        units = np.array(self._units, dtype=np.int64)
        labels = np.arange(1, 256)
        is_seen = np.zeros(len(units), dtype=bool)
        positions = np.zeros(1, dtype=np.int64)
        while positions.size:
            is_seen[positions] = True
            bases = _base(units[positions], positions)
            leaves = bases[(units[positions] & _HAS_LEAF) > 0]
            if (leaves >= len(units)).any():
                raise ValueError(f"character map must stay within its trie of {len(units)} units")
            for leaf in np.unique(units[leaves]).tolist():
                try:
                    self._text(leaf)
                except ValueError:
                    raise ValueError(
                        f"character map must have a text at byte {leaf & ~_IS_LEAF} behind its "
                        f"trie, it has {len(self._texts)} bytes"
                    ) from None
            children = bases[:, None] ^ labels  # (nodes, 255)
            inside = np.where(children < len(units), children, 0)
            is_child = (units[inside] & _LABEL == labels) & (children < len(units))
            positions = np.unique(children[is_child])
            positions = positions[~is_seen[positions]]


def _base(unit: Any, position: Any) -> Any:
    """Where the children of a unit stand, but for their labels; also of an array of units."""
    # Bit 9 says that the offset counts 256 units.
    return position ^ (unit >> 10 << (unit >> 6 & 8))


def _compile(rules: Mapping[str, str]) -> bytes:
    texts = bytearray()
    places: dict[str, int] = {}
    trie: dict[Any, Any] = {}
    for string, text in sorted(rules.items()):
        if text not in places:
            places[text] = len(texts)
            texts += text.encode() + b"\0"
        node = trie
        for byte in string.encode():
            node = node.setdefault(byte, {})
        node[0] = {"value": places[text]}

    units = [0] * 256
    is_free = np.arange(256) > 0
    is_base = np.arange(256) == 0  # an offset of 0 would be none
    waiting = [(0, 0, trie)]
    while waiting:
        position, label, node = waiting.pop()
        if "value" in node:
            units[position] = _IS_LEAF | node["value"]
            continue
        # The first base with room for all children, and a base of its own: with two nodes on one
        # base, each would have the other's children as well.
        children = np.array(list(node))
        first = int(is_free.argmax()) & ~255  # all before this block is taken
        while True:
            bases = np.arange(first, len(units))
            fits = is_free[bases[:, None] ^ children].all(axis=1) & ~is_base[first:]
            if fits.any():
                break
            units += [0] * 256
            is_free = np.pad(is_free, (0, 256), constant_values=True)
            is_base = np.pad(is_base, (0, 256), constant_values=False)
        base = first + int(fits.argmax())
        is_base[base] = True
        is_free[base ^ children] = False
        offset = position ^ base
        assert offset < 1 << 21, "a map of this size needs wide offsets"
        units[position] = offset << 10 | (_HAS_LEAF if 0 in node else 0) | label
        waiting += [(base ^ child, child, below) for child, below in node.items()]
    # A free unit must be no one's child: its label leads to it from a base that no node has.
    for place in range(len(units)):
        if is_free[place]:
            block = place & ~255
            units[place] = place ^ (block + int(is_base[block:][:256].argmin()))
    content = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(content)) + content + bytes(texts)


def nfkc_rules() -> dict[str, str]:
    """Return a map like SentencePiece's nmt_nfkc, from this Python's Unicode tables.

    Compatible characters become plain ones (NFKC), a letter with a combining mark one character,
    every kind of white space a space; control and zero-width characters go. Hangul that is written
    letter by letter stays as it is.
    """
    rules: dict[str, str] = {}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if not code or category in ("Cs", "Cn", "Co"):
            continue
        if character == SPACE or character in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
            rules[character] = " "
        elif category == "Cc" or character in "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f":
            rules[character] = ""
        else:
            rules[character] = unicodedata.normalize("NFKC", character)
        mapping = unicodedata.decomposition(character)
        if mapping and not mapping.startswith("<"):  # one of letter and mark, as ế is of ê and ´
            pair = "".join(chr(int(part, 16)) for part in mapping.split())
            for spelling in (pair, unicodedata.normalize("NFD", character)):
                rules[spelling] = unicodedata.normalize("NFKC", spelling)
    return {string: text for string, text in rules.items() if string != text}
