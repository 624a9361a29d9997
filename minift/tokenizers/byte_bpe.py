"""GPT-2's tokenizer: byte pair encoding over bytes, so that no text is unknown and none is changed.

The letters are the 256 bytes of UTF-8; what is common is merged to longer tokens (Radford et al.
2019, section 2.2; Sennrich et al. 2016). Encoding a word replays the merges in the order they were
learnt. `decode(encode(text, special_tokens=False)) == text` for every str, without exception.

So that tokens can be written in files and read by people, each byte is shown as a printable
character: a printable one as itself, the others as the characters from U+0100 on. A space is "Ġ".

Before merging, text is split into words by a pattern, so that no token reaches over a word's end
("dog." and "dog!" share "dog"). A space belongs to the word after it.

Where we differ from GPT-2: a pair of texts has <|endoftext|> between them, and half of a surrogate
pair, which is no character and which others refuse or replace, is kept. A letter or number that
Unicode took in after the version of Python's `unicodedata` counts as a sign until Python knows it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from minift.tokenizers import bpe_files
from minift.tokenizers.base import Span, Tokenizer, WordCache, check_texts
from minift.tokenizers.bpe_files import END_OF_TEXT, BPEFiles
from minift.tokenizers.layouts import LAYOUTS
from minift.tokenizers.pair_merges import learn_merges


class ByteBPE(Tokenizer):
    """Byte-level BPE in GPT's layout: nothing around a text, <|endoftext|> between two.

    Parameters
    ----------
    vocab : the tokens, the 256 bytes and the special tokens among them; id = position.
    merges : pairs of tokens, the first learnt first.
    eos_token : ends a text.
    pad_token : fills a row up; None takes `eos_token`, for GPT-2 has no other.
    added_tokens : further tokens of `vocab` that are looked for in a text before it is split, as
        <|im_start|> for the turns of a talk: token -> whether `decode` leaves it out as special.

    Raises
    ------
    ValueError if a byte is missing, a token has characters that stand for no byte, or a merge has a
    part or a result that is not in `vocab`.
    """

    kind: ClassVar[str] = "byte_bpe"
    setting_names: ClassVar[tuple[str, ...]] = ("eos_token", "pad_token", "added_tokens")

    def __init__(
        self,
        vocab: Sequence[str],
        merges: Sequence[tuple[str, str]],
        *,
        eos_token: str = END_OF_TEXT,
        pad_token: str | None = None,
        added_tokens: Mapping[str, bool] | None = None,
    ) -> None:
        self.eos_token = eos_token
        self.pad_token = pad_token or eos_token
        special = replace(
            LAYOUTS["gpt"],
            unk_token=None,  # bytes spell everything
            eos_token=self.eos_token,
            pad_token=self.pad_token,
            separator_token=self.eos_token,
        )
        super().__init__(vocab, special, added_tokens)
        bytes_missing = [symbol for symbol in BYTE_TO_SYMBOL.values() if symbol not in self._ids]
        if bytes_missing:
            raise ValueError(f"vocab must hold all 256 bytes, lacks {''.join(bytes_missing)!r}")
        ids = self._ids
        self.merges = list(merges)
        self._ranks: dict[tuple[int, int], int] = {}
        self._merged_ids: list[int] = []
        for rank, (left, right) in enumerate(merges):
            try:
                pair = ids[left], ids[right]
                self._merged_ids.append(ids[left + right])
            except KeyError as error:
                raise ValueError(
                    f"merges[{rank}] must make tokens of vocab, got {left!r} + {right!r}, "
                    f"but {error} is not in it"
                ) from None
            self._ranks[pair] = rank
        if len(self._ranks) < len(self.merges):
            pair_again, times = Counter(self.merges).most_common(1)[0]
            raise ValueError(f"merges must hold each pair once, got {pair_again} {times} times")
        self._byte_ids = [ids[BYTE_TO_SYMBOL[byte]] for byte in range(256)]
        self._ids_of_word = WordCache(self._word_ids)

        # Whole tokens stand for their text, all others for the bytes that their symbols show.
        self._whole = {self.vocab[index] for index in self.special_ids} | self.added_tokens.keys()
        others = [token for token in self.vocab if token not in self._whole]
        if not _SYMBOLS.issuperset("".join(others)):
            wrong = next(token for token in others if not _SYMBOLS.issuperset(token))
            raise ValueError(f"vocab must be written in the 256 byte symbols, got {wrong!r}")
        for token in self._whole.intersection(BYTE_TO_SYMBOL.values()):
            if token.encode() != _to_bytes(token):
                raise ValueError(f"added_tokens must not be the symbol of a byte, got {token!r}")

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, *, min_count: int = 2) -> ByteBPE:
        """Learn merges: the highest count first, of equals the pair of the smallest ids.

        They are the merges of Hugging Face's trainer, in the same order, when that begins with all
        256 bytes, which its ByteLevelBPETokenizer does and its bare BpeTrainer must be told. Only
        ids differ: its special tokens come first, ours last, where GPT-2 has its own.

        Parameters
        ----------
        vocab_size : the most tokens there may be: 256 bytes, the merges, and <|endoftext|> as the
            last. There are fewer where no pair occurs `min_count` times any more.
        """
        check_texts(texts)
        symbols = list(BYTE_TO_SYMBOL.values())
        if vocab_size < len(symbols) + 1:
            raise ValueError(
                f"vocab_size must be at least {len(symbols) + 1}, 256 bytes and {END_OF_TEXT}, "
                f"got {vocab_size}"
            )
        counts = Counter(chain.from_iterable(map(split_words, texts)))
        words = {_to_symbols(word): word_count for word, word_count in counts.items()}
        tokens, merges = learn_merges(words, symbols, vocab_size - 1, str.__add__, min_count)
        return cls([*tokens, END_OF_TEXT], merges)

    @classmethod
    def from_files(cls, vocab_path: str | Path, merges_path: str | Path) -> ByteBPE:
        """Read GPT-2's own two files: vocab.json (token -> id) and merges.txt (a merge a line)."""
        return cls(*bpe_files.read_own_files(Path(vocab_path), Path(merges_path)))

    @classmethod
    def from_huggingface(cls, folder: str | Path) -> ByteBPE:
        """Read a folder with tokenizer.json, or with vocab.json and merges.txt.

        Raises
        ------
        ValueError naming file and key for what is missing or broken, and for a tokenizer whose ids
        would not be ours: other splits, normalisation, tokens framing a text (RoBERTa's, Llama's).
        """
        try:
            return cls(**bpe_files.read_folder(Path(folder))._asdict())
        except ValueError as error:
            message = str(error)
            named = message.startswith(str(folder))
            raise ValueError(message if named else f"{folder}: {message}") from None

    def tokenize(self, text: str) -> list[str]:
        return [self.vocab[index] for index in self._plain_ids(text)]

    def spans(self, text: str) -> list[Span]:
        """Return where each token stands; one of some bytes of a character has the whole of it."""
        # The character that each byte belongs to.
        characters = [
            index
            for index, character in enumerate(text)
            for _ in range(1 if character.isascii() else len(_utf8(character)))
        ]
        spans = []
        end = 0
        for token in self.tokenize(text):
            start, end = end, end + len(token)  # in bytes, each of which is a symbol
            spans.append((characters[start], characters[end - 1] + 1))
        return spans

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Put bytes together; those that make no character, as a cut text may end, give U+FFFD."""
        content = b"".join(map(self._bytes.__getitem__, tokens))
        try:
            return content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return content.decode("utf-8", "replace")

    @cached_property
    def _bytes(self) -> dict[str, bytes]:
        """Token -> what it stands for; encoding does not ask."""
        return {
            token: token.encode() if token in self._whole else _to_bytes(token)
            for token in self.vocab
        }

    def encode_bytes(self, content: bytes) -> list[int]:
        """Return the ids of any bytes, also of such as are no UTF-8; no special token is read.

        For text they are `encode(text, special_tokens=False)`.
        """
        words = split_words(content.decode("utf-8", "surrogateescape"))
        parts = (self._merge(word.encode("utf-8", "surrogateescape")) for word in words)
        return list(chain.from_iterable(parts))

    def decode_bytes(self, ids: Sequence[int] | Tensor) -> bytes:
        """Return the bytes of a row of ids, (T,), exactly; special tokens give those of their name.

        Raises
        ------
        ValueError if an id is not in the vocabulary.
        """
        return b"".join(self._bytes[self.vocab[index]] for index in self._checked_ids(ids))

    def _plain_ids(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self._ids_of_word.__getitem__, split_words(text))))

    def _word_ids(self, word: str) -> tuple[int, ...]:
        return self._merge(_utf8(word))

    def _merge(self, word: bytes) -> tuple[int, ...]:
        """Of all neighbours merge the pair that was learnt first, until none was ever learnt.

        Pairs wait in a heap by rank and place, so that the time grows with n log n of a word's
        length: a page of letters without a space is read as fast as any other.
        """
        pieces = [self._byte_ids[byte] for byte in word]  # -1 once merged into the one before
        size = len(pieces)
        before, after = list(range(-1, size - 1)), list(range(1, size + 1))  # the living neighbours
        ranks = self._ranks
        heap = [
            (ranks[pair], place) for place, pair in enumerate(pairwise(pieces)) if pair in ranks
        ]
        heapify(heap)
        while heap:
            rank, place = heappop(heap)
            right = after[place]
            # The pair may be gone: one of the two was merged with its other neighbour.
            if right == size or ranks.get((pieces[place], pieces[right])) != rank:
                continue
            pieces[place] = self._merged_ids[rank]
            pieces[right] = -1
            after[place] = after[right]
            if after[place] < size:
                before[after[place]] = place
            for left in (before[place], place):
                if left >= 0 and after[left] < size:
                    new_rank = ranks.get((pieces[left], pieces[after[left]]))
                    if new_rank is not None:
                        heappush(heap, (new_rank, left))
        return tuple([piece for piece in pieces if piece >= 0])

    def _vocab_files(self) -> dict[str, str]:
        return bpe_files.own_files(self.vocab, self.merges)

    def _huggingface_files(self) -> dict[str, str]:
        return bpe_files.huggingface_files(
            BPEFiles(self.vocab, self.merges, self.eos_token, self.pad_token, self.added_tokens)
        )

    @classmethod
    def _from_files(cls, folder: Path, settings: dict[str, Any]) -> ByteBPE:
        files = bpe_files.read_own_files(folder / "vocab.json", folder / "merges.txt")
        return cls(*files, **settings)


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
        for code in range(0x20000)  # above are Chinese characters, and marks for private use
        if unicodedata.category(chr(code)) in ("Nl", "No")
    )
    letter = rf"[^\W\d_{other_numbers}]"
    number = rf"[\d{other_numbers}]"
    other = r"(?:[^\s\w]|[_\x1c-\x1f])"
    space = r"[^\S\x1c-\x1f]"
    # Those of ASCII first: `re` looks them up in a table of bits, while it asks of others one thing
    # after another. That splits English in a third of the time.
    letters = rf"[A-Za-z]+{letter}*|{letter}+"
    others = rf"[!-/:-@\[-`{{-~]+{other}*|{other}+"
    return re.compile(
        r"'(?:s|t|re|ve|m|ll|d)"  # English contractions
        rf"| ?(?:{letters}|{number}+|{others})"
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


def _utf8(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which is no character, has three bytes too."""
    return text.encode("utf-8", "surrogatepass")


def _to_symbols(word: str) -> str:
    return _show(_utf8(word))


def _show(content: bytes) -> str:
    # Latin-1 reads byte n as character n, which `translate` then replaces.
    return content.decode("latin-1").translate(BYTE_TO_SYMBOL)


def _to_bytes(token: str) -> bytes:
    return token.translate(_SYMBOL_TO_BYTE).encode("latin-1")
