"""The chapter's story for pictures, from pretraining to the comparison that the lecture is about.

1. Pretrain a small ResNet on 20,000 labelled pictures of ten shapes.
2. A target of ten new shapes with few labels: from scratch, feature extraction, freezing the lower
   stages, fine-tuning all; the same number of steps for each, the best on a validation set kept.
3. The same with ten times the labels, where the order begins to turn.
4. Another task on the same trunk: a label for every pixel.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from minift.data.shapes import SHAPES_CLASSES, shapes
from minift.models.registry import create_model
from minift.objectives.scores import majority_accuracy
from minift.recipes.figures import add_confusion, add_filters
from minift.recipes.finetuning import FinetuneConfig, finetune, predict, score
from minift.recipes.pictures import overlay_mask
from minift.recipes.report import Report
from minift.recipes.story_models import learn_shapes, shipped_shapes
from minift.recipes.story_results import write_results
from minift.stages import Model
from minift.transfer import copy_matching

Dataset = dict[str, Tensor]
COLUMNS = ("target", "method", "score", "trained", "steps to reach", "seconds")


@dataclass(frozen=True)
class StorySettings:
    num_source: int = 20_000  # pictures to pretrain on
    source_epochs: int = 9
    target_sizes: tuple[int, ...] = (100, 1000)  # labelled pictures of the new shapes
    segment_size: int = 200  # pictures with a label for every pixel
    num_steps: int = 240  # of every fine-tuning, up to whole epochs of its target
    num_test: int = 2000
    model: str = "resnet-tiny"
    num_frozen: int = 4  # stages of "freeze": all but layer4
    pretrained: bool = False  # begin with the weights that come with minift
    precision: str = "auto"
    seed: int = 0
    num_seeds: int = 1  # repetitions of each fine-tuning with another seed and other labels
    progress: bool = True


QUICK = StorySettings(
    num_source=6_000, source_epochs=5, target_sizes=(100,), segment_size=100, num_steps=100,
    num_test=500,
)  # fmt: skip


@dataclass
class Row:
    """A line of the story's table: one method on one target, over the seeds."""

    target: str
    method: str
    scores: list[float]
    trained: float = 0.0  # share of the weights
    reached: list[int | None] = field(default_factory=list)  # steps to the common score
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)  # of the first seed, validation
    model: Model | None = None  # of the first seed, fine-tuned

    @property
    def score(self) -> float:
        return mean(self.scores)

    def cells(self) -> list[str]:
        spread = f" ± {stdev(self.scores):.1%}" if len(self.scores) > 1 else ""
        if not self.curve:  # a line to compare with, not a run
            return [self.target, self.method, f"{self.score:.1%}", "", "", ""]
        steps = [step for step in self.reached if step is not None]
        reached = f"{mean(steps):.0f}" if len(steps) == len(self.reached) else "never"
        return [
            self.target,
            self.method,
            f"{self.score:.1%}{spread}",
            f"{self.trained:.1%}",
            reached,
            f"{self.seconds:.1f}",
        ]


@dataclass
class Story:
    """What the story found; `rows` are its table."""

    source_accuracy: float
    pretrain_seconds: float | None  # None: the weights came with minift
    rows: list[Row]
    model: Model  # the pretrained one
    seconds: float

    def score(self, target: str, method: str) -> float:
        return next(row.score for row in self.rows if (row.target, row.method) == (target, method))


def tell_story(
    settings: StorySettings, out: Path, say: Callable[[str], None] = lambda line: None
) -> Story:
    """Run it all, write report.html and results.json to `out`, and return what was found."""
    started = time.perf_counter()
    test = shapes("source", settings.num_test, seed=2 * settings.seed + 1)
    if settings.pretrained:
        say(f"1. {settings.model} as it comes with minift, pretrained on pictures of ten shapes")
        learnt = shipped_shapes(settings.model, test)
    else:
        say(f"1. Pretraining {settings.model} on {settings.num_source:,} pictures of ten shapes")
        learnt = learn_shapes(
            settings.model,
            settings.num_source,
            settings.source_epochs,
            test,
            seed=settings.seed,
            precision=settings.precision,
            progress=settings.progress,
        )
    accuracy, pretrained = learnt.scores["accuracy"], learnt.model
    took = "" if learnt.seconds is None else f", {learnt.seconds:.0f} s"
    say(f"   held-out accuracy {accuracy:.1%} (chance 10%){took}")

    rows: list[Row] = []
    for size in settings.target_sizes:
        target = f"{size} new shapes"
        say(f"2. Target: {size} labelled pictures of ten new shapes")
        rows += _compare(settings, pretrained, target, size, "classify")
    target = f"{settings.segment_size} masks"
    say(f"3. Another task: a label for every pixel, {settings.segment_size} pictures")
    rows += _compare(settings, pretrained, target, settings.segment_size, "segment")

    if settings.pretrained:
        rows.insert(0, Row("source", f"{settings.model}, shipped", [accuracy]))
    story = Story(accuracy, learnt.seconds, rows, pretrained, time.perf_counter() - started)
    write_results(out / "results.json", settings, rows, story.seconds)
    write_report(story, settings, out)
    return story


def methods(settings: StorySettings, num_stages: int) -> dict[str, dict[str, Any]]:
    """The lecture's four ways: name -> the settings that differ.

    A random head needs a large rate, pretrained stages a small one.
    """
    head_lr = 4e-3
    return {
        "from scratch": {"lr": head_lr},
        "feature extraction": {"num_frozen": num_stages, "lr": head_lr},
        f"freeze {settings.num_frozen} stages": {
            "num_frozen": settings.num_frozen,
            "lr": 5e-4,
            "head_lr": head_lr,
        },
        "fine-tune all": {"lr": 3e-4, "head_lr": head_lr},
    }


