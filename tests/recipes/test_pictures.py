"""The PNG writer round-trips, and the picture helpers put every pixel where they say."""

from __future__ import annotations

import struct
import zlib

import pytest
import torch
from torch import Tensor

from minift.recipes.pictures import (
    MASK_COLOURS,
    contact_sheet,
    encode_png,
    outline_boxes,
    overlay_mask,
)


def random_images(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def decode_png(data: bytes) -> Tensor:
    """A reader for 8-bit grey and RGB without row filters; checks what any reader checks."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert zlib.crc32(kind + content) == checksum
        chunks[kind] = content
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    W, H, depth, colour_type, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    channels = {0: 1, 2: 3}[colour_type]
    rows = torch.tensor(list(zlib.decompress(chunks[b"IDAT"])), dtype=torch.uint8)
    rows = rows.view(H, 1 + W * channels)
    assert (rows[:, 0] == 0).all()
    pixels = rows[:, 1:].reshape(H, W, channels).permute(2, 0, 1)
    return pixels if channels == 3 else pixels[0]


@pytest.mark.parametrize("shape", [(3, 5, 7), (5, 7), (3, 1, 1)])
def test_png_decodes_to_the_same_pixels(shape: tuple[int, ...]) -> None:
    image = random_images(*shape)
    assert torch.equal(decode_png(encode_png(image)), image)


def test_png_reads_strided_views() -> None:
    image = random_images(3, 6, 8)[:, ::2, 1::2]
    assert torch.equal(decode_png(encode_png(image)), image)


def test_equal_pictures_give_equal_bytes() -> None:
    assert encode_png(random_images(3, 4, 4)) == encode_png(random_images(3, 4, 4))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 4, 4), "uint8.*float32"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"\(4, 4, 3\)"),
        (torch.zeros(3, 0, 4, dtype=torch.uint8), "must have pixels"),
    ],
)
def test_png_refuses_what_is_no_picture(image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_png(image)


def test_contact_sheet_places_pictures_row_by_row_on_white() -> None:
    images = random_images(5, 3, 4, 6)
    sheet = contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (3, 2 * 6 - 2, 3 * 8 - 2)
    assert torch.equal(sheet[:, 0:4, 8:14], images[1])
    assert torch.equal(sheet[:, 6:10, 0:6], images[3])
    assert (sheet[:, 4:6] == 255).all()  # between the rows
    assert (sheet[:, 6:10, 16:22] == 255).all()  # the place of a sixth


def test_contact_sheet_names_the_wrong_argument() -> None:
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        contact_sheet(random_images(1, 3, 2, 2), columns=0)
    with pytest.raises(ValueError, match="images must be"):
        contact_sheet(random_images(3, 2, 2), columns=1)


def test_overlay_tints_classes_and_leaves_background_and_ignored_pixels() -> None:
    images = random_images(1, 3, 1, 4)
    masks = torch.tensor([[[0, -100, 1, 2]]])
    tinted = overlay_mask(images, masks, opacity=1.0)
    assert torch.equal(tinted[..., :2], images[..., :2])
    assert torch.equal(tinted[0, :, 0, 2], MASK_COLOURS[0])
    assert torch.equal(tinted[0, :, 0, 3], MASK_COLOURS[1])


def test_overlay_blends_by_opacity() -> None:
    images = torch.full((1, 3, 1, 1), 100, dtype=torch.uint8)
    tinted = overlay_mask(images, torch.ones(1, 1, 1, dtype=torch.long), opacity=0.5)
    expected = (100 + MASK_COLOURS[0].float()) / 2
    assert (tinted.flatten().float() - expected).abs().max() <= 0.5  # rounded to whole numbers


def test_overlay_repeats_colours_when_classes_outnumber_them() -> None:
    images, masks = random_images(1, 3, 2, 2), torch.full((1, 2, 2), 3)
    assert torch.equal(overlay_mask(images, masks), overlay_mask(images, masks + len(MASK_COLOURS)))


def test_overlay_refuses_masks_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"masks must be \(1, 2, 2\)"):
        overlay_mask(random_images(1, 3, 2, 2), torch.zeros(1, 3, 2, dtype=torch.long))


def test_box_is_outlined_and_its_inside_stays() -> None:
    images = random_images(1, 3, 8, 10)
    outlined = outline_boxes(images, torch.tensor([[0.2, 0.25, 0.8, 0.75]]))  # 2, 2 to 8, 6
    changed = (outlined != images).any(dim=1)[0]
    expected = torch.zeros(8, 10, dtype=torch.bool)
    expected[2:7, 2:9] = True
    expected[3:6, 3:8] = False
    assert torch.equal(changed, expected)
    assert torch.equal(outlined[0, :, 2, 2], MASK_COLOURS[0])


def test_box_at_the_edge_or_beyond_stays_on_the_picture() -> None:
    images = random_images(2, 3, 4, 4)
    outlined = outline_boxes(images, torch.tensor([[0.0, 0.0, 1.0, 1.0], [-1.0, -1.0, 2.0, 2.0]]))
    assert torch.equal(outlined[..., 1:3, 1:3], images[..., 1:3, 1:3])
    assert (outlined[:, :, 0] == MASK_COLOURS[0][:, None]).all()
    with pytest.raises(ValueError, match=r"boxes must be \(2, 4\), one a picture"):
        outline_boxes(images, torch.zeros(1, 4))
