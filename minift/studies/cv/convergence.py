"""What pretraining gives where labels are many: fewer steps, or a higher final accuracy as well?

He, Girshick and Dollár 2019, Rethinking ImageNet Pre-training: from scratch, a network needs a
longer schedule, and then comes as far. So two numbers are kept apart: how soon a score is reached,
and where the training ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from minift.data.batches import Batches, Dataset, augment, epoch_batches
from minift.data.shapes import SHAPES_CLASSES
from minift.objectives.scores import majority_accuracy
from minift.optim import Adam, schedule
from minift.recipes.finetuning import loss_of, score
from minift.recipes.report import Report
from minift.studies.cv.labelled import train_and_test, under_new_head
from minift.studies.cv.pretrained import CHEAP_SOURCE, Source, pretrained
from minift.studies.results import Results, Row
from minift.studies.statistics import Summary, summarize
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.training.loop import FitConfig, fit
from minift.transfer import param_groups

METHODS = ("pretrained", "scratch", "pretrained, long", "scratch, long")
PRETRAINED, SCRATCH, PRETRAINED_LONG, SCRATCH_LONG = METHODS
TARGET = "near"  # the same kind of picture with new shapes
SHARE = 0.9  # of what the pretrained network ends with: the score that is to be reached
MARGIN = 0.02  # of accuracy, within which scratch counts as having come as far


@dataclass(frozen=True)
class Settings:
    source: Source = CHEAP_SOURCE
    num_train: int = 20_000  # pictures of the target
    num_steps: int = 2_000
    times_longer: int = 5  # the long schedule
    batch_size: int = 64
    lr: float = 4e-3  # one for all, as in the paper; what pretraining had
    score_every: int = 100  # steps
    num_test: int = 1000


QUICK = Settings(
    Source("resnet8", "paper", num_pictures=6_000, batch_size=32),
    num_steps=250, batch_size=32, score_every=50, num_test=500,
)  # fmt: skip


def cells(settings: Settings) -> list[Cell]:
    return [{"method": method} for method in METHODS]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.source, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    """A row with a score for each scored step, and one with the final accuracy."""
    seed, method = cell["seed"], cell["method"]
    train, test = train_and_test(
        TARGET,
        settings.num_train,
        settings.num_test,
        seed=seed,
        image_size=settings.source.image_size,
    )
    num_classes = len(SHAPES_CLASSES[TARGET])
    is_scratch = method in (SCRATCH, SCRATCH_LONG)
    model = under_new_head(trunk, "classify", num_classes, seed=seed, is_scratch=is_scratch)
    is_long = method in (PRETRAINED_LONG, SCRATCH_LONG)
    num_steps = settings.num_steps * (settings.times_longer if is_long else 1)
    history = fit(
        model,
        moved(epoch_batches(train, settings.batch_size, seed=seed), seed),
        loss_of,
        Adam(param_groups(model, settings.lr)),
        FitConfig(num_steps=num_steps, validate_every=settings.score_every, progress=False),
        schedule=schedule("linear", num_steps, warmup=0.1),
        validate=partial(score, model, test, "fp32"),
    )
    # The last score counts, not the best, which would have been chosen by the test pictures.
    curve = [{"step": v["step"], "score": v["figures"]["accuracy"]} for v in history.validations]
    final = {"accuracy": curve[-1]["score"], "majority": majority_accuracy(test["labels"])}
    return [*curve, {**final, "steps": num_steps}]


def moved(batches: Batches, seed: int) -> Batches:
    """The batches with each picture moved a little, as in pretraining; the same for all methods."""

    def batch_of(step: int) -> Dataset:
        batch = batches(step)
        generator = torch.Generator().manual_seed(1_000_000 * seed + step)
        return {**batch, "images": augment(batch["images"], generator)}

    return batch_of


def steps_to_reach(results: Results, method: str) -> dict[int, int]:
    """seed -> the first scored step with `SHARE` of what the pretrained network ends with.

    For a run that never gets there, all its steps: it would have needed more.
    """
    reached = {}
    for seed, final in results.by_seed("accuracy", method=PRETRAINED).items():
        rows = [row for row in results.where(method=method, seed=seed).rows if "step" in row]
        there = [row["step"] for row in rows if row["score"] >= SHARE * final]
        reached[seed] = min(there, default=max(row["step"] for row in rows))
    return reached


def speed(results: Results, first: str, second: str) -> Summary:
    """The steps that the first method takes to reach the score, in parts of the second's."""
    steps, others = steps_to_reach(results, first), steps_to_reach(results, second)
    return summarize([steps[seed] / others[seed] for seed in steps])