def _compare(
    settings: StorySettings, pretrained: Model, target: str, size: int, head: str
) -> list[Row]:
    """Every method on one target; the same pictures, steps and validation for each."""
    num_classes = 10 if head == "classify" else 11  # a label per pixel counts the background
    test = shapes("near", settings.num_test, seed=10_001)
    validation = shapes("near", min(500, settings.num_test), seed=10_003)
    rows = []
    for name, changes in methods(settings, len(pretrained.trunk)).items():
        row = Row(target, name, [])
        for seed in range(settings.seed, settings.seed + settings.num_seeds):
            train = shapes("near", size, seed=10_000 + 2 * seed + 10)
            model = _fresh(settings, head, num_classes, seed)
            if name != "from scratch":
                copy_matching(model.trunk, pretrained.trunk.state_dict())
            batch_size = min(64, size // 4)
            epochs = max(1, settings.num_steps * batch_size // size)
            config = FinetuneConfig(
                epochs=epochs,
                batch_size=batch_size,
                validate_every=max(1, epochs // 12),
                precision=settings.precision,
                seed=seed,
                progress=settings.progress,
            )
            config = replace(config, **changes)
            tuned = finetune(model, train, config, validation=validation, description=name)
            row.scores.append(next(iter(score(model, test, settings.precision).values())))
            curve = [
                (v["step"], next(iter(v["figures"].values()))) for v in tuned.history.validations
            ]
            row.curve, row.model = row.curve or curve, row.model or model
            row.reached.append(_steps_to(curve, REACHED[head]))
            row.trained = tuned.trainable
            row.seconds += tuned.seconds / settings.num_seeds
        rows.append(row)
    rows.append(Row(target, "majority class", [_majority(test, head, num_classes)]))
    return rows


REACHED = {"classify": 0.4, "segment": 0.3}  # the score that "steps to reach" asks for


def _majority(test: Dataset, head: str, num_classes: int) -> float:
    """The score of one answer for all: the commonest class, or background everywhere."""
    if head == "classify":
        return majority_accuracy(test["labels"])
    return majority_accuracy(test["masks"].flatten()) / num_classes  # IoU of the background alone


def _steps_to(curve: list[tuple[int, float]], wanted: float) -> int | None:
    return next((step for step, value in curve if value >= wanted), None)


def _fresh(settings: StorySettings, head: str, num_classes: int, seed: int) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create_model(settings.model, head=head, num_classes=num_classes)


COMPARED = ("from scratch", "fine-tune all")  # in the tables of what is taken for what


def write_report(story: Story, settings: StorySettings, out: Path) -> None:
    """Write the page with pictures, curves and the table."""
    training = f"{settings.source_epochs} passes over {settings.num_source:,} pictures"
    if settings.pretrained:
        training = "the pretraining whose weights come with minift"
    report = Report(
        "Transfer learning on pictures",
        f"{settings.model}, seed {settings.seed}, {settings.num_seeds} fine-tuning seed(s), "
        f"{story.seconds:.0f} seconds in all",
    )
    report.section(
        "1. Pretraining",
        f"The source has ten shapes. After {training} the network names "
        f"{story.source_accuracy:.1%} of held-out pictures rightly; guessing would give 10%.",
    )
    some = shapes("source", 12, seed=2 * settings.seed)
    names = [SHAPES_CLASSES["source"][label] for label in some["labels"].tolist()]
    report.pictures(some["images"], names, caption="Twelve pictures of the source.")
    add_filters(report, story.model, seed=settings.seed)
    target = shapes("near", 12, seed=10_001)
    names = [SHAPES_CLASSES["near"][label] for label in target["labels"].tolist()]
    report.section(
        "2. New shapes, few labels",
        "The target has ten other shapes. Each method takes the same number of steps, and the "
        "weights that do best on a validation set are kept.",
    )
    report.pictures(target["images"], names, caption="Twelve pictures of the target.")
    for title in dict.fromkeys(row.target for row in story.rows if row.curve):
        rows = [row for row in story.rows if row.target == title]
        curves = {row.method: [(float(x), y) for x, y in row.curve] for row in rows if row.curve}
        baseline = {row.method: row.score for row in rows if not row.curve}
        report.lines(curves, "steps", "validation score", caption=title, baseline=baseline)
    few = f"{settings.target_sizes[0]} new shapes"
    test = shapes("near", min(500, settings.num_test), seed=10_001)
    predictions = {
        row.method: predict(row.model, test, settings.precision)
        for row in story.rows
        if row.model is not None and row.target == few and row.method in COMPARED
    }
    add_confusion(report, predictions, test["labels"], SHAPES_CLASSES["near"])
    report.section(
        "3. Another task",
        "The same trunk with a head that names every pixel: what each way of training makes of "
        "four pictures that none of them has seen. A colour is a class: look at the outline, and "
        "at whether a shape has one colour.",
    )
    images, masks = target["images"], target["masks"]
    columns = {"the picture": images, "the truth": overlay_mask(images, masks)}
    for row in story.rows:
        if row.model is not None and row.target.endswith("masks"):
            found = predict(row.model, {"images": images}, settings.precision)
            columns[row.method] = overlay_mask(images, found)
    for index in range(4):
        report.pictures(torch.stack([column[index] for column in columns.values()]), list(columns))
    report.section("4. All results", "Accuracy, and mean intersection over union for masks.")
    report.table(COLUMNS, [row.cells() for row in story.rows])
    report.write(out / "report.html")
