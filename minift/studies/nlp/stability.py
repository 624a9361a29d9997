"""Why fine-tuning a BERT fails for some seeds, and three remedies.

The recipe that came with BERT leaves the bias correction out of Adam and ends after three epochs.
Its first steps are then several times too large, and few steps remain to recover. Mosbach et al.
2021 put the correction back and train for longer; Zhang et al. 2021 also draw the top layers anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minift.checkpoint import load, load_tokenizer
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.story_nlp import task_dataset
from minift.studies.nlp.labelled import learn
from minift.studies.nlp.pretrained import QUICK_READING, READING, Reading, pretrained
from minift.studies.results import Results, Row
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below

SHORT, LONG = "short", "long"
OFF, ON = "no correction", "corrected"
LAYERS = (0, 1, 2)  # drawn anew, from the top
OLD = {"training": SHORT, "adam": OFF, "layers_anew": 0}
REMEDIES = {
    "correction": {**OLD, "adam": ON},
    "longer": {**OLD, "training": LONG},
    "1 layer anew": {**OLD, "layers_anew": 1},
    "2 layers anew": {**OLD, "layers_anew": 2},
}


@dataclass(frozen=True)
class Settings:
    reading: Reading = READING
    task: str = "entailment"  # as RTE, on which the papers see most runs fail
    num_labels: int = 512
    short_epochs: int = 3
    long_epochs: int = 20
    num_test: int = 500


# What has read single sentences only is at chance on pairs of them, whatever the recipe.
QUICK = Settings(QUICK_READING, task="sentiment", num_labels=128)


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
        bias_correction=cell["adam"] == ON,
        num_reinit=layers + 1 if layers else 0,  # with the pooler, as Zhang et al. do
        precision="fp32",
        seed=cell["seed"],
        progress=False,
    )
    row, _ = learn(model, train, test, config)
    return {**row, "failed": float(row["accuracy"] <= row["majority"])}


def judge(results: Results) -> list[Finding]:
    findings = []
    for name, remedy in REMEDIES.items():
        for figure, expect in (("accuracy", above), ("failed", below)):
            change = results.difference(figure, remedy, OLD)
            label = "accuracy" if figure == "accuracy" else "failed runs"
            findings.append(expect(f"{name}, minus the old recipe: {label}", change))
    return findings


STUDY = Study(
    name="stability",
    claim="The recipe that came with BERT fails for some seeds; Adam's bias correction, longer "
    "training, and top layers drawn anew each raise its mean score and make failures rarer.",
    source="The lecture on fine-tuning BERT in practice. Mosbach et al. 2021, On the Stability of "
    "Fine-tuning BERT, sections 3 to 5 (correction, more epochs); Zhang et al. 2021, Revisiting "
    "Few-sample BERT Fine-tuning, sections 3 to 5 (correction, re-initialised top layers).",
    setup="One pretrained BERT is fine-tuned on one small set of labels again and again. Seeds "
    "differ in the new head, the layers drawn anew, and the order of the rows.\n\nThe old "
    "recipe: three epochs, Adam without bias correction, no layer drawn anew. Beside it stand "
    "twenty epochs, Adam with the correction, the top one or two layers (and the pooler) drawn "
    "anew, and all combinations. The learning rate is the same throughout, warmed up over the "
    "first tenth of the steps and then brought to 0 in a line. A run has failed if it scores no "
    "more than the commonest class.",
    rule="The claim is that each remedy alone, put into the old recipe, raises the mean accuracy "
    "and lowers the share of failed runs, seed by seed. The combinations are not judged.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    factors=("training", "adam", "layers_anew"),
    figures=(
        Figure("accuracy", "Accuracy", levels=("majority",)),
        Figure("failed", "Share of runs that failed", ".0%"),
    ),
    seeds=20,
    quick_seeds=10,
)
