"""Pictures as bytes: just enough PNG to show what a model sees, with no image library.

A PNG file is a signature and three chunks: a header, the zlib-compressed rows, an end (W3C,
Portable Network Graphics, 2003). Each row starts with a byte that names its filter, by which rows
may be stored as differences; ours is always 0, "none".

Shapes: N pictures, H height, W width; pictures are uint8 (N, 3, H, W), as in torch.nn.
"""

from __future__ import annotations

import struct
import zlib

import torch
from torch import Tensor

# One colour per class, in the order of the classes; with more classes than colours they repeat.
MASK_COLOURS = torch.tensor(
    [
        [230, 60, 50], [40, 125, 230], [40, 165, 85], [245, 190, 30], [150, 70, 190],
        [245, 125, 30], [30, 180, 190], [225, 90, 165], [140, 95, 50], [155, 200, 60],
    ],
    dtype=torch.uint8,
)  # fmt: skip


def encode_png(image: Tensor) -> bytes:
    """Return the picture as a PNG file, losslessly; equal pictures give equal bytes.

    Parameters
    ----------
    image : uint8, (3, H, W) in colour or (H, W) in grey.

    Raises
    ------
    ValueError : another dtype or shape, or no pixels at all.
    """
    is_grey = image.ndim == 2
    if image.dtype != torch.uint8 or not (is_grey or (image.ndim == 3 and image.shape[0] == 3)):
        raise ValueError(
            "image must be uint8 of shape (3, H, W) or (H, W), "
            f"got {image.dtype} of shape {tuple(image.shape)}"
        )
    if image.numel() == 0:
        raise ValueError(f"image must have pixels, got shape {tuple(image.shape)}")
    H, W = image.shape[-2:]
    pixels = image.cpu() if is_grey else image.cpu().permute(1, 2, 0).reshape(H, W * 3)
    rows = torch.cat([torch.zeros(H, 1, dtype=torch.uint8), pixels], dim=1)  # the filter byte
    # Size, 8 bits a sample, colour type (0 grey, 2 RGB); then the only compression and the only
    # family of filters there are, and rows in plain order.
    header = struct.pack(">IIBBBBB", W, H, 8, 0 if is_grey else 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows.numpy().tobytes(), level=9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Length, kind, content, and a checksum over the last two."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def contact_sheet(images: Tensor, columns: int, gap: int = 2) -> Tensor:
    """Lay pictures out row by row on one white sheet.

    Parameters
    ----------
    images : uint8 (N, 3, H, W).
    columns : pictures in a row; the last row may be shorter.
    gap : white pixels between neighbours; the outer edge has none.

    Returns
    -------
    uint8 (3, rows * (H + gap) - gap, columns * (W + gap) - gap).
    """
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be (N, 3, H, W) with N > 0, got {tuple(images.shape)}")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    N, channels, H, W = images.shape
    rows = -(-N // columns)  # rounded up
    sheet = images.new_full((channels, rows * (H + gap) - gap, columns * (W + gap) - gap), 255)
    for index, image in enumerate(images):
        top, left = index // columns * (H + gap), index % columns * (W + gap)
        sheet[:, top : top + H, left : left + W] = image
    return sheet


def overlay_mask(images: Tensor, masks: Tensor, opacity: float = 0.6) -> Tensor:
    """Tint every pixel with the colour of its class; background stays as it is.

    Parameters
    ----------
    images : uint8 (N, 3, H, W).
    masks : int64 (N, H, W), class + 1; 0 is background, and so is a negative, ignored label.
    opacity : in [0, 1], the share of the class's colour in a tinted pixel.

    Returns
    -------
    uint8 (N, 3, H, W), a new tensor.
    """
    N, _, H, W = images.shape
    if masks.shape != (N, H, W):
        raise ValueError(f"masks must be {(N, H, W)} like images, got {tuple(masks.shape)}")
    colours = MASK_COLOURS.to(images.device)[(masks - 1) % len(MASK_COLOURS)]  # (N, H, W, 3)
    colours = colours.permute(0, 3, 1, 2)  # (N, 3, H, W)
    tinted = torch.lerp(images.float(), colours.float(), opacity).round().to(torch.uint8)
    return torch.where((masks > 0).unsqueeze(1), tinted, images)


def outline_boxes(images: Tensor, boxes: Tensor, class_index: int = 0) -> Tensor:
    """Draw the outline of a box on each picture, one pixel wide, in the colour of a class.

    Parameters
    ----------
    images : uint8 (N, 3, H, W).
    boxes : float (N, 4), x0 y0 x1 y1 in parts of the sides.

    Returns
    -------
    uint8 (N, 3, H, W), a new tensor.
    """
    N, _, H, W = images.shape
    if boxes.shape != (N, 4):
        raise ValueError(f"boxes must be {(N, 4)}, one a picture, got {tuple(boxes.shape)}")
    outlined = images.clone()
    colour = MASK_COLOURS[class_index % len(MASK_COLOURS)].to(images.device)[:, None]
    sides = torch.tensor([W, H, W, H])
    for picture, box in zip(outlined, boxes.cpu()):
        x0, y0, x1, y1 = (box * sides).clamp(min=0).long().minimum(sides - 1).tolist()
        picture[:, y0, x0 : x1 + 1] = picture[:, y1, x0 : x1 + 1] = colour
        picture[:, y0 : y1 + 1, x0] = picture[:, y0 : y1 + 1, x1] = colour
    return outlined
