"""Why fine-tuning a BERT fails for some seeds, and three remedies.

The recipe that came with BERT leaves the bias correction out of Adam and ends after three epochs.
Its first steps are then several times too large (`minift.optim.step_scale`), after which the upper
layers of a deep network may pass no gradients down any more, and nothing below them learns. Mosbach
et al. 2021 put the correction back and train for longer; Zhang et al. 2021 also draw the top layers
anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from minift.checkpoint import load, load_tokenizer
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.report import Report
from minift.recipes.story_nlp import task_dataset
from minift.studies.nlp.gradient_norms import gradient_norms
from minift.studies.nlp.labelled import learn
from minift.studies.nlp.pretrained import QUICK_READING, Reading, pretrained
from minift.studies.results import Results, Row
from minift.studies.statistics import unpaired
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below

SHORT, LONG = "short", "long"
OFF, ON = "no correction", "corrected"
LAYERS = (0, 1, 2)  # drawn anew, from the top
OLD = {"training": SHORT, "adam": OFF, "layers_anew": 0}
CORRECTED = {**OLD, "adam": ON}
# What the papers compare: with a remedy, and without it.
REMEDIES: dict[str, tuple[Cell, Cell]] = {
    "correction, minus the old recipe": (CORRECTED, OLD),
    "correction and longer, minus the old recipe": ({**CORRECTED, "training": LONG}, OLD),
    "correction and longer, minus correction": ({**CORRECTED, "training": LONG}, CORRECTED),
    "correction and 1 layer anew, minus correction": ({**CORRECTED, "layers_anew": 1}, CORRECTED),
    "correction and 2 layers anew, minus correction": ({**CORRECTED, "layers_anew": 2}, CORRECTED),
}
NUM_POINTS = 32  # of a run's gradient norms, that are kept


@dataclass(frozen=True)
class Settings:
    reading: Reading
    task: str = "acceptability"
    num_labels: int = 512
    lr: float = 1e-3
    short_epochs: int = 3
    long_epochs: int = 20
    num_test: int = 500


# Deep, for gradients vanish on their way down, and narrow, to be quick.
FULL = Settings(replace(QUICK_READING, num_layers=6, num_steps=5000, lr=2e-3))
QUICK = Settings(replace(QUICK_READING, num_layers=4, lr=2e-3), num_labels=256, long_epochs=8)


def cells(settings: Settings) -> list[Cell]:
    return [
        {"training": training, "adam": adam, "layers_anew": layers}
        for training in (SHORT, LONG) for adam in (OFF, ON) for layers in LAYERS
    ]  # fmt: skip


def needs(settings: Settings, cell: Cell) -> Ingredient:
    """The same trunk for all seeds: as in the papers, they tell fine-tunings apart."""
    return pretrained(settings.reading, seed=0)


def run(settings: Settings, cell: Cell, trunk: Path) -> Row:
    tokenizer, model = load_tokenizer(trunk), load(trunk)
    train = task_dataset(tokenizer, settings.task, settings.num_labels, seed=0)
    test = task_dataset(tokenizer, settings.task, settings.num_test, seed=1, split="test")
    layers = cell["layers_anew"]
    config = FinetuneConfig(
        epochs=settings.short_epochs if cell["training"] == SHORT else settings.long_epochs,
        lr=settings.lr,
        bias_correction=cell["adam"] == ON,
        num_reinit=layers + 1 if layers else 0,  # with the pooler, as Zhang et al. do
        precision="fp32",
        seed=cell["seed"],
        progress=False,
    )
    with gradient_norms(model) as norms:
        row, _ = learn(model, train, test, config)
    row["failed"] = float(row["accuracy"] <= row["majority"])
    if {name: cell[name] for name in OLD} in (OLD, CORRECTED):
        shown = shown_stages(list(norms))
        row["norms"] = {stage: thinned(norms[stage]) for stage in shown}
        row["decades_lost"] = decades_lost(norms[shown[0]], norms[shown[-1]])
    return row


def shown_stages(stages: list[str]) -> list[str]:
    """The lowest block, the middle one, the highest, and the pooler above them."""
    blocks = stages[1:-1]
    return list(dict.fromkeys([blocks[0], blocks[len(blocks) // 2], blocks[-1], stages[-1]]))


def thinned(norms: list[float]) -> list[tuple[int, float]]:
    """(step, norm) at no more than `NUM_POINTS` steps, evenly spaced, counted from 1."""
    every = max(1, math.ceil(len(norms) / NUM_POINTS))
    return [(step, float(f"{norm:.4g}")) for step, norm in enumerate(norms, start=1)][::every]


def decades_lost(bottom: list[float], top: list[float]) -> float:
    """By how many powers of ten the norms of `bottom` are smaller, in the second half of a run."""
    half, tiny = len(top) // 2, 1e-12  # a gradient may be zero
    return math.log10((sum(top[half:]) + tiny) / (sum(bottom[half:]) + tiny))


def judge(results: Results) -> list[Finding]:
    findings = []
    for name, (remedy, without) in REMEDIES.items():
        gain = results.difference("accuracy", remedy, without)
        findings.append(above(f"{name}: accuracy", gain))
        if without == OLD:
            change = results.difference("failed", remedy, without)
            findings.append(below(f"{name}: failed runs", change))
    lost: dict[float, list[float]] = {0.0: [], 1.0: []}  # by whether the run failed
    for row in results.where(**OLD).rows:
        lost[row["failed"]].append(row["decades_lost"])
    what = "failed runs of the old recipe, minus its others: decades of gradient lost"
    return [*findings, above(what, unpaired(lost[1.0], lost[0.0]), spec="+.2f")]


def draw(report: Report, results: Results) -> None:
    by_recipe: dict[str, list[Row]] = {}
    for row in results.rows:
        by_recipe.setdefault(recipe_name(row), []).append(row)
    report.dots(
        {name: [row["accuracy"] for row in rows] for name, rows in by_recipe.items()},
        "accuracy",
        caption="Each dot is a run, each box the middle half of a recipe's runs, with the median.",
        baseline={"majority class": results.summary("majority").mean},
    )
    report.bars(
        {name: mean(row["failed"] for row in rows) for name, rows in by_recipe.items()},
        caption="Share of the runs that failed.",
        limit=1.0,
        spec=".0%",
    )
    watched = sorted((row for row in results.rows if "norms" in row), key=lambda r: r["accuracy"])
    for kind, row in (("lowest", watched[0]), ("highest", watched[-1])):
        report.lines(
            row["norms"],
            x_label="step",
            y_label="norm of the gradient",
            caption=f"Gradients by stage in the run with the {kind} accuracy, "
            f"{row['accuracy']:.1%}: {recipe_name(row)}, seed {row['seed']}.",
            log_y=True,
        )


def recipe_name(row: Row) -> str:
    return f"{row['training']}, {row['adam']}, {row['layers_anew']} layers anew"


STUDY = Study(
    name="stability",
    claim="The recipe that came with BERT fails for some seeds, as its gradients vanish on the way "
    "down. Adam's bias correction prevents that and raises the mean score; with it, longer "
    "training, or top layers drawn anew, raise the mean further.",
    source="The lecture on fine-tuning BERT in practice. Mosbach et al. 2021, On the Stability of "
    "Fine-tuning BERT, sections 5 and 6 (vanishing gradients; correction and more epochs together) "
    "and figures 1 and 4; Zhang et al. 2021, Revisiting Few-sample BERT Fine-tuning, sections 4 "
    "to 6 (correction; with it re-initialised top layers, and more steps).",
    setup="One pretrained BERT, deep and narrow, is fine-tuned on one small set of labels again "
    "and again. Seeds differ in the new head, the layers drawn anew, and the order of the rows. "
    "The test has words and sentence patterns that the labels do not show.\n\nThe old recipe: "
    "three epochs, Adam without bias correction, no layer drawn anew. Beside it stand more epochs, "
    "Adam with the correction, the top one or two layers (and the pooler) drawn anew, and all "
    "combinations. The learning rate is the same throughout, warmed up over the first tenth of the "
    "steps and then brought to 0 in a line. A run has failed if it scores no more than the "
    "commonest class.\n\nThe rate was sought so that runs fail at all: at half of it few do, and "
    "the correction gains little or nothing.",
    rule="Remedies are compared as in the papers. The claim is that the correction, alone and with "
    "longer training, lies above the old recipe in accuracy and below it in the share of failed "
    "runs, seed by seed; that with it, longer training, one layer drawn anew, and two, each lie in "
    "accuracy above the same without them; and that runs of the old recipe that failed have lost "
    "more of the gradient on its way down than the mean of those that did not, where there are "
    "two of each. The other combinations are not judged.",
    settings=FULL,
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("training", "adam", "layers_anew"),
    figures=(
        Figure("accuracy", "Accuracy", levels=("majority",)),
        Figure("failed", "Share of runs that failed", ".0%"),
        Figure(
            "decades_lost",
            "Powers of ten by which the gradient shrinks on its way from the "
            "pooler to the lowest block, in the second half of training",
            ".2f",
        ),
    ),
    seeds=20,
    quick_seeds=8,
)
