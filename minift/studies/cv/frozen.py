"""Three ways to hold a trunk still, side by side; only one of them does.

A learning rate of 0, `requires_grad=False`, and frozen as minift means it: no gradient and eval
mode. The same pretrained trunk, head, batches and optimizer for each; a step of one way, then of
the next, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor, nn

from minift.checkpoint import load
from minift.data.batches import epoch_batches
from minift.data.shapes import SHAPES_CLASSES, shapes
from minift.objectives.scores import majority_accuracy
from minift.optim import Adam
from minift.recipes.finetuning import loss_of, score
from minift.stages import Model
from minift.studies.cv.labelled import train_and_test, under_new_head
from minift.studies.cv.pretrained import QUICK_SOURCE, SOURCE, Source, pretrained
from minift.studies.results import Results, Row
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.transfer import freeze, param_groups

RATE_0, NO_GRADIENT, FROZEN = WAYS = ("learning rate 0", "requires_grad=False", "frozen")
TARGET = "mid"  # grey cells: of other colours than the source, so of other statistics


@dataclass(frozen=True)
class Settings:
    source: Source = SOURCE
    num_train: int = 600  # pictures of the target
    num_test: int = 1000
    num_steps: int = 200
    batch_size: int = 32
    lr: float = 4e-3  # of the head
    max_norm: float = 1.0  # what the gradients are clipped to, all together


QUICK = Settings(QUICK_SOURCE, num_steps=100)


def cells(settings: Settings) -> list[Cell]:
    return [{}]  # the three ways stand side by side in one run: only so can times be compared


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.source, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    seed, size = cell["seed"], settings.source.image_size
    train, test = train_and_test(
        TARGET, settings.num_train, settings.num_test, seed=seed, image_size=size
    )
    source = shapes("source", settings.num_test, seed=2 * seed + 1, image_size=size)
    batches = epoch_batches(train, settings.batch_size, seed=seed)

    runs = {way: held_still(way, trunk, settings.lr, seed) for way in WAYS}
    steps: dict[str, list[Row]] = {way: [] for way in WAYS}
    for number in range(settings.num_steps):
        for way, (model, optimizer) in runs.items():
            steps[way].append(step(model, optimizer, batches(number), settings.max_norm))

    rows = []
    for way, (model, optimizer) in runs.items():
        original = load(trunk)  # for its head, which knows the source's shapes
        row = {
            "way": way,
            "drift": drift(original, model),
            "before": score(original, source, "fp32")["accuracy"],
            "source_chance": majority_accuracy(source["labels"]),
            "target_accuracy": score(model, test, "fp32")["accuracy"],
            "target_chance": majority_accuracy(test["labels"]),
            "milliseconds": 1000 * median(each["seconds"] for each in steps[way]),
            "trunk_share": mean(each["trunk_share"] for each in steps[way]),
            "head_gradient": mean(each["head_gradient"] for each in steps[way]),
        }
        original.trunk.load_state_dict(model.trunk.state_dict())
        row["source_accuracy"] = score(original, source, "fp32")["accuracy"]
        # Last, for it is one more pass, in which statistics drift.
        row["megabytes"] = memory(model, optimizer, batches(0)) / 1e6
        rows.append(row)
    return rows


def held_still(way: str, trunk: Path, lr: float, seed: int) -> tuple[Model, Adam]:
    """The pretrained trunk, held still in one of the three ways, under a new head that learns."""
    model = under_new_head(trunk, "classify", len(SHAPES_CLASSES[TARGET]), seed=seed)
    if way == NO_GRADIENT:
        model.trunk.requires_grad_(False)
    elif way == FROZEN:
        freeze(model, len(model.trunk))
    groups = param_groups(model, lr=0.0, head_lr=lr)  # the trunk is among them if it has gradients
    return model.train(), Adam(groups)


def step(model: Model, optimizer: Adam, batch: dict[str, Tensor], max_norm: float) -> Row:
    """A training step in torch's own words: what it took, and what clipping did in it."""
    started = time.perf_counter()
    optimizer.zero_grad()
    loss, _ = loss_of(model, batch)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()
    optimizer.step()
    seconds = time.perf_counter() - started

    clipped = min(1.0, max_norm / norm)  # what every gradient was multiplied by
    gradients = [p.grad for _, p in model.head_parameters() if p.grad is not None]
    head_norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item() / clipped
    alone = min(1.0, max_norm / head_norm)  # what it would be if the head's were the only ones
    share = max(0.0, 1 - (head_norm / norm) ** 2)  # rounding may leave it below 0
    return {"seconds": seconds, "trunk_share": share, "head_gradient": clipped / alone}


