"""Where pretraining pays, and where a network from scratch catches up: more and more labels.

Four ways to the same target, from a hundred times fewer pictures than the source had to as many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minift.data.shapes import SHAPES_CLASSES
from minift.objectives.scores import majority_accuracy
from minift.recipes.finetuning import FinetuneConfig, finetune, score
from minift.recipes.report import Report
from minift.studies.cv.labelled import common_config, train_and_test, under_new_head
from minift.studies.cv.pretrained import CHEAP_SOURCE, QUICK_SOURCE, Source, pretrained
from minift.studies.results import Results, Row, minus
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below

METHODS = ("from scratch", "feature extraction", "freeze lower stages", "fine-tune all")
SCRATCH, FEATURES, LOWER, ALL = METHODS
FAST = "fine-tune all, rate of scratch"  # where labels are many, small steps only hold it back
TARGET = "near"  # the same kind of picture with new shapes


@dataclass(frozen=True)
class Settings:
    source: Source = CHEAP_SOURCE
    sizes: tuple[int, ...] = (200, 600, 2_000, 20_000)  # pictures of the target; the source's last
    min_steps: int = 300  # of every training, however small its target
    min_epochs: int = 16  # of every training, however large
    batch_size: int = 64  # at most a quarter of the target
    scratch_lr: float = 4e-3  # of all that starts from random weights, heads too
    top_lr: float = 5e-4  # of a pretrained stage that is trained alone
    all_lr: float = 3e-4  # of all pretrained stages
    num_test: int = 2000


QUICK = Settings(
    QUICK_SOURCE, (60, 200, 600, 6_000), min_steps=150, min_epochs=3, batch_size=32, num_test=1000
)


def cells(settings: Settings) -> list[Cell]:
    grid = [{"size": size, "method": method} for size in settings.sizes for method in METHODS]
    return [*grid, {"size": settings.sizes[-1], "method": FAST}]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.source, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> Row:
    seed, size = cell["seed"], cell["size"]
    train, test = train_and_test(
        TARGET, size, settings.num_test, seed=seed, image_size=settings.source.image_size
    )
    model = under_new_head(
        trunk,
        "classify",
        len(SHAPES_CLASSES[TARGET]),
        seed=seed,
        is_scratch=cell["method"] == SCRATCH,
    )
    tuned = finetune(model, train, config(settings, cell, len(model.trunk)))
    return {
        "accuracy": score(model, test, "fp32")["accuracy"],
        "majority": majority_accuracy(test["labels"]),
        "steps": tuned.history.steps_run,
        "trained": tuned.trainable,
    }


def config(settings: Settings, cell: Cell, num_stages: int) -> FinetuneConfig:
    """The same steps and batches for every method."""
    changes: dict[str, dict[str, Any]] = {
        SCRATCH: {"lr": settings.scratch_lr},
        FEATURES: {"num_frozen": num_stages},
        LOWER: {"num_frozen": num_stages - 1, "lr": settings.top_lr},
        ALL: {"lr": settings.all_lr},
        FAST: {"lr": settings.scratch_lr},
    }
    common = common_config(
        cell["size"],
        batch_size=settings.batch_size,
        min_steps=settings.min_steps,
        min_epochs=settings.min_epochs,
        head_lr=settings.scratch_lr,
        seed=cell["seed"],
    )
    return replace(common, **changes[cell["method"]])


def compared(size: int, method: str) -> tuple[Row, Row]:
    """The factors of a method and of scratch, at one size."""
    return {"size": size, "method": method}, {"size": size, "method": SCRATCH}


def judge(results: Results) -> list[Finding]:
    sizes = sorted(results.levels("size"))
    findings = []
    for size in sizes[:2]:
        lead = results.difference("accuracy", *compared(size, ALL))
        findings.append(above(f"fine-tuned, minus scratch: {size:,} pictures", lead))
    small = results.differences("accuracy", *compared(sizes[0], ALL))
    large = results.differences("accuracy", *compared(sizes[-1], FAST))
    what = f"that lead at {sizes[-1]:,} pictures, minus at {sizes[0]:,}"
    return [*findings, below(what, minus(large, small))]


def draw(report: Report, results: Results) -> None:
    report.lines(
        **results.lines("accuracy", x="size", by="method"),
        x_label="pictures of the target",
        y_label="accuracy",
        caption="Accuracy on the target's test pictures.",
        baseline={"majority class": results.summary("majority").mean},
        log_x=True,
    )
    leads = {  # scratch's own is 0, and keeps its colour
        method: {
            size: results.difference("accuracy", *compared(size, method))
            for size in sorted(results.where(method=method).levels("size"))
        }
        for method in results.levels("method")
    }
    report.lines(
        {method: [(size, lead.mean) for size, lead in of.items()] for method, of in leads.items()},
        x_label="pictures of the target",
        y_label="lead over scratch",
        caption="What pretraining adds to the accuracy from scratch, seed by seed.",
        spread={method: [lead.sd for lead in of.values()] for method, of in leads.items()},
        log_x=True,
    )


STUDY = Study(
    name="target-size",
    claim="A pretrained network beats one from scratch where the target has few labels, and its "
    "lead shrinks once the target is as large as the source.",
    source="The lecture on when to transfer: a target that is small against the source. He et al. "
    "2019, Rethinking ImageNet Pre-training, section 4.2 (training from scratch with less data: "
    "there scratch still came as far with a tenth of the pictures, and broke down with a "
    "hundredth).",
    setup="A ResNet learns ten shapes from many pictures. The target is ten other shapes, with a "
    "hundred, thirty and ten times fewer pictures than the source, and with as many. Four ways "
    "lead there: the same network from scratch; only a head on the frozen trunk (feature "
    "extraction); the head and the top stage above frozen lower ones; and all of it "
    "(fine-tuning).\n\nAt each size every way gets the same pictures, batches and number of steps, "
    "with more steps for more pictures; scratch gets no extra ones. Rates are fixed beforehand: "
    "large for what starts from random weights, small for what is pretrained. At the largest size, "
    "where a small rate would only hold it back, fine-tuning is also run with scratch's own. The "
    "last weights are scored, on pictures that nobody trained on.",
    rule="The claim is that the fine-tuned trunk lies above scratch at the two smallest sizes, and "
    "that its lead at the largest, there at the rate of scratch, is below that at the smallest. A "
    "smaller lead is not yet none: how much is left can be read off the tables.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("size", "method"),
    figures=(
        Figure("accuracy", "Accuracy on the target", levels=("majority",)),
        Figure("steps", "Steps of training", ",.0f"),
        Figure("trained", "Share of the weights that were trained"),
    ),
    quick_seeds=2,
)
