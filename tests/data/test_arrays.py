from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from minift.data.arrays import load_npz

LABELS = np.array([0, 1])


@pytest.mark.parametrize(
    "shape", [(2, 4, 5), (2, 4, 5, 1), (2, 1, 4, 5), (2, 4, 5, 3), (2, 3, 4, 5)]
)
@pytest.mark.parametrize("is_float", [False, True])
def test_every_layout_becomes_channels_first(tmp_path: Path, shape: tuple, is_float: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=values / 255 if is_float else values, labels=LABELS)
    data = load_npz(tmp_path / "a.npz")
    channels_first = values.transpose(0, 3, 1, 2) if shape[-1] in (1, 3) else values
    expected = torch.from_numpy(channels_first.reshape(2, -1, 4, 5).copy()).expand(-1, 3, -1, -1)
    assert torch.equal(data["images"], expected)
    assert data["labels"].tolist() == [0, 1]
    assert data["labels"].dtype == torch.int64


@pytest.mark.parametrize(("image_key", "label_key"), [("x", "y"), ("X", "labels")])
def test_other_names_are_known(tmp_path: Path, image_key: str, label_key: str) -> None:
    images = np.zeros((2, 4, 4), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", **{image_key: images, label_key: LABELS})
    assert load_npz(tmp_path / "a.npz")["images"].shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": LABELS, "labels": LABELS}, r"hold an array images or x or X, found \['lab"),
        ({"x": np.zeros((2, 4, 4), np.uint8)}, r"hold an array labels or y, found \['x'\]"),
        ({"x": np.zeros((2, 16)), "y": LABELS}, r"images must be \(N, H, W\).*found \(2, 16\)"),
        ({"x": np.zeros((2, 4, 5, 6)), "y": LABELS}, r"with C = 1 or 3, found \(2, 4, 5, 6\)"),
        ({"x": np.full((2, 4, 4), 2.0), "y": LABELS}, "found float64 from 2.0 to 2.0"),
        ({"x": np.full((2, 4, 4), np.nan), "y": LABELS}, "found float64 from nan"),
        ({"x": np.full((2, 4, 4), 7), "y": LABELS}, "found int64 from 7 to 7"),
        ({"x": np.zeros((2, 4, 4)), "y": np.zeros(3, int)}, r"labels must be 2 .*shape \(3,\)"),
        ({"x": np.zeros((2, 4, 4)), "y": np.zeros(2)}, "labels must be .* found float64"),
        ({"x": np.zeros((2, 4, 4)), "y": -LABELS}, "labels must be 2 whole numbers from 0"),
        ({"x": np.zeros((2, 4, 4)), "y": np.array([{}, 1], object)}, "file of plain arrays"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz.*{message}"):
        load_npz(tmp_path / "a.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no zip")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    np.save(tmp_path / "one.npy", LABELS)
    for name in ("text.npz", "empty.npz", "broken.npz", "one.npy"):
        with pytest.raises(ValueError, match=f"{name} must be an .npz file of plain arrays"):
            load_npz(tmp_path / name)


def test_a_size_that_is_made_up_is_refused(tmp_path: Path) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**15, 8, 8)}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match=r"a\.npz must be an \.npz file of plain arrays"):
        load_npz(tmp_path / "a.npz")
