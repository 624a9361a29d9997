"""The IDX files of MNIST and Fashion-MNIST (LeCun et al. 1998; Xiao et al. 2017), byte by byte.

An IDX file is a header and the numbers: two zero bytes, a byte for the type (0x08: unsigned
bytes), a byte for the number of dimensions, each dimension as four bytes (big-endian), then the
values in row-major order. Files ending in .gz are decompressed on the way.

Shapes: N pictures of H x W pixels with C channels; grey pictures have C = 1.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import torch
import torch.nn.functional as F
from torch import Tensor

_UNSIGNED_BYTE = 0x08
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    """Return the uint8 tensor in an IDX file, shaped as its header says.

    Raises ValueError with the file's name if it is not an IDX file of unsigned bytes, or holds
    fewer or more bytes than its header announces.
    """
    path = Path(path)
    open_file = gzip.open if path.suffix == ".gz" else open
    with cast(BinaryIO, open_file(path, "rb")) as stream:
        try:
            zeros, kind, num_dims = struct.unpack(">HBB", _read(stream, 4, path))
            if zeros != 0 or kind != _UNSIGNED_BYTE or num_dims == 0:
                raise ValueError(
                    f"{path} must begin with 00 00 08 and the number of dimensions (IDX of "
                    f"unsigned bytes), found {zeros:04x} {kind:02x} {num_dims:02x}"
                )
            shape = struct.unpack(f">{num_dims}I", _read(stream, 4 * num_dims, path))
            values = _read(stream, math.prod(shape), path)
            if stream.read(1):
                raise ValueError(
                    f"{path} holds more than the {len(values)} values of shape {shape}"
                )
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path} must be a whole gzip file: {error}") from error
    if not values:  # refused by frombuffer
        try:
            return torch.empty(shape, dtype=torch.uint8)
        except RuntimeError:  # none of something, but too many of something else
            raise ValueError(f"{path} must have sizes that fit a tensor, found {shape}") from None
    return torch.frombuffer(values, dtype=torch.uint8).view(shape)


def _read(stream: BinaryIO, num_bytes: int, path: Path) -> bytearray:
    """Read exactly so many bytes, in pieces: a false header must not make us reserve terabytes."""
    data = bytearray()
    while len(data) < num_bytes:
        piece = stream.read(min(_CHUNK, num_bytes - len(data)))
        if not piece:
            raise ValueError(f"{path} is cut short: expected {num_bytes} bytes, found {len(data)}")
        data += piece
    return data


def load_idx_dataset(
    folder: str | os.PathLike[str],
    split: str = "train",
    prefix: str | None = None,
    num_classes: int = 10,
) -> dict[str, Tensor]:
    """Load the pictures and labels of one split from a folder of IDX files.

    Parameters
    ----------
    folder : holds `<prefix>-images-idx3-ubyte` and `<prefix>-labels-idx1-ubyte`, each also as .gz.
    split : "train" or "test".
    prefix : what the files' names begin with; None means "train" and "t10k", and for training, if
        there is no "train", the only other prefix in the folder.
    num_classes : labels are 0..num_classes-1; a file that has another one is refused.

    Returns
    -------
    images (N, 1, H, W) uint8 as in the file (see `to_rgb32`) and labels (N,) int64.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} must be a folder of IDX files, found no such folder")
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    prefix = prefix or _find_prefix(folder, split)
    images_path = _find_file(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _find_file(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dim() != 3 or labels.dim() != 1:
        raise ValueError(
            f"{images_path} and {labels_path} must have 3 dimensions and 1, "
            f"found {images.dim()} and {labels.dim()}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} and {labels_path} must hold equally many examples, "
            f"found {len(images)} images and {len(labels)} labels"
        )
    unknown = labels[labels >= num_classes]
    if len(unknown):
        raise ValueError(
            f"{labels_path}: labels must be 0..{num_classes - 1}, found {int(unknown[0])}"
        )
    return {"images": images.unsqueeze(1), "labels": labels.long()}


def to_rgb32(images: Tensor) -> Tensor:
    """Put grey pictures (N, 1, H, W), at most 32 x 32, in the middle of black (N, 3, 32, 32).

    A network that was pretrained on coloured pictures of 32 x 32 pixels then takes them.
    """
    _, C, H, W = images.shape
    if C != 1 or max(H, W) > 32:
        raise ValueError(f"images must be (N, 1, H, W), at most 32 x 32, got {tuple(images.shape)}")
    left, top = (32 - W) // 2, (32 - H) // 2
    padded = F.pad(images, (left, 32 - W - left, top, 32 - H - top))  # (N, 1, 32, 32)
    return padded.repeat(1, 3, 1, 1)


def _find_prefix(folder: Path, split: str) -> str:
    usual = "train" if split == "train" else "t10k"
    ending = "-images-idx3-ubyte"
    found = {path.name.split(ending)[0] for path in folder.glob(f"*{ending}*")}
    others = sorted(found - {"t10k"})
    if usual in found or split == "test" or not others:
        return usual
    if len(others) > 1:
        raise ValueError(f"prefix must be chosen, {folder} holds {', '.join(others)}")
    return others[0]


def _find_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} must hold {name} or {name}.gz, found neither")
