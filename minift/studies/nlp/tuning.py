"""How much of a pretrained BERT to train for a task with few labels: eight ways, side by side.

All of it, none of it, its top; all of it with a brake (smaller rates below, gradual unfreezing, a
pull back to the start); or a few weights that reach every layer (LoRA, biases).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minift.checkpoint import load, load_tokenizer
from minift.recipes.finetuning import FinetuneConfig
from minift.studies.nlp.labelled import learn, train_and_test
from minift.studies.nlp.pretrained import QUICK_READING, READING, Reading, pretrained
from minift.studies.results import Results, Row
from minift.studies.statistics import Summary
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below

METHODS = (
    "full", "head only", "top block", "layer-wise rates", "gradual unfreezing", "L2-SP",
    "LoRA", "biases only",
)  # fmt: skip
FULL, HEAD, TOP, RATES, GRADUAL, NEAR, LORA, BIASES = METHODS
MARGIN = 0.02  # of accuracy, within which a method counts as good as full fine-tuning


@dataclass(frozen=True)
class Settings:
    reading: Reading = READING
    task: str = "sentiment"
    num_labels: int = 128
    epochs: int = 20
    lr: float = 5e-4  # of pretrained weights, and of the head above them
    few_lr: float = 5e-3  # where few weights train: the head alone, LoRA, biases
    layer_decay: float = 0.7
    unfreeze_every: int = 2  # epochs
    l2sp: float = 0.1
    lora_rank: int = 4
    num_test: int = 500


QUICK = Settings(QUICK_READING)


def cells(settings: Settings) -> list[Cell]:
    return [{"method": method} for method in METHODS]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.reading, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> Row:
    seed, tokenizer, model = cell["seed"], load_tokenizer(trunk), load(trunk)
    train, test = train_and_test(
        tokenizer, settings.task, settings.num_labels, settings.num_test, seed
    )
    started = time.process_time()  # what others compute meanwhile does not count
    row, tuned = learn(model, train, test, config(settings, cell, len(model.trunk)))
    return {**row, "trained": tuned.trainable, "seconds": time.process_time() - started}


def config(settings: Settings, cell: Cell, num_stages: int) -> FinetuneConfig:
    """The same steps and batches for every method; the last weights count, none are selected."""
    changes: dict[str, dict[str, Any]] = {
        FULL: {},
        HEAD: {"num_frozen": num_stages, "lr": settings.few_lr},
        TOP: {"num_frozen": num_stages - 2},  # the pooler is the topmost stage
        RATES: {"layer_decay": settings.layer_decay},
        GRADUAL: {"unfreeze_every": settings.unfreeze_every},
        NEAR: {"l2sp": settings.l2sp},
        LORA: {"lora_rank": settings.lora_rank, "lr": settings.few_lr},
        BIASES: {"bias_only": True, "lr": settings.few_lr},
    }
    common = FinetuneConfig(
        epochs=settings.epochs, lr=settings.lr, precision="fp32", seed=cell["seed"], progress=False
    )
    return replace(common, **changes[cell["method"]])


def judge(results: Results) -> list[Finding]:
    def gain(method: str) -> Summary:
        return results.difference("accuracy", {"method": method}, {"method": FULL})

    def share(figure: str, method: str) -> Summary:
        return results.ratio(figure, {"method": method}, {"method": FULL})

    findings = [below(f"{HEAD}, minus full: accuracy", gain(HEAD))]
    for method in (HEAD, TOP):
        time = share("seconds", method)
        findings.append(below(f"{method}, by full: ratio of the time", time, 1.0, ".2f"))
    for method in (RATES, GRADUAL, NEAR):
        findings.append(above(f"{method}, minus full: accuracy", gain(method)))
    for method in (LORA, BIASES):
        findings.append(above(f"{method}, minus full: accuracy", gain(method), -MARGIN))
    return findings


STUDY = Study(
    name="tuning",
    claim="With few labels a brake on the pretrained weights beats plain fine-tuning; LoRA or "
    "biases alone are as good as it with less than a tenth of the weights; frozen layers save "
    "time, and a head alone scores less.",
    source="The lecture on how much to fine-tune. Howard & Ruder 2018, ULMFiT, sections 3.2 and "
    "3.3 (rates by layer, gradual unfreezing); Li et al. 2018, Explicit Inductive Bias, equation 4 "
    "(L2-SP); Hu et al. 2022, LoRA, section 5; Ben Zaken et al. 2022, BitFit, section 4.",
    setup="A BERT reads about an invented world, once for each seed. Then it learns one task from "
    "few labels in eight ways, from the same head and the same rows: all weights; the head alone; "
    "the head, the pooler and the top block; all weights, with smaller rates below, with stages "
    "that thaw one by one from the top, or with a pull back to where they started; updates of low "
    "rank beside each layer; and the biases alone.\n\nEpochs and batches are the same for all. "
    "Rates are fixed beforehand, one for pretrained weights and ten times that where few weights "
    "train; none was chosen by its score here. Time is what one thread computes for fine-tuning "
    "and testing, running frozen stages once over the data included.",
    rule="The claim is that the three brakes lie above full fine-tuning in accuracy; that LoRA and "
    f"biases lie no more than {MARGIN:.0%} below it (their share of the weights is a matter of "
    "counting, and stands in a table); that the head alone lies below it; and that the head alone "
    "and the top block take less time.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    factors=("method",),
    figures=(
        Figure("accuracy", "Accuracy", levels=("majority",)),
        Figure("trained", "Share of the weights that were trained"),
        Figure("seconds", "Seconds of fine-tuning and testing", ".2f"),
    ),
)
