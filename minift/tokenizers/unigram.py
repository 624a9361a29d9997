"""SentencePiece's unigram tokenizer, T5's: of all ways to cut a text, the most probable one.

Every piece of the vocabulary has a probability, and a text cut into pieces the product of theirs
(Kudo 2018, section 3.2). The best cut is found from left to right: the best way to reach a place is
the best way to an earlier one and a piece between the two (Viterbi). Training is in
unigram_training.py, normalisation in charsmap.py, files of others in sentencepiece.py.

A character that no piece spells costs ten more than the least probable piece and is unknown; a run
of them is one unknown token. With byte pieces it is spelt by its bytes instead, and nothing is
unknown. T5 has 100 sentinels for its span corruption, counted down at the end of the vocabulary:
<extra_id_0> is the last id (Raffel et al. 2020, section 3.1.4).
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from minift.tokenizers import unigram_files
from minift.tokenizers.base import Span, Tokenizer, check_texts
from minift.tokenizers.charsmap import SPACE, UNREADABLE, Normalizer
from minift.tokenizers.layouts import SpecialTokens, sentinel_token
from minift.tokenizers.sentencepiece import (
    Piece,
    PieceKind,
    SentencePieceModel,
    read_model,
    write_model,
)
from minift.tokenizers.unigram_files import BYTE_PIECES
from minift.tokenizers.unigram_training import learn_pieces

UNKNOWN_PENALTY = 10.0  # below the least probable piece


class Unigram(Tokenizer):
    """Unigram pieces in T5's layout: </s> after each text, where the model has one.

    Parameters
    ----------
    model : pieces with their scores, the normalisation, and which pieces pad and end a text.
    num_sentinels : how many marks <extra_id_0>, ... are added at the end of the vocabulary.

    Raises
    ------
    ValueError if a piece is there twice or empty, if not exactly one stands for the unknown, or if
    some of the 256 byte pieces are missing.
    """

    kind: ClassVar[str] = "unigram"
    setting_names: ClassVar[tuple[str, ...]] = ("num_sentinels",)

    def __init__(self, model: SentencePieceModel, num_sentinels: int = 0) -> None:
        pieces = model.pieces
        unknown = [piece.text for piece in pieces if piece.kind == PieceKind.UNKNOWN]
        if len(unknown) != 1:
            raise ValueError(f"pieces must have one for the unknown, got {unknown}")
        by_bytes = {piece.text for piece in pieces if piece.kind == PieceKind.BYTE}
        if by_bytes and by_bytes != set(BYTE_PIECES):
            raise ValueError(f"pieces must have all 256 bytes or none, got {len(by_bytes)}")

        eos = pieces[model.eos_id].text if model.eos_id >= 0 else None
        special = SpecialTokens(
            # Without a piece for padding another's id does: the attention mask hides it.
            pad_token=pieces[model.pad_id].text if model.pad_id >= 0 else eos or unknown[0],
            eos_token=eos,
            unk_token=unknown[0],
            separator_token=eos,
            suffix_token=eos,
        )
        sentinels = [sentinel_token(number) for number in reversed(range(num_sentinels))]
        super().__init__([piece.text for piece in pieces] + sentinels, special)
        self.model = model
        self.num_sentinels = num_sentinels
        self._has_bytes = bool(by_bytes)
        self._control = {piece.text for piece in pieces if piece.kind == PieceKind.CONTROL}
        self.special_ids |= {self._ids[token] for token in self._control}
        self._symbols = {piece.text for piece in pieces if piece.kind == PieceKind.USER_DEFINED}

        normal = [piece.score for piece in pieces if piece.kind == PieceKind.NORMAL]
        self._unknown_score = _to_float32(min(normal, default=0.0) - UNKNOWN_PENALTY)
        # String -> score, for the pieces that text is cut into; None for what only begins one.
        self._scores: dict[str, float | None] = {}
        for piece in pieces:
            score = piece.score
            if piece.kind == PieceKind.USER_DEFINED:
                # No logarithm of a probability: better than any other way to spell it.
                score = _to_float32(0.1 * (len(piece.text.encode()) - 1))
            elif piece.kind != PieceKind.NORMAL:
                continue
            for length in range(1, len(piece.text)):
                self._scores.setdefault(piece.text[:length], None)
            self._scores[piece.text] = score

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        num_sentinels: int = 0,
        byte_fallback: bool = False,
        user_defined_symbols: Sequence[str] = (),
        character_coverage: float = 0.9995,
        normalizer: Normalizer | None = None,
    ) -> Unigram:
        """Learn pieces and their probabilities by EM, from many candidates down to `vocab_size`.

        Parameters
        ----------
        vocab_size : the number of tokens: <pad>, </s> and <unk>, symbols, bytes and sentinels
            included. There are fewer where the texts have no more strings that repeat.
        num_sentinels : marks <extra_id_0>, <extra_id_1>, ... for T5's span corruption.
        byte_fallback : spell by 256 byte pieces what would be unknown.
        user_defined_symbols : strings that are one token wherever they occur.
        character_coverage : the part of all characters, in (0, 1], that must be known; rare
            characters beyond it are unknown (in a text of Chinese they would fill the vocabulary).
        normalizer : None only makes spaces visible and shrinks runs of them;
            `Normalizer(CharacterMap.from_rules(nfkc_rules()))` also unites what looks alike, as
            T5's does.
        """
        check_texts(texts)
        normalizer = normalizer or Normalizer()
        frame = [
            Piece("<pad>", kind=PieceKind.CONTROL),
            Piece("</s>", kind=PieceKind.CONTROL),
            Piece("<unk>", kind=PieceKind.UNKNOWN),
            *(Piece(symbol, kind=PieceKind.USER_DEFINED) for symbol in user_defined_symbols),
        ]
        if byte_fallback:
            frame += [Piece(token, kind=PieceKind.BYTE) for token in BYTE_PIECES]
        num_pieces = vocab_size - len(frame) - num_sentinels
        learnt = learn_pieces(
            (normalizer(text, set(user_defined_symbols))[0] for text in texts),
            num_pieces,
            symbols=user_defined_symbols,
            character_coverage=character_coverage,
        )
        pieces = frame + [Piece(text, _to_float32(score)) for text, score in learnt]
        return cls(SentencePieceModel(pieces, normalizer, pad_id=0, eos_id=1), num_sentinels)

    @classmethod
    def from_model(cls, path: str | Path, num_sentinels: int = 0) -> Unigram:
        """Read a `.model` file of SentencePiece; T5's own lack its 100 sentinels."""
        with _named(path):
            return cls(read_model(path), num_sentinels)

    @classmethod
    def from_huggingface(cls, folder: str | Path) -> Unigram:
        """Read a folder with tokenizer.json, or with spiece.model, as T5's folders are.

        Raises
        ------
        ValueError naming file and key for what is missing or broken, and for a tokenizer whose ids
        would not be ours: other normalisation, tokens framing a text (ALBERT's, XLM-R's).
        """
        with _named(folder):
            return cls(*unigram_files.read_folder(Path(folder)))

    def write_model(self, path: str | Path) -> None:
        """Write a `.model` file that SentencePiece opens; the sentinels are not in it."""
        write_model(path, self.model)

    def save(self, folder: str | Path, layout: str = "minift") -> None:
        super().save(folder, layout)
        if layout == "huggingface":
            self.write_model(Path(folder) / "spiece.model")

    def tokenize(self, text: str) -> list[str]:
        return [token for token, _ in self._tokens_and_spans(text)]

    def spans(self, text: str) -> list[Span]:
        """Return where each token stands, without the spaces at its ends."""
        return [span for _, span in self._tokens_and_spans(text)]

    def _tokens_and_spans(self, text: str) -> Iterator[tuple[str, Span]]:
        normal, sources = self.model.normalizer(text, self._symbols)
        for start, end in self._best_path(normal):
            piece = normal[start:end]
            # What is left of the piece without spaces; of spaces alone, the place where they begin.
            first = start + len(piece) - len(piece.lstrip(_SPACES))
            last = start + len(piece.rstrip(_SPACES))
            span = (sources[start][0],) * 2
            if first < last:
                span = (sources[first][0], sources[last - 1][1])
            if self._scores.get(piece) is not None:
                yield piece, span
            elif self._has_bytes:
                yield from ((BYTE_PIECES[byte], span) for byte in piece.encode())
            else:
                assert self.special.unk_token is not None  # seen to at the beginning
                yield self.special.unk_token, span

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join pieces, bytes to characters (U+FFFD where they make none) and "▁" to spaces."""
        rules = self.model.normalizer
        has_prefix = rules.add_dummy_prefix or rules.remove_extra_whitespaces
        text = ""
        content = bytearray()  # bytes that wait for their character to be complete
        for token in [*tokens, ""]:
            if self._has_bytes and token in _BYTES:
                content.append(_BYTES[token])
                continue
            # One U+FFFD for each byte that makes no character.
            text += _NO_CHARACTER.sub(UNREADABLE, content.decode("utf-8", "surrogateescape"))
            content.clear()
            # What normalisation put before the first word goes.
            if not text and has_prefix:
                has_prefix = rules.remove_extra_whitespaces or not token.startswith(SPACE)
                token = token.removeprefix(SPACE)
            text += token.replace(SPACE, " ")
        return text

    def log_prob(self, text: str) -> float:
        """Return the score of the best way to cut a text: a logarithm of its probability."""
        normal, _ = self.model.normalizer(text, self._symbols)
        scores = (self._scores.get(normal[i:j]) for i, j in self._best_path(normal))
        return math.fsum(self._unknown_score if score is None else score for score in scores)

    def _vocab_files(self) -> dict[str, str]:
        return {"unigram.json": unigram_files.own_file(self.model)}

    def _huggingface_files(self) -> dict[str, str]:
        return unigram_files.huggingface_files(self.model, self.num_sentinels)

    @classmethod
    def _from_files(cls, folder: Path, settings: dict[str, Any]) -> Unigram:
        number = settings["num_sentinels"]
        if type(number) is not int or not 0 <= number <= unigram_files.MAX_SENTINELS:
            raise ValueError(
                f"{folder / 'tokenizer.json'}: num_sentinels must be in "
                f"0..{unigram_files.MAX_SENTINELS}, got {number!r}"
            )
        path = folder / "unigram.json"
        with _named(path):
            return cls(unigram_files.read_own_file(path), **settings)

    def _best_path(self, text: str) -> list[tuple[int, int]]:
        """Cut normalised text into (start, end): pieces, and runs of unknown characters."""
        scores = self._scores
        # Rounded to 32 bits where they are kept, as SentencePiece's are: "0" and "00", or "00" and
        # "0", are equally good ways to cut "000" but for rounding.
        best = array("f", bytes(4 * (len(text) + 1)))
        begin = [-1] * (len(text) + 1)  # of the piece that ends the best way to a place
        for start in range(len(text)):
            so_far = best[start]
            for end in range(start + 1, len(text) + 1):
                piece = text[start:end]
                if piece not in scores:
                    break
                score = scores[piece]
                if score is None:
                    continue
                before = best[end]
                if begin[end] < 0 or so_far + score > before:
                    best[end] = so_far + score
                    if begin[end] < 0 or best[end] > before:  # after rounding, too
                        begin[end] = start
            if scores.get(text[start]) is None:
                total = so_far + self._unknown_score
                if begin[start + 1] < 0 or total > best[start + 1]:
                    best[start + 1] = total
                    begin[start + 1] = start

        path: list[tuple[int, int]] = []
        end = len(text)
        unknown_before = False
        while end > 0:
            start = begin[end]
            is_unknown = scores.get(text[start:end]) is None
            if is_unknown and unknown_before:
                path[-1] = (start, path[-1][1])
            else:
                path.append((start, end))
            unknown_before = is_unknown
            end = start
        return path[::-1]


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Name the file or folder in messages that do not."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        named = message.startswith(str(path))
        raise ValueError(message if named else f"{path}: {message}") from None


_SPACES = SPACE + " "
_NO_CHARACTER = re.compile("[\udc80-\udcff]")
_BYTES = {token: byte for byte, token in enumerate(BYTE_PIECES)}


def _to_float32(value: float) -> float:
    return array("f", [value])[0]
