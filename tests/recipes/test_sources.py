"""Sources: embedded data by name, files by their ending, and limits that a seed draws."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from minift.recipes.sources import load_picture, load_pictures, load_texts, read_labelled

TABLE = "sentence\tlabel\nfine\tpos\npoor\tneg\nnice\tpos\nbad\tneg\n"


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def write_idx(path: Path, values: Tensor) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    with gzip.open(path, "wb") as file:
        file.write(header + values.numpy().tobytes())


# -------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("domain", ["source", "near", "mid", "far"])
def test_shapes_come_by_the_name_of_their_domain(domain: str) -> None:
    pictures = load_pictures(f"shapes:{domain}", limit=12)
    assert pictures.dataset["images"].shape == (12, 3, 32, 32)
    assert int(pictures.dataset["labels"].max()) < len(pictures.classes)


def test_the_splits_and_seeds_of_shapes_share_no_picture() -> None:
    drawn = [
        load_pictures("shapes:near", split=split, limit=4, seed=seed).dataset["images"]
        for seed in (0, 1)
        for split in ("train", "test")
    ]
    different = {image.numpy().tobytes() for images in drawn for image in images}
    assert len(different) == 16


def test_idx_files_become_pictures_in_colour(tmp_path: Path) -> None:
    labels = torch.arange(6, dtype=torch.uint8)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", torch.zeros(6, 28, 28, dtype=torch.uint8))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels)
    pictures = load_pictures("fashion-mnist", data_dir=tmp_path, split="test")
    assert pictures.dataset["images"].shape == (6, 3, 32, 32)
    assert pictures.classes[0] == "t-shirt"
    assert len(pictures.classes) == 10


def test_an_npz_file_is_limited_to_rows_that_the_seed_draws(tmp_path: Path) -> None:
    labels = np.arange(20)
    images = np.broadcast_to(labels[:, None, None], (20, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "p.npz", images=images, labels=labels)
    first, again, other = (
        load_pictures(str(tmp_path / "p.npz"), split="all", limit=5, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first.dataset["labels"].tolist() == again.dataset["labels"].tolist()
    assert first.dataset["labels"].tolist() != other.dataset["labels"].tolist()
    assert torch.equal(first.dataset["images"][:, 0, 0, 0].long(), first.dataset["labels"])


def test_a_fifth_of_an_npz_file_is_its_test_split_whatever_the_seed(tmp_path: Path) -> None:
    labels = np.arange(20)
    np.savez(tmp_path / "p.npz", images=np.zeros((20, 8, 8), dtype=np.uint8), labels=labels)
    train, test, other = (
        load_pictures(str(tmp_path / "p.npz"), split=split, seed=seed)
        for split, seed in (("train", 0), ("test", 0), ("test", 1))
    )
    rows = {
        split: pictures.dataset["labels"].tolist()
        for split, pictures in (("train", train), ("test", test), ("other", other))
    }
    assert len(rows["test"]) == 4
    assert sorted(rows["train"] + rows["test"]) == labels.tolist()
    assert rows["other"] == rows["test"]
    assert len(train.classes) == len(test.classes) == 20


@pytest.mark.parametrize(("data", "split"), [("shapes:near", "all"), ("p.npz", "dev")])
def test_unknown_splits_are_refused(data: str, split: str) -> None:
    with pytest.raises(ValueError, match=f"split must be train or test.*got '{split}'"):
        load_pictures(data, split=split)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("shapes:round", r"shapes:source\|near\|mid\|far, got 'shapes:round'"),
        ("imagenet", "or a .npz file, got 'imagenet'"),
        ("mnist", "needs --data-dir"),
    ],
)
def test_unknown_pictures_are_refused(data: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_pictures(data)


def test_a_missing_idx_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        load_pictures("mnist", data_dir=tmp_path)


def test_a_picture_file_is_scaled_to_a_square(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    image_module.fromarray(np.full((10, 20), 200, dtype=np.uint8)).save(tmp_path / "grey.png")
    picture = load_picture(tmp_path / "grey.png", size=8)
    assert picture.shape == (3, 8, 8)
    assert picture.dtype == torch.uint8
    assert picture.unique().tolist() == [200]


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    path = write(tmp_path / "a.png", "no picture")
    with pytest.raises(ValueError, match=r"a.png must be a picture file"):
        load_picture(path, size=8)


# ----------------------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("task", "has_pairs"),
    [("acceptability", False), ("sentiment", False), ("equivalence", True), ("entailment", True)],
)
def test_tasks_of_the_world_come_by_name(task: str, has_pairs: bool) -> None:
    texts = load_texts(f"world:{task}", limit=10)
    assert len(texts.texts) == len(texts.labels) == 10
    assert (texts.pairs is not None) == has_pairs
    assert sorted(texts.labels.unique().tolist()) == [0, 1]
    assert len(texts.classes) == 2


def test_splits_of_a_task_differ() -> None:
    train, test = (load_texts("world:sentiment", limit=30, split=s) for s in ("train", "test"))
    assert not set(train.texts) & set(test.texts)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", TABLE),
        ("a.csv", TABLE.replace("\t", ",")),
        (
            "a.jsonl",
            '{"text": "fine", "label": "pos"}\n{"text": "poor", "label": "neg"}\n'
            '{"text": "nice", "label": "pos"}\n{"text": "bad", "label": "neg"}\n',
        ),
    ],
)
def test_files_are_read_by_their_ending(tmp_path: Path, name: str, content: str) -> None:
    texts = load_texts(write(tmp_path / name, content))
    assert texts.texts == ["fine", "poor", "nice", "bad"]
    assert texts.pairs is None
    assert texts.classes == ["neg", "pos"]
    assert texts.labels.tolist() == [1, 0, 1, 0]


def test_given_classes_number_the_labels(tmp_path: Path) -> None:
    texts = load_texts(write(tmp_path / "a.tsv", TABLE), classes=["pos", "neg", "none"])
    assert texts.labels.tolist() == [0, 1, 0, 1]
    assert texts.classes == ["pos", "neg", "none"]


def test_named_columns_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "x\ty\tz\none\ttwo\t1\nthree\tfour\t0\n")
    texts = load_texts(path, text="y", pair="x", label="3")
    assert texts.texts == ["two", "four"]
    assert texts.pairs == ["one", "three"]
    assert texts.labels.tolist() == [1, 0]


def test_limited_rows_keep_their_labels(tmp_path: Path) -> None:
    rows = "".join(f"text {number}\t{number}\n" for number in range(30))
    path = write(tmp_path / "a.tsv", f"text\tlabel\n{rows}")
    texts = load_texts(path, limit=7, seed=3)
    assert len(texts.texts) == 7
    assert [int(text.split()[1]) for text in texts.texts] == texts.labels.tolist()
    assert texts.texts != load_texts(path, limit=7, seed=4).texts


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (TABLE, {"label": "stars"}, "a.tsv has no column 'stars'"),
        (TABLE, {"classes": ["pos", "other"]}, "a.tsv:3: label must be one of pos, other"),
        (TABLE.replace("label", "stars"), {}, "a.tsv has no column known for labels"),
        ("", {}, "a.tsv must hold some rows"),
        (TABLE + "short\n", {}, "a.tsv:6 must have a value in column 2"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(
    tmp_path: Path, content: str, arguments: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_texts(write(tmp_path / "a.tsv", content), **arguments)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("world:answer", r"world:acceptability\|sentiment\|equivalence\|entailment"),
        ("world:weather", "got 'world:weather'"),
        ("a.xlsx", "a .tsv, .csv or .jsonl file, got 'a.xlsx'"),
    ],
)
def test_unknown_texts_are_refused(data: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_texts(data)


def test_texts_to_texts_keep_their_targets_as_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "source\ttarget\nask\tanswer\n")
    read = read_labelled(path, text="source", label="target")
    assert (read.texts, read.labels, read.where) == (["ask"], ["answer"], [f"{path}:2"])
