"""Other tasks than classes: masks and boxes, from the trunk that learnt to name shapes.

Girshick et al. 2014, R-CNN, sections 2.3 and 3.2 (a network for classes, fine-tuned for detection);
Long et al. 2015, Fully Convolutional Networks, section 4 (the same for a class for every pixel).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minift.data.shapes import SHAPES_CLASSES, shapes
from minift.recipes.finetuning import FinetuneConfig, finetune, predict, score
from minift.recipes.heads import JUDGED
from minift.recipes.pictures import contact_sheet, overlay_mask
from minift.recipes.report import Report
from minift.studies.cv.labelled import Dataset, common_config, train_and_test, under_new_head
from minift.studies.cv.pretrained import QUICK_SOURCE, SOURCE, Source, pretrained
from minift.studies.results import Results, Row
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above

METHODS = ("from scratch", "frozen trunk", "fine-tune all")
SCRATCH, FROZEN, ALL = METHODS
TARGET = "near"  # the same kind of picture with new shapes


class Task(NamedTuple):
    head: str  # that learns it
    num_classes: int | None  # of the head
    score: str  # the main one of `recipes.heads`, and its name in the rows
    blind: str  # one answer for every picture, as a level to compare with


TASKS = {
    "masks": Task("segment", len(SHAPES_CLASSES[TARGET]) + 1, "mean_iou", "background"),
    "boxes": Task("locate", None, "box_iou", "mean_box"),
}


@dataclass(frozen=True)
class Settings:
    source: Source = SOURCE
    sizes: tuple[int, ...] = (100, 1_000)  # pictures of the target
    min_steps: int = 300
    batch_size: int = 64  # at most a quarter of the target
    scratch_lr: float = 4e-3  # of all that starts from random weights, heads too
    all_lr: float = 3e-4  # of pretrained stages
    num_test: int = 1000


QUICK = Settings(QUICK_SOURCE, (60, 600), min_steps=100, batch_size=32, num_test=500)


def cells(settings: Settings) -> list[Cell]:
    return [
        {"task": task, "size": size, "method": method}
        for task in TASKS
        for size in settings.sizes
        for method in METHODS
    ]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.source, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> Row:
    seed, size, task = cell["seed"], cell["size"], TASKS[cell["task"]]
    image_size = settings.source.image_size
    train, test = train_and_test(TARGET, size, settings.num_test, seed=seed, image_size=image_size)
    is_scratch = cell["method"] == SCRATCH
    model = under_new_head(trunk, task.head, task.num_classes, seed=seed, is_scratch=is_scratch)
    finetune(model, train, config(settings, cell, len(model.trunk)))
    scores = JUDGED[task.head].scores
    row: Row = {
        task.score: score(model, test, "fp32")[task.score],
        task.blind: scores(blind_answer(task.head, train, test), test)[task.score],
    }
    if task.head == "segment" and size == min(settings.sizes):
        row["shown"] = as_text(predict(model, {"images": shown(image_size)["images"]}, "fp32"))
    return row


def config(settings: Settings, cell: Cell, num_stages: int) -> FinetuneConfig:
    """The same steps and batches for every method."""
    changes: dict[str, dict[str, Any]] = {
        SCRATCH: {"lr": settings.scratch_lr},
        FROZEN: {"num_frozen": num_stages},
        ALL: {"lr": settings.all_lr},
    }
    common = common_config(
        cell["size"],
        batch_size=settings.batch_size,
        min_steps=settings.min_steps,
        head_lr=settings.scratch_lr,
        seed=cell["seed"],
    )
    return replace(common, **changes[cell["method"]])


def blind_answer(head: str, train: Dataset, test: Dataset) -> Tensor:
    """The same for every test picture: background everywhere, or the mean of the known boxes."""
    if head == "segment":
        return torch.zeros_like(test["masks"])
    return train["boxes"].mean(dim=0).expand_as(test["boxes"])


def judge(results: Results) -> list[Finding]:
    size = min(results.levels("size"))
    findings = []
    for name, task in TASKS.items():
        for method in (FROZEN, ALL):
            factors = [{"task": name, "size": size, "method": each} for each in (method, SCRATCH)]
            lead = results.difference(task.score, *factors)
            findings.append(above(f"{name}: {method}, minus scratch, {size:,} pictures", lead))
    return findings


# ------------------------------------------------------------- the page: bars, and masks to look at


def draw(report: Report, results: Results) -> None:
    sizes = sorted(results.levels("size"))
    for figure in STUDY.figures:
        (blind,) = figure.levels
        for size in sizes:
            report.bars(
                **results.bars(figure.name, by="method", size=size),
                caption=f"{figure.label}; {size:,} pictures of the target",
                chance=results.summary(blind, size=size).mean,
                limit=1.0,
                level=blind.replace("_", " "),
            )
    rows = [row for row in results.rows if "shown" in row]
    masks = {
        row["method"]: from_text(row["shown"]) for row in rows if row["seed"] == rows[0]["seed"]
    }
    image_size = masks[SCRATCH].shape[-1]
    pictures = shown(image_size)
    images = pictures["images"]
    columns = {"the picture": images, "the truth": overlay_mask(images, pictures["masks"])}
    columns |= {method: overlay_mask(images, mask) for method, mask in masks.items()}
    report.pictures(
        torch.stack([contact_sheet(column, columns=1) for column in columns.values()]),
        list(columns),
        scale=128 // image_size,
        caption=f"The masks that each method gives, taught by {sizes[0]:,} pictures, to four that "
        f"nobody trained on; seed {rows[0]['seed']}.",
    )


def shown(image_size: int) -> Dataset:
    """Four pictures for the page: no seed of a study has them to learn from or to be judged by."""
    return shapes(TARGET, 4, seed=1_000_003, image_size=image_size)


def as_text(masks: Tensor) -> list[str]:
    """Masks (N, H, W) as N lines, a word for each row of pixels, in which a is the background."""
    return [
        " ".join("".join(chr(ord("a") + k) for k in row) for row in mask) for mask in masks.tolist()
    ]


def from_text(lines: list[str]) -> Tensor:
    """What `as_text` was given, (N, H, W) int64."""
    return torch.tensor(
        [[[ord(k) - ord("a") for k in word] for word in line.split()] for line in lines]
    )


STUDY = Study(
    name="other-tasks",
    claim="A trunk that learnt to name shapes also helps, where labels are few, to say where they "
    "are: which pixels are whose, and in which box.",
    source="The lecture's remark on other tasks than classes. Girshick et al. 2014, R-CNN, "
    "sections 2.3 and 3.2 (a network for classes, fine-tuned for detection); Long et al. 2015, "
    "Fully Convolutional Networks, section 4 (from classifiers to a class for every pixel).",
    setup="A ResNet learns to name ten shapes, and never sees where they are. The target has ten "
    "other shapes and two tasks: a class for every pixel (masks), and the box around the shape "
    "(boxes). Each has its own kind of head, on the network from scratch, on the frozen trunk, and "
    "on the trunk fine-tuned with it; all get the same pictures, batches and number of steps. "
    "Rates are fixed beforehand: large for what starts from random weights, small for what is "
    "pretrained.\n\nMasks are scored by the mean over background and classes of intersection over "
    "union, boxes by the mean of theirs. The levels are those of one answer for every picture: "
    "background everywhere, and the mean of the boxes to learn from.",
    rule="The claim is that, with the fewer pictures, the frozen and the fine-tuned trunk both lie "
    "above scratch, for masks and for boxes.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("size", "method"),  # which task it is, the figures say
    figures=(
        Figure("mean_iou", "Masks: mean intersection over union", levels=("background",)),
        Figure("box_iou", "Boxes: intersection over union", levels=("mean_box",)),
    ),
)
