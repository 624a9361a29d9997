from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch

from minift.data.idx import load_idx_dataset, read_idx, to_rgb32

REAL = Path(__file__).parents[3] / "shared" / "data"


def idx_bytes(values: torch.Tensor) -> bytes:
    header = struct.pack(f">HBB{values.dim()}I", 0, 8, values.dim(), *values.shape)
    return header + bytes(values.flatten().tolist())


def write_dataset(folder: Path, prefix: str, num_images: int = 3, num_labels: int = 3) -> None:
    images = torch.arange(num_images * 4).view(num_images, 2, 2)
    labels = torch.arange(num_labels)
    (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


@pytest.mark.parametrize("name", ["values", "values.gz"])
def test_reads_plain_and_compressed(tmp_path: Path, name: str) -> None:
    values = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
    data = idx_bytes(values)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert torch.equal(read_idx(tmp_path / name), values)


def test_reads_a_file_without_values(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 0, 28, 28))
    values = read_idx(tmp_path / "empty")
    assert values.shape == (0, 28, 28)
    assert values.dtype == torch.uint8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG....", "must begin with 00 00 08"),
        (b"\0\0\x0d\x01\0\0\0\x01....", "must begin with 00 00 08"),  # floats
        (b"\0\0", "cut short: expected 4 bytes, found 2"),
        (b"\0\0\x08\x02\0\0\0\x01", "cut short: expected 8 bytes, found 4"),
        (b"\0\0\x08\x01\0\0\0\x05abc", "cut short: expected 5 bytes, found 3"),
        (b"\0\0\x08\x01\0\0\0\x02abc", "holds more than the 2 values"),
        (b"\0\0\x08\x04" + b"\0" * 4 + b"\xff" * 12, "must have sizes that fit a tensor"),
        # A header that promises 2^96 bytes must not be believed.
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"abc", "cut short: expected .* bytes, found 3"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    for name, content in (("broken", data), ("broken.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} .*{message}"):
            read_idx(tmp_path / name)


def test_a_broken_gzip_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(idx_bytes(torch.arange(200)))
    for data in (whole[:-20], b"not gzip"):
        (tmp_path / "broken.gz").write_bytes(data)
        with pytest.raises(ValueError, match=r"broken.gz must be a whole gzip file"):
            read_idx(tmp_path / "broken.gz")


def test_dataset_keeps_pictures_grey_and_labels_long(tmp_path: Path) -> None:
    write_dataset(tmp_path, "train")
    write_dataset(tmp_path, "t10k", num_images=2, num_labels=2)
    train, test = (load_idx_dataset(tmp_path, split) for split in ("train", "test"))
    assert train["images"].shape == (3, 1, 2, 2)
    assert train["labels"].tolist() == [0, 1, 2]
    assert train["labels"].dtype == torch.int64
    assert len(test["images"]) == 2


def test_the_only_other_prefix_is_taken_for_training(tmp_path: Path) -> None:
    write_dataset(tmp_path, "t10k", num_images=2, num_labels=2)
    write_dataset(tmp_path, "train5k")
    assert len(load_idx_dataset(tmp_path)["labels"]) == 3


def test_prefix_must_be_chosen_between_several(tmp_path: Path) -> None:
    write_dataset(tmp_path, "small")
    write_dataset(tmp_path, "large", num_images=4, num_labels=4)
    with pytest.raises(ValueError, match=r"prefix must be chosen, .* holds large, small"):
        load_idx_dataset(tmp_path)
    assert len(load_idx_dataset(tmp_path, prefix="large")["labels"]) == 4


def test_counts_must_match(tmp_path: Path) -> None:
    write_dataset(tmp_path, "train", num_images=3, num_labels=2)
    with pytest.raises(ValueError, match="found 3 images and 2 labels"):
        load_idx_dataset(tmp_path)


def test_a_label_of_no_class_is_named_with_its_file(tmp_path: Path) -> None:
    write_dataset(tmp_path, "train", num_images=12, num_labels=12)
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: labels .* 0..9, found 10"):
        load_idx_dataset(tmp_path)
    assert len(load_idx_dataset(tmp_path, num_classes=12)["labels"]) == 12


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="must hold t10k-images-idx3-ubyte or"):
        load_idx_dataset(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_idx_dataset(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'dev'"):
        load_idx_dataset(tmp_path, "dev")


def test_rgb32_centres_the_picture_and_repeats_the_channel() -> None:
    images = torch.randint(1, 255, (2, 1, 28, 28), dtype=torch.uint8)
    padded = to_rgb32(images)
    assert padded.shape == (2, 3, 32, 32)
    assert torch.equal(padded[:, :, 2:-2, 2:-2], images.expand(-1, 3, -1, -1))
    assert padded.sum() == 3 * images.sum()


def test_rgb32_refuses_what_is_too_large() -> None:
    with pytest.raises(ValueError, match=r"at most 32 x 32, got \(1, 1, 64, 64\)"):
        to_rgb32(torch.zeros(1, 1, 64, 64, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_reads_the_real_test_set(name: str) -> None:
    data = load_idx_dataset(REAL / name, "test")
    assert data["images"].shape == (10_000, 1, 28, 28)
    assert data["labels"].unique().tolist() == list(range(10))


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_finds_the_real_training_sample_of_mnist() -> None:
    assert load_idx_dataset(REAL / "mnist")["labels"].bincount().tolist() == [500] * 10
