"""What fine-tuning costs: how much of its pretraining a BERT forgets, and which stages change.

The head that filled in masked words is kept aside, and put back on the trunk after fine-tuning.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from minift.checkpoint import load, load_tokenizer
from minift.data.batches import trim_padding
from minift.recipes import pretraining
from minift.recipes.datasets import encode_documents
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.report import Report
from minift.stages import Model
from minift.studies.nlp.labelled import Dataset, learn, train_and_test
from minift.studies.nlp.pretrained import Reading, held_out_documents, pretrained
from minift.studies.nlp.tuning import (
    BIASES,
    FULL,
    GRADUAL,
    HEAD,
    LORA,
    NEAR,
    QUICK,
    RATES,
    TOP,
    Settings,
)
from minift.studies.nlp.tuning import config as tuning_config
from minift.studies.results import Results, Row
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.tokenizers import Tokenizer
from minift.transfer import linear_cka, weight_distances

FAST_FULL, SLOW_LORA, SLOW_BIASES = "full, high rate", "LoRA, low rate", "biases only, low rate"
# `tuning` has the low rate where all weights train, the high one where few do.
OTHER_RATE = {FAST_FULL: FULL, SLOW_LORA: LORA, SLOW_BIASES: BIASES}
ALL_WEIGHTS = (FULL, FAST_FULL, RATES, GRADUAL, NEAR)
FEW_WEIGHTS = (HEAD, TOP, LORA, SLOW_LORA, BIASES, SLOW_BIASES)


def cells(settings: Settings) -> list[Cell]:
    return [{"method": method} for method in ALL_WEIGHTS + FEW_WEIGHTS]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.reading, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    seed, tokenizer = cell["seed"], load_tokenizer(trunk)
    before, after, model = load(trunk), load(trunk), load(trunk)
    train, test = train_and_test(
        tokenizer, settings.task, settings.num_labels, settings.num_test, seed
    )
    row, _ = learn(model, train, test, config(settings, cell, len(model.trunk)))
    # `after` keeps the old head. Its output matrix is the embedding: where that moved, so did it.
    after.trunk.load_state_dict(model.trunk.state_dict())

    losses = [masked_word_loss(each, tokenizer, settings.reading, seed) for each in (before, after)]
    distances = weight_distances(before, after).values()
    likeness = map(likeness_of, activations(before, test), activations(after, test))
    stages = [
        {"stage": number, "distance": distance, "cka": cka}
        for number, (distance, cka) in enumerate(zip(distances, likeness))
    ]
    return [{**row, "before": losses[0], "loss": losses[1], "rise": losses[1] - losses[0]}, *stages]


def config(settings: Settings, cell: Cell, num_stages: int) -> FinetuneConfig:
    """The methods of the study `tuning`, and three of them at the rate that they do not have."""
    method = OTHER_RATE.get(cell["method"], cell["method"])
    usual = tuning_config(settings, {**cell, "method": method}, num_stages)
    if method == cell["method"]:
        return usual
    return replace(usual, lr=settings.few_lr if method == FULL else settings.lr)


def masked_word_loss(model: Model, tokenizer: Tokenizer, reading: Reading, seed: int) -> float:
    """Nats a word, on the words and documents that pretraining was judged on at its end."""
    asked = pretraining.PretrainConfig(
        batch_size=reading.batch_size, max_sentences=reading.max_sentences, precision="fp32"
    )
    documents = encode_documents(tokenizer, held_out_documents(seed))
    return pretraining.judge(model, tokenizer, documents, asked)["mlm_loss"]


@torch.no_grad()
def activations(model: Model, dataset: Dataset) -> list[Tensor]:
    """What each stage puts out, bottom first: (C,) for each real token; of the pooler, each row."""
    batch = trim_padding(dataset)
    tokens = model.prepare(**{name: batch[name] for name in model.input_names})
    flows = model.eval().trunk.outputs(tokens).values()
    is_real = batch["attention_mask"]
    return [flow.hidden[is_real] if flow.pooled is None else flow.pooled for flow in flows]


def likeness_of(before: Tensor, after: Tensor) -> float:
    """Linear CKA; 0 where fine-tuning has made all rows the same, which are then like nothing."""
    return 0.0 if bool((after == after[0]).all()) else linear_cka(before, after)


def judge(results: Results) -> list[Finding]:
    full = {"method": FULL}
    findings = [
        above(f"{FULL}: rise of the loss", results.summary("rise", **full), spec="+.3f"),
    ]
    for method in (FAST_FULL, RATES, GRADUAL, NEAR, TOP, LORA, SLOW_LORA, BIASES, SLOW_BIASES):
        more = results.difference("rise", {"method": method}, full)
        expect = above if method == FAST_FULL else below
        findings.append(expect(f"{method}, minus {FULL}: rise", more, spec="+.3f"))
    _, bottom, *_, top, _ = results.levels("stage")  # blocks, between embedding and pooler
    for figure, what, expect in (("distance", "distance", above), ("cka", "CKA", below)):
        more = results.difference(figure, {**full, "stage": top}, {**full, "stage": bottom})
        findings.append(expect(f"{FULL}, top block, minus bottom block: {what}", more, spec="+.3f"))
    return findings


def draw(report: Report, results: Results) -> None:
    report.bars(
        **results.bars("loss", by="method"),
        caption="Loss of masked words after fine-tuning, nats, and what it was before.",
        chance=results.summary("before").mean,
        spec=".2f",
        level="before",
    )
    report.bars(
        **results.bars("accuracy", by="method"),
        caption="Accuracy on the task, and that of the commonest class.",
        chance=results.summary("majority").mean,
        limit=1.0,
        level="majority",
    )
    pooler = results.levels("stage")[-1]
    for figure, label in (("distance", "relative distance"), ("cka", "linear CKA")):
        for which, methods in (("all", ALL_WEIGHTS), ("few", FEW_WEIGHTS)):
            shown = Results([row for row in results.rows if row["method"] in methods])
            report.lines(
                **shown.lines(figure, x="stage", by="method"),
                x_label=f"stage: 0 is the embedding, {pooler} the pooler",
                y_label=label,
                caption=f"Before and after, where {which} weights are trained: {label}.",
            )


STUDY = Study(
    name="forgetting",
    claim="Fine-tuning makes a BERT worse at what it was pretrained for, and a higher rate more "
    "so; brakes and few trained weights forget less; the top block changes more than the bottom.",
    source="McCloskey & Cohen 1989, Catastrophic Interference in Connectionist Networks; French "
    "1999, Catastrophic forgetting in connectionist networks. Howard & Ruder 2018, ULMFiT, "
    "sections 3.2 and 3.3 (rates by layer and gradual unfreezing against forgetting); Mosbach et "
    "al. 2021, On the Stability of Fine-tuning BERT, section 4 (loss of masked words after "
    "fine-tuning); Biderman et al. 2024, LoRA Learns Less and Forgets Less; Merchant et al. 2020, "
    "What Happens To BERT Embeddings During Fine-tuning? (mostly the top layers change). Kornblith "
    "et al. 2019, Similarity of Neural Network Representations Revisited, section 3 (CKA).",
    setup="A BERT reads about an invented world, once for each seed. Then it learns one task from "
    "few labels in the eight ways of the study `tuning`, with that study's rates: one for all "
    "weights or whole stages, and ten times that for the head alone, LoRA and the biases. The "
    "rate alone might decide, so full fine-tuning also has the high one, and LoRA and the biases "
    "also the low one.\n\nBefore and after, the head of pretraining fills in the same masked "
    "words of other documents, most of whose sentences were read elsewhere. Its output matrix is "
    "the embedding, and has changed where that has. LoRA's updates are in the weights by then. "
    "Distance is that between a stage's weights before and after, as a share of their length "
    "before. Linear CKA compares what a stage puts out for the real tokens of the task's test "
    "sentences (the pooler: for the sentences); what comes from the stages below counts there too.",
    rule="The claim is that full fine-tuning raises the loss of masked words, and more so at the "
    "high rate (the head alone cannot: the trunk is frozen); that it rises less than "
    "with full fine-tuning for each brake, for the top block, and for LoRA and biases at both "
    "rates; and that in full fine-tuning the top block goes further than the bottom one and "
    "keeps a lower CKA. Read each rise beside the accuracy: who learns nothing forgets nothing.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("method", "stage"),
    figures=(
        Figure("loss", "Loss of masked words after fine-tuning, nats", ".3f", levels=("before",)),
        Figure("rise", "Rise of that loss", "+.3f"),
        Figure("accuracy", "Accuracy on the task", levels=("majority",)),
        Figure("distance", "Distance of the weights, of their length before", ".3f"),
        Figure("cka", "Linear CKA of the activations", ".3f"),
    ),
)
