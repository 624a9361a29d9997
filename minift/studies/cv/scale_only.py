"""What of a pretrained network makes training fast: its features, or only the size of its weights?

Raghu et al. 2019, Transfusion, section 5. Weights that are drawn at random with the mean and the
deviation of the pretrained ones have no feature left, and the scale of all of them ("Mean Var"). In
between stand networks whose lowest stages are pretrained and the rest random (transfusion).

What BatchNorm makes of it. The output of a convolution is divided by its deviation, so the scale of
its weights does not change what the network says; it changes how far a step of a given size turns
them, so it acts as a learning rate for each layer. Scales and shifts of BatchNorm itself are
weights and are drawn like them. Running means and variances are not: those of features that are
gone would be wrong, so a stage that is drawn anew starts with those of a fresh network. Pretrained
stages bring theirs. While it trains a network uses its batches' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from minift.data.shapes import SHAPES_CLASSES
from minift.objectives.scores import majority_accuracy
from minift.recipes.finetuning import FinetuneConfig, finetune
from minift.recipes.report import Report
from minift.stages import Model, Staged
from minift.studies.cv.labelled import train_and_test, under_new_head
from minift.studies.cv.pretrained import QUICK_SOURCE, SOURCE, Source, pretrained
from minift.studies.results import Results, Row
from minift.studies.statistics import summarize
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.transfer import reinit_top

RANDOM, SCALE, ALL = "random", "mean and deviation", "all pretrained"
TARGET = "mid"  # grey cells under a microscope; the paper has medical pictures too


@dataclass(frozen=True)
class Settings:
    source: Source = SOURCE
    kept: tuple[int, ...] = (1, 2, 3, 4)  # lowest stages that are pretrained, of one more
    num_train: int = 600  # pictures of the target
    epochs: int = 20
    batch_size: int = 32
    lr: float = 4e-3  # the same for all: that of learning from scratch
    reached: float = 0.9  # the accuracy that is to be reached: beyond all of the first scores
    num_test: int = 500


QUICK = Settings(QUICK_SOURCE, (1, 2, 3), epochs=12, reached=0.7)


def cells(settings: Settings) -> list[Cell]:
    kept = [lowest(number) for number in settings.kept]
    return [{"start": start} for start in (RANDOM, SCALE, *kept, ALL)]


def lowest(number: int) -> str:
    return f"lowest {number} pretrained"


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.source, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    """A row with the accuracy after each epoch, and one with what came of it."""
    seed = cell["seed"]
    train, test = train_and_test(
        TARGET,
        settings.num_train,
        settings.num_test,
        seed=seed,
        image_size=settings.source.image_size,
    )
    config = FinetuneConfig(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        lr=settings.lr,
        validate_every=1,
        precision="fp32",
        seed=seed,
        progress=False,
    )
    model = starting_model(cell["start"], trunk, seed)
    history = finetune(model, train, config, validation=test).history
    curve = [{"step": v["step"], "score": v["figures"]["accuracy"]} for v in history.validations]
    there = [point["step"] for point in curve if point["score"] >= settings.reached]
    end = {
        "accuracy": curve[-1]["score"],  # the last: the best was chosen by the test pictures
        "majority": majority_accuracy(test["labels"]),
        "steps": min(there, default=history.steps_run),
    }
    return [*curve, end]


def starting_model(start: str, trunk: Path, seed: int) -> Model:
    """The trunk of that start under a new head, which is the same for all."""
    model = under_new_head(trunk, "classify", len(SHAPES_CLASSES[TARGET]), seed=seed)
    num_stages = len(model.trunk)
    if start == SCALE:
        redraw(model.trunk)
    else:
        kept = {RANDOM: 0, ALL: num_stages}
        kept |= {lowest(number): number for number in range(1, num_stages)}
        reinit_top(model, num_stages - kept[start])
    return model


@torch.no_grad()
def redraw(trunk: Staged) -> None:
    """Draw each weight anew, normal with the mean and the deviation of all of its tensor."""
    moments = [(tensor.mean(), tensor.std()) for tensor in trunk.parameters()]
    trunk.reset_parameters()  # running statistics too: those of a fresh network
    for tensor, (mean, std) in zip(trunk.parameters(), moments):
        tensor.copy_(mean + std * torch.randn_like(tensor))


def judge(results: Results) -> list[Finding]:
    steps = {start: results.by_seed("steps", start=start) for start in results.levels("start")}
    num_stages = len(steps) - 2  # a start for each, beside random and Mean Var
    half = steps[lowest(num_stages // 2)]

    def fewer(first: str, second: str) -> Finding:
        difference = results.difference("steps", {"start": first}, {"start": second})
        return below(f"{first}, minus {second}: steps", difference, spec="+,.0f")

    # Not on what only undoes the harm of Mean Var, where that is the slower of the two.
    without = {seed: min(steps[RANDOM][seed], steps[SCALE][seed]) for seed in half}
    more = [(without[seed] - half[seed]) - (half[seed] - steps[ALL][seed]) for seed in half]
    what = "what the lower half of the stages saves, minus what the upper adds: steps"
    return [
        fewer(SCALE, RANDOM),
        fewer(ALL, SCALE),
        above(what, summarize(more), spec="+,.0f"),
    ]


def draw(report: Report, results: Results) -> None:
    report.lines(
        **results.lines("score", x="step", by="start"),
        x_label="steps",
        y_label="accuracy",
        caption="Accuracy on the target's test pictures while training.",
        baseline={"majority class": results.summary("majority").mean},
    )
    report.bars(
        **results.bars("steps", by="start"),
        caption="Steps to reach the accuracy; of a run that never does, all its steps.",
        spec=",.0f",
    )
    report.bars(
        **results.bars("accuracy", by="start"),
        caption="Accuracy after the last step.",
        chance=results.summary("majority").mean,
        limit=1.0,
    )


STUDY = Study(
    name="scale-only",
    claim="Part of what a pretrained network saves in training is owed to the size of its weights "
    "alone, without any feature; most of the rest comes with its lowest layers.",
    source="The lecture on transfer to a distant domain. Raghu et al. 2019, Transfusion: "
    "Understanding Transfer Learning for Medical Imaging, section 5 (Mean Var initialisation; "
    "weight transfusion).",
    setup="A ResNet learns ten shapes. The target is grey cells under a microscope, with some "
    "hundred pictures. All of the network learns it, from several starts: random weights; weights "
    "drawn at random with the mean and the standard deviation of each pretrained tensor; the "
    "lowest one, two, ... stages pretrained and those above random; and all stages pretrained. The "
    "head is random, and the same for all.\n\nPictures, batches, steps and rates are the same, and "
    "the last weights count. After each epoch the network is scored on test pictures; the steps to "
    "reach a fixed accuracy are read off this curve, and nothing is selected by it. A run that "
    "never reaches it counts with all its steps, a lower bound.\n\nUnder BatchNorm the scale of a "
    "convolution's weights changes nothing in its output. It acts as a learning rate: the larger "
    "the weights, the less a step turns them. Scales and shifts of BatchNorm are drawn like other "
    "weights; its running statistics start afresh in every stage that is drawn anew.",
    rule="The claim is that weights with only the mean and deviation of pretrained ones reach the "
    "accuracy in fewer steps than random ones, and all pretrained ones in fewer still; and that "
    "beyond the faster of the two without features the lower half of the stages (rounded down) "
    "saves more steps than the upper half adds to that. For the final accuracy nothing is claimed.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("start",),
    figures=(
        Figure("steps", "Steps to reach the accuracy", ",.0f"),
        Figure("accuracy", "Accuracy after the last step", levels=("majority",)),
    ),
    quick_seeds=2,
)
