"""Where pictures and labelled texts come from: embedded data by name, or files of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minift.data.arrays import load_npz
from minift.data.batches import hold_out_rows, num_examples, take
from minift.data.idx import load_idx_dataset, to_rgb32
from minift.data.shapes import SHAPES_CLASSES, SHAPES_DOMAINS, shapes
from minift.data.text import LabelledText, encode_labels, read_csv, read_jsonl, read_tsv
from minift.data.world_tasks import TASK_CLASSES, TASKS, world_task

HELD_OUT = 0.2  # share of the rows to judge by, where data comes without a split for it
IDX_NAMES = ("mnist", "fashion-mnist")
FASHION_CLASSES = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
]


@dataclass
class Pictures:
    """A data set of pictures (N, 3, H, W) uint8 with what is known of them, and its class names."""

    dataset: dict[str, Tensor]
    classes: list[str]


def load_pictures(
    data: str,
    *,
    data_dir: str | Path | None = None,
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
) -> Pictures:
    """Load pictures by name.

    Parameters
    ----------
    data : "shapes:source", "shapes:near", "shapes:mid", "shapes:far"; "mnist" or "fashion-mnist"
        with `data_dir`, the folder of the idx files; or a .npz file.
    split : "train" or "test"; for a .npz file also "all". Its test split is a fifth of its rows,
        the same for every seed: whatever was trained on the file has not seen them.
    limit : the number of pictures, drawn by `seed`; None takes all there are (of `shapes`, 20,000
        for training and 2,000 for testing).

    Raises
    ------
    ValueError : an unknown name, a missing folder or a damaged file; one line, with the file.
    """
    kind, _, domain = data.partition(":")
    if split not in ("train", "test") and not (split == "all" and data.endswith(".npz")):
        raise ValueError(f"split must be train or test, of a .npz file also all, got {split!r}")
    if kind == "shapes":
        domain = domain or "source"
        if domain not in SHAPES_DOMAINS:
            raise ValueError(f"data must be shapes:{'|'.join(SHAPES_DOMAINS)}, got {data!r}")
        number = limit or (20_000 if split == "train" else 2_000)
        # The streams of the two splits must not meet: an even seed trains, an odd one tests.
        dataset = shapes(domain, number, seed=2 * seed + (split == "test"))
        return Pictures(dataset, list(SHAPES_CLASSES[domain]))
    if data in IDX_NAMES:
        if data_dir is None:
            raise ValueError(f"data {data!r} needs --data-dir, the folder with its idx files")
        dataset = load_idx_dataset(data_dir, split)
        dataset["images"] = to_rgb32(dataset["images"])
        classes = FASHION_CLASSES if data == "fashion-mnist" else [str(n) for n in range(10)]
    elif data.endswith(".npz"):
        dataset = load_npz(data)
        classes = [str(n) for n in range(int(dataset["labels"].max()) + 1)]
        if split != "all":
            dataset = hold_out_rows(dataset, HELD_OUT, seed=0)[split == "test"]
    else:
        known = [f"shapes:{name}" for name in SHAPES_DOMAINS] + list(IDX_NAMES)
        raise ValueError(f"data must be one of {', '.join(known)} or a .npz file, got {data!r}")
    if limit is not None and limit < num_examples(dataset):
        order = torch.randperm(num_examples(dataset), generator=torch.Generator().manual_seed(seed))
        dataset = take(dataset, order[:limit])
    return Pictures(dataset, classes)


def load_picture(path: str | Path, size: int) -> Tensor:
    """Read a picture file and scale it to a square: uint8 (3, size, size). Needs pillow."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ValueError(
            "reading picture files needs pillow: pip install 'minift[images]'"
        ) from None
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((size, size)))
    except UnidentifiedImageError:
        raise ValueError(f"{path} must be a picture file, such as .png or .jpg") from None
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)


@dataclass
class Texts:
    """Labelled texts; labels (N,) are numbers of `classes`."""

    texts: list[str]
    pairs: list[str] | None
    labels: Tensor
    classes: list[str]


def load_texts(
    data: str,
    *,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    classes: list[str] | None = None,
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
) -> Texts:
    """Load labelled texts by name.

    Parameters
    ----------
    data : "world:TASK" for an embedded task, or a .tsv, .csv or .jsonl file.
    text, pair, label : columns by name or 1-based number; None finds them (see `data.text`).
    classes : the classes a trained head has, so that a label has the same number; None numbers
        those that the file holds.
    limit : how many rows, drawn by `seed`; None takes all (of a world task, 256).
    """
    kind, _, task = data.partition(":")
    if kind == "world":
        if task not in TASKS or task == "answer":
            names = [name for name in TASKS if name != "answer"]
            raise ValueError(f"data must be world:{'|'.join(names)}, got {data!r}")
        examples = world_task(task, limit or 256, seed=seed, split=split)
        pairs = [example.pair or "" for example in examples]
        return Texts(
            [example.text for example in examples],
            pairs if any(pairs) else None,
            torch.tensor([example.label or 0 for example in examples]),
            list(TASK_CLASSES[task]),
        )
    labelled = read_labelled(data, text=text, pair=pair, label=label)
    if all(found is None for found in labelled.labels):
        raise ValueError(f"{data} has no column known for labels; name it with --label-column")
    labels, known = encode_labels(labelled.labels, classes, where=labelled.where)
    rows = list(range(len(labels)))
    if limit is not None and limit < len(rows):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        rows = order[:limit].tolist()
    return Texts(
        [labelled.texts[row] for row in rows],
        None if labelled.pairs is None else [labelled.pairs[row] for row in rows],
        labels[rows],
        list(known),
    )


def read_labelled(
    path: str, *, text: str | None = None, pair: str | None = None, label: str | None = None
) -> LabelledText:
    """Read a .tsv, .csv or .jsonl file of texts and labels."""
    readers = {".tsv": read_tsv, ".csv": read_csv, ".jsonl": read_jsonl}
    reader = readers.get(Path(path).suffix)
    if reader is None:
        raise ValueError(f"data must be world:TASK or a .tsv, .csv or .jsonl file, got {path!r}")
    return reader(path, text=text, pair=pair, label=label)
