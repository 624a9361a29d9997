"""`.model` files: what is written is read again, and nothing in a file is believed unmeasured."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from minift.tokenizers.charsmap import CharacterMap, Normalizer
from minift.tokenizers.sentencepiece import (
    Piece,
    PieceKind,
    SentencePieceModel,
    read_model,
    write_model,
)

MODEL = SentencePieceModel(
    [
        Piece("<pad>", 0.0, PieceKind.CONTROL),
        Piece("</s>", 0.0, PieceKind.CONTROL),
        Piece("<unk>", 0.0, PieceKind.UNKNOWN),
        Piece("<x>", 0.0, PieceKind.USER_DEFINED),
        Piece("old", -1.5, PieceKind.UNUSED),
        Piece("▁the", -2.5),
        Piece("é漢", -3.25),
    ],
    Normalizer(CharacterMap.from_rules({"ﬁ": "fi"}), add_dummy_prefix=False),
    pad_id=0,
    eos_id=1,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_model(tmp_path / "some.model", MODEL)
    return tmp_path / "some.model"


def test_a_model_comes_back_as_it_was_written(path: Path) -> None:
    model = read_model(path)

    assert model.pieces == MODEL.pieces
    assert (model.pad_id, model.bos_id, model.eos_id) == (0, -1, 1)
    assert model.normalizer.charsmap is not None
    assert model.normalizer.charsmap.content == MODEL.normalizer.charsmap.content
    assert not model.normalizer.add_dummy_prefix
    assert model.normalizer.remove_extra_whitespaces


def test_what_a_file_does_not_say_has_the_default_of_the_format(path: Path) -> None:
    path.write_bytes(field(1, field(1, b"a")) + field(1, field(1, b"b") + b"\x18\x02"))

    model = read_model(path)

    assert model.pieces == [Piece("a"), Piece("b", kind=PieceKind.UNKNOWN)]
    assert model.normalizer == Normalizer()
    assert (model.pad_id, model.bos_id, model.eos_id) == (-1, 1, -1)


def test_unknown_fields_are_passed_over(path: Path) -> None:
    extra = field(99, b"new") + b"\xa0\x06\x05" + b"\xad\x06" + bytes(4) + b"\xa9\x06" + bytes(8)
    path.write_bytes(path.read_bytes() + extra)

    assert read_model(path).pieces == MODEL.pieces


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, shorter than 128."""
    key = number << 3 | 2
    return (
        bytes([key] if key < 128 else [key & 127 | 128, key >> 7]) + bytes([len(content)]) + content
    )


PIECE = field(1, field(1, b"a"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pieces must be there, got none"),
        (b"this is text, not a model", "model must be a protocol buffer"),
        (b"PK\x03\x04 a zip file", "model must be a protocol buffer"),
        (b"\x0a\xff\xff\xff\xff\x0f", "field 1 at byte 0 says 4294967295 bytes, 0 are left"),
        (b"\x0a\x05abc", "field 1 at byte 0 says 5 bytes, 3 are left"),
        (b"\x80" * 20, "the number at byte 0 has no end"),
        (b"\x08\x01", r"pieces\[0\] must be a message, got a number"),
        (field(1, field(1, b"\xff")), r"pieces\[0\]\.piece must be UTF-8"),
        (
            field(1, b"\x08\x01"),
            r"pieces\[0\]\.piece must be a message or a text, got the number 1",
        ),
        (field(1, field(1, b"a") + b"\x12\x01x"), r"pieces\[0\]\.score must be a number"),
        (field(1, b"\x15" + struct.pack("<f", float("nan"))), r"score must be a finite number"),
        (field(1, field(1, b"a") + b"\x18\x09"), r"pieces\[0\]\.type must be in 1\.\.6, got 9"),
        (PIECE + field(2, b"\x18\x02"), "model_type must be unigram, got BPE"),
        (PIECE + field(3, field(2, b"\x01\x02\x03\x04\x05")), "character map must begin with"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(
    content: bytes, message: str, path: Path
) -> None:
    path.write_bytes(content)

    with pytest.raises(ValueError, match=message) as caught:
        read_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.model is missing"):
        read_model(tmp_path / "none.model")


def test_a_damaged_file_is_refused_by_its_name_or_read(path: Path) -> None:
    content = path.read_bytes()
    draw = random.Random(0)

    for _ in range(500):
        damaged = bytearray(content[: draw.choice([len(content), draw.randrange(len(content))])])
        for _ in range(draw.randrange(6)):
            if damaged:
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(bytes(damaged))
        message = str(path)
        try:
            read_model(path)
        except ValueError as error:
            message = str(error)
        assert message.startswith(str(path))
