"""BERT's pretraining step: masked words and next sentence, AdamW, 192 pairs of 16 to 128 tokens.

Six steps of 32 pairs. The peer pads each to 128, as it does by default, or groups the pairs by
length; ours are grouped as `pretrain_bert` groups them. Dropout is the same on both sides, with the
attention's weights and without them. Where the CPU multiplies bf16, both sides do it under autocast
as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import minift
from benchmarks.peers import adamw, num_weights
from benchmarks.runner import Row, Settings, Side, Work, Workload
from minift.models.bert import Bert, BertConfig
from minift.optim import Adam
from minift.recipes.pretraining import bert_loss
from minift.transfer import param_groups

V, C, F, L, H, T = 8192, 256, 1024, 4, 4, 128
Batch = dict[str, Tensor]


def our_bert(dropout: float, attention_dropout: float, **head: Any) -> Bert:
    config = BertConfig(
        vocab_size=V,
        hidden_size=C,
        num_layers=L,
        num_heads=H,
        intermediate_size=F,
        max_positions=T,
        dropout=dropout,
        attention_dropout=attention_dropout,
    )
    return Bert(config, **head)


def folder_of(settings: Settings, attention_dropout: float) -> Path:
    return Path(settings.folder) / f"attention-{attention_dropout}"


def prepare(settings: Settings) -> None:
    for attention_dropout in (0.1, 0.0):
        model = our_bert(0.1, attention_dropout, head="pretrain")
        minift.save(model, folder_of(settings, attention_dropout), layout="huggingface")


def pairs(settings: Settings, is_grouped: bool, is_padded: bool) -> list[Batch]:
    """The same sequences on every side; 15% of each one's tokens carry a label."""
    num_steps, B = settings.size(6, 2), settings.size(32, 4)
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(16, T + 1, (num_steps * B,), generator=generator)
    rows = []
    for length in lengths.tolist():
        ids = torch.randint(5, V, (length,), generator=generator)
        labels = torch.full_like(ids, -100)
        chosen = torch.randperm(length - 1, generator=generator)[: round(0.15 * length)] + 1
        labels[chosen] = ids[chosen]
        rows.append((ids.index_fill(0, chosen, 4), labels))
    next_labels = torch.randint(2, (len(rows),), generator=generator)
    order = lengths.argsort() if is_grouped else torch.arange(len(rows))
    batches = []
    for chosen in order.split(B):
        S = T if is_padded else int(lengths[chosen].max())
        batch = {
            "input_ids": torch.zeros(B, S, dtype=torch.int64),
            "mlm_labels": torch.full((B, S), -100),
        }
        for place, row in enumerate(chosen.tolist()):
            for name, values in zip(batch, rows[row]):
                batch[name][place, : len(values)] = values
        batch["attention_mask"] = torch.arange(S) < lengths[chosen][:, None]
        batch["token_type_ids"] = torch.zeros(B, S, dtype=torch.int64)
        batch["next_labels"] = next_labels[chosen]
        batches.append(batch)
    return batches


def steps(
    settings: Settings,
    model: nn.Module,
    loss_of: Callable[[Batch], Tensor],
    optimizer: torch.optim.Optimizer,
    is_grouped: bool,
    is_padded: bool,
    is_bf16: bool,
) -> Work:
    batches = pairs(settings, is_grouped, is_padded)
    model.eval()
    with torch.no_grad():  # on a batch that all sides have: the first one, before grouping
        first_loss = loss_of(pairs(settings, False, is_padded)[0]).item()
    model.train()

    def run() -> float:
        losses = []
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                loss = loss_of(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).mean().item()

    return Work(
        run,
        same={
            "weights": num_weights(model),
            "tokens": sum(int(batch["attention_mask"].sum()) for batch in batches),
            "masked": sum(int((batch["mlm_labels"] != -100).sum()) for batch in batches),
            "loss before any step, without dropout": first_loss,
        },
        num_steps=len(batches),
    )


def ours(settings: Settings, attention_dropout: float, is_bf16: bool = False) -> Work:
    model = minift.load(folder_of(settings, attention_dropout))
    optimizer = Adam(param_groups(model, lr=1e-4))
    return steps(
        settings, model, lambda batch: bert_loss(model, batch)[0], optimizer, True, False, is_bf16
    )


def theirs(
    settings: Settings,
    attention_dropout: float,
    is_grouped: bool,
    is_padded: bool = False,
    is_bf16: bool = False,
) -> Work:
    from transformers import BertForPreTraining

    model = BertForPreTraining.from_pretrained(folder_of(settings, attention_dropout))

    def loss_of(batch: Batch) -> Tensor:
        return model(
            batch["input_ids"],
            batch["attention_mask"],
            batch["token_type_ids"],
            labels=batch["mlm_labels"],
            next_sentence_label=batch["next_labels"],
        ).loss

    return steps(settings, model, loss_of, adamw(model), is_grouped, is_padded, is_bf16)


PADDED, GROUPED = "transformers, padded to 128", "transformers, grouped"
UNDROPPED = "attention undropped"
NEEDS = ("transformers:BertForPreTraining",)
WORKLOAD = Workload(
    prepare=prepare,
    is_exact=False,  # dropout
    sides={
        "minift": Side(partial(ours, attention_dropout=0.1)),
        PADDED: Side(
            partial(theirs, attention_dropout=0.1, is_grouped=False, is_padded=True), NEEDS
        ),
        GROUPED: Side(partial(theirs, attention_dropout=0.1, is_grouped=True), NEEDS),
        f"minift, {UNDROPPED}": Side(partial(ours, attention_dropout=0.0)),
        f"{GROUPED}, {UNDROPPED}": Side(
            partial(theirs, attention_dropout=0.0, is_grouped=True), NEEDS
        ),
        "minift, bf16": Side(partial(ours, attention_dropout=0.1, is_bf16=True), ("AMX",)),
        f"{GROUPED}, bf16": Side(
            partial(theirs, attention_dropout=0.1, is_grouped=True, is_bf16=True), ("AMX", *NEEDS)
        ),
    },
    rows=[
        Row("6 BERT steps", "minift", PADDED, 2.9, reach_memory=0.7),
        Row("6 BERT steps", "minift", GROUPED, 1.8, reach_memory=0.7),
        Row(f"6 BERT steps, {UNDROPPED}", f"minift, {UNDROPPED}", f"{GROUPED}, {UNDROPPED}"),
        Row("6 BERT steps, bf16", "minift, bf16", f"{GROUPED}, bf16", 2.3),
    ],
)
