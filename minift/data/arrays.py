"""Pictures and labels from a NumPy .npz file, the simplest way to bring pictures of one's own.

Shapes: N pictures of H x W pixels with C channels, C = 1 or 3.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_IMAGE_KEYS = ("images", "x", "X")
_LABEL_KEYS = ("labels", "y")


def load_npz(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Load images (N, 3, H, W) uint8 and labels (N,) int64 from an .npz file.

    The file holds an array `images` (or `x`, `X`), uint8 or floats in [0, 1], shaped (N, H, W),
    (N, H, W, C) or (N, C, H, W); and an array `labels` (or `y`) of whole numbers from 0. Grey
    pictures are repeated to three channels. Nothing is unpickled: a stranger's file runs no code.

    Raises ValueError with the file's name, what was found in it and what would be right.
    """
    path = Path(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds one array without a name")
        with loaded as archive:
            wanted = {*_IMAGE_KEYS, *_LABEL_KEYS}
            arrays = {key: archive[key] for key in archive.files if key in wanted}
    # Encrypted, or packed in a way that Python does not know; or of a size that is made up.
    except (
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise ValueError(f"{path} must be an .npz file of plain arrays: {error}") from error
    images = _as_images(_pick(arrays, _IMAGE_KEYS, path), path)
    labels = _pick(arrays, _LABEL_KEYS, path)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise ValueError(
            f"{path}: labels must be {len(images)} whole numbers from 0, one for each image, "
            f"found {labels.dtype} of shape {labels.shape}"
        )
    return {"images": images, "labels": torch.from_numpy(labels.astype(np.int64))}


def _pick(arrays: dict[str, np.ndarray], keys: tuple[str, ...], path: Path) -> np.ndarray:
    for key in keys:
        if key in arrays:
            return arrays[key]
    raise ValueError(f"{path} must hold an array {' or '.join(keys)}, found {sorted(arrays)}")


def _as_images(array: np.ndarray, path: Path) -> Tensor:
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or array.size == 0:
        raise ValueError(
            f"{path}: images must be (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3, "
            f"found {array.shape}"
        )
    if array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        array = (255 * array).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(
            f"{path}: images must be uint8 or floats in [0, 1], found {array.dtype} "
            f"from {array.min()} to {array.max()}"
        )
    images = torch.from_numpy(np.ascontiguousarray(array))
    return images.expand(-1, 3, -1, -1).contiguous()
