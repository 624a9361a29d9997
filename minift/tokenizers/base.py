"""What every tokenizer shares: text goes in, ids come out, and a batch of texts becomes tensors.

A tokenizer says three things of its own: how a text is cut into tokens of its vocabulary
(`tokenize`), where in the text each of them stands (`spans`), and how tokens are put together again
(`detokenize`). The rest is written here once: ids, the frame of special tokens (layouts.py),
truncation, padding, token types, offsets, saving and loading.

Shapes: N texts, T tokens in each row. Paper: Devlin et al. 2019 (section 3, pairs in one row and
their token types); that of a pair the longer text is cut first is from BERT's published code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from minift.tokenizers.files import index_tokens, read_description, read_vocab, write_text
from minift.tokenizers.layouts import SpecialTokens, sentinel_token

AnyTokenizer = TypeVar("AnyTokenizer", bound="Tokenizer")
Value = TypeVar("Value")
Span = tuple[int, int]  # text[start:end]
NOWHERE: Span = (0, 0)  # of tokens that stand in no text: those of the frame, and padding


class Tokenizer:
    """Text to ids and back. Subclasses give `kind`, `tokenize`, `spans` and `detokenize`.

    Parameters
    ----------
    vocab : the tokens; a token's id is its position. No token twice, none empty.
    special : the special tokens, which must all be in `vocab`.
    added_tokens : further tokens of `vocab` that are looked for in a text, as the special ones are,
        and kept whole: token -> whether `decode` leaves it out as special.

    Attributes
    ----------
    pad_id (int); unk_id, cls_id, sep_id, mask_id, eos_id (int, or None where the layout has no such
    token); sentinel_ids (T5's span marks, <extra_id_0> first); special_ids (set of all of these).

    Raises
    ------
    ValueError if `vocab` repeats a token, holds an empty one, or lacks a special token.

    Examples
    --------
    >>> from minift.tokenizers import WordVocab
    >>> tokenizer = WordVocab.train(["a cat sat .", "a dog ran ."], vocab_size=20)
    >>> tokenizer.decode(tokenizer.encode("A dog sat."))
    'a dog sat.'
    >>> batch = tokenizer(["a cat", "a dog ran"], max_length=8)
    >>> batch["attention_mask"].sum(1)  # [CLS] and [SEP] count
    tensor([4, 5])
    """

    kind: ClassVar[str]
    setting_names: ClassVar[tuple[str, ...]] = ()  # constructor arguments kept in tokenizer.json

    def __init__(
        self,
        vocab: Sequence[str],
        special: SpecialTokens,
        added_tokens: Mapping[str, bool] | None = None,
    ) -> None:
        self.vocab = list(vocab)
        self.special = special
        self.added_tokens = dict(added_tokens or {})
        self._ids = index_tokens(self.vocab)
        missing = [token for token in special.tokens if token not in self._ids]
        if missing:
            raise ValueError(f"vocab must hold all of {special.tokens}, lacks {missing}")
        for token in self.added_tokens:
            if token not in self._ids:
                raise ValueError(f"added_tokens must be in vocab, got {token!r}")

        self.pad_id = self._ids[special.pad_token]
        self.unk_id = self._role_id(special.unk_token)
        self.cls_id = self._role_id(special.cls_token)
        self.sep_id = self._role_id(special.sep_token)
        self.mask_id = self._role_id(special.mask_token)
        self.eos_id = self._role_id(special.eos_token)
        sentinels = takewhile(self._ids.__contains__, map(sentinel_token, count()))
        self.sentinel_ids = [self._ids[token] for token in sentinels]
        self.special_ids = {self._ids[token] for token in special.tokens} | set(self.sentinel_ids)

        whole = {self.vocab[index] for index in self.special_ids} | self.added_tokens.keys()
        self._special_pattern = token_pattern(whole)
        hidden = [token for token, is_special in self.added_tokens.items() if is_special]
        self.special_ids |= {self._ids[token] for token in hidden}

    def tokenize(self, text: str) -> list[str]:
        """Cut plain text into tokens, all of them in the vocabulary (the unknown token is)."""
        raise NotImplementedError

    def spans(self, text: str) -> list[Span]:
        """Return where each token of `tokenize(text)` stands: it was read from text[start:end].

        Spans follow the order of the text. What a tokenizer drops (spaces, control characters) is
        in none; two tokens that share a character, as bytes may, both have the whole of it.
        """
        raise NotImplementedError

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Put tokens together to a text: the reverse of `tokenize`, as far as there is one."""
        raise NotImplementedError

    def encode(self, text: str, pair: str | None = None, special_tokens: bool = True) -> list[int]:
        """Return the ids of a text, or of two texts in one row.

        Parameters
        ----------
        special_tokens : True frames the text as the layout says, and a special token written in
            the text ("the [MASK] sat") is that token. False takes the text literally: nothing is
            added, and "[MASK]" is a word in brackets. Text of unknown origin is best read so.
        """
        first = self._text_ids(text, special_tokens)
        second = None if pair is None else self._text_ids(pair, special_tokens)
        if not special_tokens:
            return first + (second or [])
        head, tail = self._frame(first, second, self._ids.__getitem__)
        return head + tail

    def decode(self, ids: Sequence[int] | Tensor, skip_special_tokens: bool = True) -> str:
        """Return the text of a row of ids, (T,); special tokens, [UNK] too, are left out or kept.

        Raises
        ------
        ValueError if an id is not in the vocabulary.
        """
        ids = self._checked_ids(ids)
        skipped = self.special_ids if skip_special_tokens else ()
        return self.detokenize([self.vocab[index] for index in ids if index not in skipped])

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        padding: str | None = "longest",
        truncation: bool = True,
        max_length: int | None = None,
        padding_side: str = "right",
        return_offsets: bool = False,
    ) -> dict[str, Tensor]:
        """Encode N texts, or N pairs, as the tensors that a model takes.

        Parameters
        ----------
        padding : "longest" fills each row up to the longest of these, "max_length" to `max_length`;
            None fills nothing, so that all rows must be equally long already.
        truncation : cut rows down to `max_length`: a text at its end, of a pair always the longer
            text (the second when equal), until both fit. The special tokens of the frame stay.
        max_length : tokens in a row, special ones included. None means no limit.
        padding_side : "right", or "left" where a row is to be continued (generation).
        return_offsets : tell for each token where in its text it stands, too.

        Returns
        -------
        input_ids (N, T) int64; attention_mask (N, T) bool, True = a token, False = padding;
        token_type_ids (N, T) int64, 0 for the first text with the tokens framing it and for
        padding, 1 for the second text and the suffix. With `return_offsets` also offsets
        (N, T, 2) int64: the token was read from text[start:end] of the first text or, where
        its token type is 1, of the second; (0, 0) for the frame and padding.

        Raises
        ------
        ValueError for arguments that do not fit each other, and for a row that is too long
        when `truncation` is False.
        """
        check_texts(texts)
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"pairs must be as many as texts, {len(texts)}, got {len(pairs)}")
        if padding not in ("longest", "max_length", None):
            raise ValueError(f'padding must be "longest", "max_length" or None, got {padding!r}')
        if padding_side not in ("right", "left"):
            raise ValueError(f'padding_side must be "right" or "left", got {padding_side!r}')
        if padding == "max_length" and max_length is None:
            raise ValueError('padding="max_length" needs max_length, got None')
        frame = self._frame([], None if pairs is None else [], str)
        frame_size = sum(map(len, frame))
        if max_length is not None and max_length <= frame_size:
            raise ValueError(
                f"max_length must be above {frame_size}, the special tokens of a row, "
                f"got {max_length}"
            )

        input_ids, token_type_ids, offsets = [], [], []
        for index, text in enumerate(texts):
            first = self._text_ids(text)
            second = None if pairs is None else self._text_ids(pairs[index])
            num_tokens = len(first) + len(second or []) + frame_size
            if max_length is not None and num_tokens > max_length:
                if not truncation:
                    raise ValueError(
                        f"texts[{index}] has {num_tokens} tokens, more than max_length "
                        f"{max_length}; pass truncation=True or a larger max_length"
                    )
                first, second = _longest_first(first, second, max_length - frame_size)
            head, tail = self._frame(first, second, self._ids.__getitem__)
            input_ids.append(head + tail)
            token_type_ids.append([0] * len(head) + [1] * len(tail))
            if return_offsets:
                spans = self._text_spans(text)[: len(first)]
                pair_spans = None
                if pairs is not None and second is not None:
                    pair_spans = self._text_spans(pairs[index])[: len(second)]
                head_spans, tail_spans = self._frame(spans, pair_spans, lambda _: NOWHERE)
                offsets.append(head_spans + tail_spans)

        lengths = [len(ids) for ids in input_ids]
        width = max(lengths, default=0)
        if padding == "max_length" and max_length is not None:
            width = max_length
        if padding is None and min(lengths, default=0) < width:
            raise ValueError(
                f"padding=None needs rows of one length, got {min(lengths)} to {width} tokens"
            )

        # From the lengths, never from the ids: in GPT's layout padding has the id of the end of a
        # text, which is a real token.
        masks = [[True] * length for length in lengths]
        batch = {
            "input_ids": _pad(input_ids, width, self.pad_id, padding_side),
            "attention_mask": _pad(masks, width, False, padding_side),
            "token_type_ids": _pad(token_type_ids, width, 0, padding_side),
        }
        if return_offsets:
            batch["offsets"] = _pad(offsets, width, NOWHERE, padding_side)
        return batch

    def __len__(self) -> int:
        return len(self.vocab)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included: the V of an embedding."""
        return len(self.vocab)

    def token_to_id(self, token: str) -> int:
        """Return a token's id; ValueError if it is not in the vocabulary."""
        if token not in self._ids:
            raise ValueError(f"token must be in the vocabulary of {len(self)}, got {token!r}")
        return self._ids[token]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of a hash over kind, settings and vocabulary.

        Two tokenizers with one fingerprint give the same ids, so that a model can keep the
        fingerprint of its own and refuse another's ids, which would fit and mean something else.
        """
        content = json.dumps([self.kind, self._settings(), self._vocab_files()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def save(self, folder: str | Path, layout: str = "minift") -> None:
        """Write tokenizer.json and the vocabulary files; no file is ever seen half written.

        Parameters
        ----------
        layout : "minift", or "huggingface" for files that transformers' AutoTokenizer opens.
            `load_tokenizer` reads both.
        """
        if layout not in ("minift", "huggingface"):
            raise ValueError(f'layout must be "minift" or "huggingface", got {layout!r}')
        if layout == "huggingface":
            files = self._huggingface_files()
        else:
            own = {"kind": self.kind, "settings": self._settings(), "fingerprint": self.fingerprint}
            # Last, and with the fingerprint: what a broken-off save over another tokenizer leaves
            # behind is then a mixture that `load` recognises.
            files = {**self._vocab_files(), "tokenizer.json": json.dumps(own, indent=2) + "\n"}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text(folder / name, text)

    @classmethod
    def load(cls: type[AnyTokenizer], folder: str | Path) -> AnyTokenizer:
        """Read what `save` wrote.

        Raises
        ------
        ValueError naming the file (and line) for a missing folder or file, broken JSON, another
        kind of tokenizer, repeated tokens, or vocabulary files of another tokenizer.
        """
        folder = Path(folder)
        own = read_description(folder)
        path = folder / "tokenizer.json"
        if own["kind"] != cls.kind:
            raise ValueError(f"{path}: kind must be {cls.kind!r}, got {own['kind']!r}")
        settings = own.get("settings")
        if not isinstance(settings, dict) or set(settings) != set(cls.setting_names):
            raise ValueError(
                f"{path}: settings must be an object with the names {list(cls.setting_names)}, "
                f"got {settings!r}"
            )
        tokenizer = cls._from_files(folder, settings)
        if own.get("fingerprint") != tokenizer.fingerprint:
            raise ValueError(
                f"{path}: fingerprint must be {tokenizer.fingerprint!r} by the vocabulary beside "
                f"it, got {own.get('fingerprint')!r}; the files are of different tokenizers"
            )
        return tokenizer

    @classmethod
    def from_huggingface(cls: type[AnyTokenizer], folder: str | Path) -> AnyTokenizer:
        """Read a tokenizer's files in Hugging Face's layout."""
        raise ValueError(f"{folder}: a {cls.kind} tokenizer has no files in Hugging Face's layout")

    def _huggingface_files(self) -> dict[str, str]:
        """File name -> content, for transformers' AutoTokenizer."""
        raise ValueError(f'layout must be "minift" for a {self.kind} tokenizer, got "huggingface"')

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.setting_names}

    def _vocab_files(self) -> dict[str, str]:
        """File name -> content, which with the settings is all there is to know."""
        return {"vocab.txt": "".join(f"{token}\n" for token in self.vocab)}

    @classmethod
    def _from_files(
        cls: type[AnyTokenizer], folder: Path, settings: dict[str, Any]
    ) -> AnyTokenizer:
        return cls(read_vocab(folder / "vocab.txt"), **settings)

    def _checked_ids(self, ids: Sequence[int] | Tensor) -> Sequence[int]:
        ids = ids.tolist() if isinstance(ids, Tensor) else ids
        for index in ids:
            # A list would take -100, the label that losses ignore, from its end.
            if not 0 <= index < len(self):
                raise ValueError(f"ids must be in 0..{len(self) - 1}, got {index}")
        return ids

    def _role_id(self, token: str | None) -> int | None:
        return None if token is None else self._ids[token]

    def _text_ids(self, text: str, special_tokens: bool = True) -> list[int]:
        """Ids of a text without its frame."""
        if not special_tokens:
            return self._plain_ids(text)
        ids: list[int] = []
        # `split` with one group gives plain text and special tokens in turn.
        for index, part in enumerate(self._special_pattern.split(text)):
            ids += [self._ids[part]] if index % 2 else self._plain_ids(part)
        return ids

    def _plain_ids(self, text: str) -> list[int]:
        """Ids of a text taken literally; those that keep a word by its ids have their own."""
        return [self._ids[token] for token in self.tokenize(text)]

    def _text_spans(self, text: str) -> list[Span]:
        """Where the tokens of `_text_ids(text)` stand."""
        spans: list[Span] = []
        place = 0
        for index, part in enumerate(self._special_pattern.split(text)):
            within = [(0, len(part))] if index % 2 else self.spans(part)
            spans += [(place + start, place + end) for start, end in within]
            place += len(part)
        return spans

    def _frame(
        self, first: list[Value], second: list[Value] | None, special: Callable[[str], Value]
    ) -> tuple[list[Value], list[Value]]:
        """Put the layout's tokens, each as `special` says it, around one or two texts.

        Returns what has token type 0, then what has token type 1.
        """

        def own(token: str | None) -> list[Value]:
            return [] if token is None else [special(token)]

        head = own(self.special.prefix_token) + first
        tail = own(self.special.suffix_token)
        if second is None:
            return head + tail, []
        return head + own(self.special.separator_token), second + tail


