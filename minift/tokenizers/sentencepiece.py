"""SentencePiece's `.model` file, read and written: a vocabulary, its scores and its normalisation.

The file is a protocol buffer: a message is a row of fields, each a number and a kind, then the
value, and a value may be a message again. Reading that takes a page, given the numbers of the few
fields that count (Kudo and Richardson 2018 describe the model; the numbers are those of its public
schema). Nothing in the file is believed before it was measured: a length must lie within what is
left, a text must be UTF-8, a score finite.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from minift.tokenizers.charsmap import CharacterMap, Normalizer
from minift.tokenizers.files import read_bytes, write_bytes


class PieceKind(IntEnum):
    """What a piece is for; the numbers are the file's."""

    NORMAL = 1  # a string of text
    UNKNOWN = 2  # stands for what no piece spells
    CONTROL = 3  # <s>, </s>, <pad>: never made from text
    USER_DEFINED = 4  # always one piece wherever it occurs
    UNUSED = 5  # keeps its id, and is not used
    BYTE = 6  # <0x00> .. <0xFF>: spell a character that has no piece


class Piece(NamedTuple):
    """A token, and the logarithm of its probability."""

    text: str
    score: float = 0.0
    kind: PieceKind = PieceKind.NORMAL


@dataclass(frozen=True)
class SentencePieceModel:
    """What a `.model` file says, as far as it makes a difference to ids."""

    pieces: Sequence[Piece]
    normalizer: Normalizer = field(default_factory=Normalizer)
    pad_id: int = -1  # -1: there is none
    bos_id: int = -1
    eos_id: int = -1


def read_model(path: str | Path) -> SentencePieceModel:
    """Read a `.model` file of a unigram model.

    Raises
    ------
    ValueError naming the file and what is wrong: no protocol buffer, a field of the wrong kind,
    another sort of model (BPE), no pieces, a character map that is none.
    """
    path = Path(path)
    content = read_bytes(path)
    try:
        return _parse(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_model(path: str | Path, model: SentencePieceModel) -> None:
    """Write a `.model` file that SentencePiece opens."""
    write_bytes(Path(path), _serialize(model))


# Field numbers of the schema: ModelProto, SentencePiece, TrainerSpec, NormalizerSpec.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _VOCAB_SIZE, _SUFFIX, _BYTE_FALLBACK = 3, 4, 24, 35
_UNK_ID, _BOS_ID, _EOS_ID, _PAD_ID = 40, 41, 42, 43
_UNK_PIECE, _BOS_PIECE, _EOS_PIECE, _PAD_PIECE = 45, 46, 47, 48
_CHARSMAP, _DUMMY_PREFIX, _EXTRA_SPACES, _ESCAPE_SPACES = 2, 3, 4, 5

_UNIGRAM = 1
_MODEL_TYPES = {_UNIGRAM: "unigram", 2: "BPE", 3: "word", 4: "char"}

# Kinds of values on the wire.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Message = dict[int, list[int | bytes]]  # field number -> its values, in order


def _parse(content: bytes) -> SentencePieceModel:
    message = _read_message(content, "model")
    trainer = _read_message(_bytes(message, _TRAINER, "trainer_spec"), "trainer_spec")
    spec = _read_message(_bytes(message, _NORMALIZER, "normalizer_spec"), "normalizer_spec")

    model_type = _integer(trainer, _MODEL_TYPE, "model_type", _UNIGRAM)
    if model_type != _UNIGRAM:
        name = _MODEL_TYPES.get(model_type, model_type)
        raise ValueError(f"model_type must be unigram, got {name}")
    pieces = [_parse_piece(value, index) for index, value in enumerate(message.get(_PIECES, []))]
    if not pieces:
        raise ValueError("pieces must be there, got none")

    charsmap = _bytes(spec, _CHARSMAP, "precompiled_charsmap")

    def role(number: int, name: str, default: int) -> int:
        index = _integer(trainer, number, name, default)
        return index if 0 <= index < len(pieces) and pieces[index].kind != PieceKind.NORMAL else -1

    return SentencePieceModel(
        pieces,
        Normalizer(
            charsmap=CharacterMap(charsmap) if charsmap else None,
            add_dummy_prefix=_integer(spec, _DUMMY_PREFIX, "add_dummy_prefix", 1) != 0,
            remove_extra_whitespaces=_integer(spec, _EXTRA_SPACES, "remove_extra_whitespaces", 1)
            != 0,
            escape_whitespaces=_integer(spec, _ESCAPE_SPACES, "escape_whitespaces", 1) != 0,
            whitespace_as_suffix=_integer(trainer, _SUFFIX, "treat_whitespace_as_suffix", 0) != 0,
        ),
        pad_id=role(_PAD_ID, "pad_id", -1),
        bos_id=role(_BOS_ID, "bos_id", 1),
        eos_id=role(_EOS_ID, "eos_id", 2),
    )


def _parse_piece(value: int | bytes, index: int) -> Piece:
    name = f"pieces[{index}]"
    if not isinstance(value, bytes):
        raise ValueError(f"{name} must be a message, got a number")
    message = _read_message(value, name)
    try:
        text = _bytes(message, _TEXT, f"{name}.piece").decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name}.piece must be UTF-8") from None
    score_bits = _integer(message, _SCORE, f"{name}.score", 0)
    (score,) = struct.unpack("<f", struct.pack("<I", score_bits & 0xFFFFFFFF))
    if not math.isfinite(score):
        raise ValueError(f"{name}.score must be a finite number, got {score}")
    kind = _integer(message, _KIND, f"{name}.type", PieceKind.NORMAL)
    if kind not in set(PieceKind):
        raise ValueError(f"{name}.type must be in 1..6, got {kind}")
    return Piece(text, score, PieceKind(kind))