def drift(before: Model, after: Model) -> float:
    """How far BatchNorm's running means went, in running standard deviations of their channels."""

    def norms(model: Model) -> list[Any]:
        return [part for part in model.trunk.modules() if isinstance(part, nn.BatchNorm2d)]

    moved = [
        (new.running_mean - old.running_mean).abs() / old.running_var.sqrt()
        for old, new in zip(norms(before), norms(after))
    ]
    return torch.cat(moved).mean().item()


def memory(model: Model, optimizer: Adam, batch: dict[str, Tensor]) -> int:
    """Bytes of what a step keeps beside the weights: activations, gradients, Adam's means.

    Counted and not measured, so that it is the same on every machine.
    """
    kept: dict[int, Any] = {}  # what two layers keep is there once

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss_of(model, batch)
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    activations = sum(storage.nbytes() for storage in kept.values())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    means = [
        state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")
    ]
    return activations + sum(tensor.nbytes for tensor in gradients + means)


def judge(results: Results) -> list[Finding]:
    rate_0, frozen = {"way": RATE_0}, {"way": FROZEN}
    forgotten = results.difference("source_accuracy", rate_0, frozen)
    time = results.ratio("milliseconds", rate_0, frozen)
    gradient = results.ratio("head_gradient", rate_0, frozen)
    return [
        above(f"{RATE_0}: drift", results.summary("drift", **rate_0), spec=".3f"),
        below(f"{RATE_0}, minus frozen: accuracy on the source", forgotten),
        above(f"{RATE_0}, by frozen: ratio of time", time, 1.0, ".2f"),
        below(f"{RATE_0}, by frozen: ratio of the head's gradient", gradient, 1.0, ".2f"),
    ]


STUDY = Study(
    name="frozen",
    claim="Only a trunk without gradients and in eval mode is frozen: with a learning rate of 0 or "
    "requires_grad=False its BatchNorm statistics drift, and a rate of 0 also pays for the "
    "backward pass, for its memory, and with a share of the clipping norm.",
    source="The lecture on freezing a pretrained network; Ioffe & Szegedy 2015, Batch "
    "Normalization, algorithm 2 (statistics held fixed for inference).",
    setup="A ResNet learns ten shapes. Its trunk is to stay as it is, under a new head for another "
    "domain: grey cells under a microscope. The head is trained by Adam with clipping, the trunk "
    "held still in three ways: a learning rate of 0; requires_grad=False, but in train mode like "
    "the rest; and frozen, without gradient and in eval mode.\n\nAfterwards the trunk's running "
    "means are compared with what they were, and its old head is put back on, to see whether it "
    "still names the shapes. Time is the median over the steps, which the three take in turns; "
    "memory is counted from the tensors that a step keeps. Where the head's gradients alone would "
    "be clipped less, they reach the optimizer smaller than they should. SGD would take a shorter "
    "step; Adam, which divides by their size, hardly notices a factor that stays the same.",
    rule="The claim is that at a rate of 0 the statistics drift; that this costs accuracy on the "
    "source; and that it takes more time than frozen, and makes the head's gradient smaller by "
    "clipping. What cannot be otherwise is not judged, only told below: that frozen statistics do "
    "not move by a bit, that without a backward pass less memory is kept, and that with "
    "requires_grad=False statistics move as at a rate of 0, for the same pictures go through the "
    "same weights.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    factors=("way",),
    figures=(
        Figure("drift", "Drift of the running means, in standard deviations", ".3f"),
        Figure("source_accuracy", "Source, old head: accuracy", ".1%", ("before", "source_chance")),
        Figure("target_accuracy", "Target, new head: accuracy", ".1%", ("target_chance",)),
        Figure("milliseconds", "Milliseconds a step", ".2f"),
        Figure("megabytes", "Megabytes kept for a step, beside the weights", ".2f"),
        Figure("trunk_share", "The trunk's share of the squared norm of gradients", is_drawn=False),
        Figure("head_gradient", "The head's gradient, of what it is if nothing else is clipped"),
    ),
)