def judge(results: Results) -> list[Finding]:
    def minus(first: str, second: str) -> tuple[str, Summary]:
        gap = results.difference("accuracy", {"method": first}, {"method": second})
        return f"{first}, minus {second}: final accuracy", gap

    what = f"{PRETRAINED_LONG}, by {SCRATCH_LONG}: ratio of the steps to reach the score"
    return [
        below(what, speed(results, PRETRAINED_LONG, SCRATCH_LONG), 1.0, ".2f"),
        below(*minus(SCRATCH, PRETRAINED)),
        above(*minus(SCRATCH_LONG, PRETRAINED), -MARGIN),
        above(*minus(SCRATCH_LONG, PRETRAINED_LONG), -MARGIN),
    ]


def draw(report: Report, results: Results) -> None:
    report.lines(
        **results.lines("score", x="step", by="method"),
        x_label="steps",
        y_label="accuracy",
        caption="Accuracy on the target's test pictures while training.",
        baseline={"majority class": results.summary("majority").mean},
    )
    reached = {
        method: summarize(list(steps_to_reach(results, method).values())) for method in METHODS
    }
    report.bars(
        {method: steps.mean for method, steps in reached.items()},
        spread={method: steps.sd for method, steps in reached.items()},
        caption=f"Steps to reach {SHARE:.0%} of the pretrained network's final accuracy; of a run "
        "that never does, all its steps.",
        spec=",.0f",
    )


STUDY = Study(
    name="convergence",
    claim="With many labels pretraining speeds up convergence and does not necessarily raise the "
    "final accuracy: with a longer schedule a network from scratch comes as far.",
    source="The lecture on what pretraining is good for. He et al. 2019, Rethinking ImageNet "
    "Pre-training, section 4.1 (training from scratch to match accuracy) and section 5.",
    setup="A ResNet learns ten shapes. The target has many labelled pictures. The pretrained "
    "network, and the same from scratch, get the same pictures and batches, each picture moved by "
    "up to two pixels as in pretraining, under two schedules: a short one, and one with several "
    "times as many steps. The rate is that of pretraining for "
    "all: a small one, which spares pretrained weights, would hold them back where labels are "
    "many. It rises and falls linearly over a schedule, so that the long one is not the short one "
    "gone on with.\n\nAll are scored on test pictures every so many steps, and nothing is selected "
    f"by these scores. The score to reach is {SHARE:.0%} of what the pretrained network ends with "
    "on the short schedule, seed by seed. A run that never reaches it counts with all its steps, "
    "a lower bound. The steps of pretraining itself are not counted: they were taken once, for "
    "any number of targets.",
    rule="The claim is that on the long schedule the pretrained network reaches the score in fewer "
    "steps than scratch (on the short one scratch may never reach it, and its steps say little); "
    "that on the short one scratch ends below it; and that on the long one scratch ends no more "
    f"than {MARGIN:.0%} below the pretrained network, neither where that had the short schedule, "
    "nor where it had the long one too.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("method",),
    figures=(
        Figure("accuracy", "Final accuracy on the target", levels=("majority",)),
        Figure("steps", "Steps of training", ",.0f"),
    ),
)