class WordCache(dict[str, Value]):
    """Word -> its pieces, worked out once: a text has few different words, each of them often.

    Forgets everything when full, and keeps no long words, which hardly come again (in a script
    without spaces a word is a sentence), so that an endless stream of texts does not fill the
    memory.
    """

    def __init__(
        self, pieces: Callable[[str], Value], max_words: int = 100_000, max_length: int = 30
    ) -> None:
        super().__init__()
        self._pieces = pieces
        self._max_words = max_words
        self._max_length = max_length

    def __missing__(self, word: str) -> Value:
        pieces = self._pieces(word)
        if len(word) <= self._max_length:
            if len(self) >= self._max_words:
                self.clear()
            self[word] = pieces
        return pieces


def token_pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern with which `split` gives plain text and the given tokens in turn.

    Where several begin at one place it is the longest of them.
    """
    names = sorted(tokens, key=lambda token: (-len(token), token))
    # Without tokens: what matches nowhere.
    return re.compile(f"({'|'.join(map(re.escape, names)) or '(?!)'})")


def check_texts(texts: Iterable[str]) -> None:
    """Refuse a single string, whose letters would pass for texts."""
    if isinstance(texts, str):
        raise ValueError(f"texts must be a list of strings, got the string {texts[:40]!r}")


def join_words(words: Sequence[str]) -> str:
    """Join with spaces, but none before a closing mark or an apostrophe."""
    return re.sub(r" (?=[.,?!:;'])", "", " ".join(words))


def _pad(rows: Sequence[list[Value]], width: int, fill: Value, padding_side: str) -> Tensor:
    """Fill N rows up to `width`, T, at one side; a value may be a tuple: (N, T, ...)."""
    fills = [[fill] * (width - len(row)) for row in rows]
    filled = [
        row + rest if padding_side == "right" else rest + row for row, rest in zip(rows, fills)
    ]
    like = torch.tensor(fill)  # says type and shape also where there are no rows
    return torch.tensor(filled, dtype=like.dtype).view(len(rows), width, *like.shape)


def _longest_first(
    first: list[int], second: list[int] | None, budget: int
) -> tuple[list[int], list[int] | None]:
    """Cut to `budget` ids together, one at a time from the longer text, as BERT does."""
    if second is None:
        return first[:budget], None
    num_first, num_second = len(first), len(second)
    while num_first + num_second > budget:
        if num_first > num_second:
            num_first -= 1
        else:
            num_second -= 1
    return first[:num_first], second[:num_second]