def _bytes(message: Message, number: int, name: str) -> bytes:
    value = message.get(number, [b""])[-1]  # of a field that may come once the last counts
    if not isinstance(value, bytes):
        raise ValueError(f"{name} must be a message or a text, got the number {value}")
    return value


def _integer(message: Message, number: int, name: str, default: int) -> int:
    value = message.get(number, [default])[-1]
    if not isinstance(value, int):
        raise ValueError(f"{name} must be a number, got {len(value)} bytes")
    return value


def _read_message(content: bytes, name: str) -> Message:
    message: Message = {}
    for number, value in _read_fields(content, name):
        message.setdefault(number, []).append(value)
    return message


def _read_fields(content: bytes, name: str) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(content):
        start = position
        key, position = _read_varint(content, position, name)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            bits, position = _read_varint(content, position, name)
            yield number, bits - (1 << 64) if bits >> 63 else bits  # int32 and int64 are signed
            continue
        if wire == _BYTES:
            length, position = _read_varint(content, position, name)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"{name} must be a protocol buffer, byte {start} begins no field")
        if number == 0 or length > len(content) - position:
            raise ValueError(
                f"{name} must be a protocol buffer, field {number} at byte {start} says "
                f"{length} bytes, {len(content) - position} are left"
            )
        value = content[position : position + length]
        position += length
        yield number, value if wire == _BYTES else int.from_bytes(value, "little")


def _read_varint(content: bytes, position: int, name: str) -> tuple[int, int]:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    value = 0
    for index, byte in enumerate(content[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position + index + 1
    raise ValueError(f"{name} must be a protocol buffer, the number at byte {position} has no end")


def _serialize(model: SentencePieceModel) -> bytes:
    roles = {PieceKind.UNKNOWN: -1, PieceKind.BYTE: -1}
    parts = []
    for index, piece in enumerate(model.pieces):
        roles[piece.kind] = index
        parts.append(
            _field(
                _PIECES,
                _field(_TEXT, piece.text.encode())
                + _varint(_SCORE << 3 | _FIXED32)
                + struct.pack("<f", piece.score)
                + _field(_KIND, int(piece.kind)),
            )
        )
    trainer = (
        _field(_MODEL_TYPE, _UNIGRAM)
        + _field(_VOCAB_SIZE, len(model.pieces))
        + _field(_SUFFIX, int(model.normalizer.whitespace_as_suffix))
        + _field(_BYTE_FALLBACK, int(roles[PieceKind.BYTE] >= 0))
    )
    for id_number, text_number, index in (
        (_UNK_ID, _UNK_PIECE, roles[PieceKind.UNKNOWN]),
        (_BOS_ID, _BOS_PIECE, model.bos_id),
        (_EOS_ID, _EOS_PIECE, model.eos_id),
        (_PAD_ID, _PAD_PIECE, model.pad_id),
    ):
        trainer += _field(id_number, index)
        if index >= 0:
            trainer += _field(text_number, model.pieces[index].text.encode())
    rules = model.normalizer
    normalizer = (
        _field(_CHARSMAP, b"" if rules.charsmap is None else rules.charsmap.content)
        + _field(_DUMMY_PREFIX, int(rules.add_dummy_prefix))
        + _field(_EXTRA_SPACES, int(rules.remove_extra_whitespaces))
        + _field(_ESCAPE_SPACES, int(rules.escape_whitespaces))
    )
    parts += [_field(_TRAINER, trainer), _field(_NORMALIZER, normalizer)]
    return b"".join(parts)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # a negative number as its 64 bits
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
