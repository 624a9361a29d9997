"""T5's training step: 4 + 4 layers of 256, 128 tokens read and 32 written, batch 32, AdamW.

The peer drops the attention's weights as well, which ours has not. So it runs as it is, and with
that dropout taken out: only then both sides do the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import minift
from benchmarks.peers import adamw, num_weights
from benchmarks.runner import Row, Settings, Side, Work, Workload
from minift.models.t5 import T5, T5Config
from minift.objectives.causal import shift_right
from minift.optim import Adam
from minift.recipes.pretraining import t5_loss
from minift.transfer import param_groups

V, C, F, L, H, S, T = 8192, 256, 1024, 4, 4, 128, 32
FORMS = {"ReLU": T5Config(), "gated": T5Config(activation="gelu_new", is_gated=True)}


def folder_of(settings: Settings, form: str) -> Path:
    return Path(settings.folder) / f"t5-{form}"


def prepare(settings: Settings) -> None:
    for form, base in FORMS.items():
        config = T5Config(
            vocab_size=V,
            hidden_size=C,
            num_layers=L,
            num_heads=H,
            intermediate_size=F,
            dropout=0.1,
            activation=base.activation,
            is_gated=base.is_gated,
        )
        minift.save(T5(config, "lm"), folder_of(settings, form), layout="huggingface")


def steps(
    settings: Settings,
    model: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
) -> Work:
    generator, B = torch.Generator().manual_seed(0), settings.size(32, 2)
    ids = torch.randint(2, V, (B, S), generator=generator)
    labels = torch.randint(2, V, (B, T), generator=generator)
    model.eval()
    with torch.no_grad():
        first_loss = loss_of(ids, labels).item()
    model.train()

    def run() -> float:
        loss = loss_of(ids, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return Work(
        run,
        same={
            "weights": num_weights(model),
            "tokens": ids.numel() + labels.numel(),
            "loss before any step, without dropout": first_loss,
        },
    )


def ours(settings: Settings, form: str) -> Work:
    model = minift.load(folder_of(settings, form))

    def loss_of(ids: Tensor, labels: Tensor) -> Tensor:
        return t5_loss(
            model,
            {
                "input_ids": ids,
                "attention_mask": torch.ones_like(ids, dtype=torch.bool),
                "decoder_input_ids": shift_right(labels, 0),
                "labels": labels,
            },
        )[0]

    return steps(settings, model, loss_of, Adam(param_groups(model, lr=1e-4)))


def theirs(settings: Settings, form: str, is_attention_dropped: bool) -> Work:
    from transformers import T5ForConditionalGeneration

    model = T5ForConditionalGeneration.from_pretrained(folder_of(settings, form))
    if not is_attention_dropped:
        for part in model.modules():
            if type(part).__name__ == "T5Attention":
                part.dropout = 0.0

    def loss_of(ids: Tensor, labels: Tensor) -> Tensor:
        mask = torch.ones_like(ids)
        return model(ids, attention_mask=mask, labels=labels, use_cache=False).loss

    return steps(settings, model, loss_of, adamw(model))


UNDROPPED = "transformers, attention undropped"
NEEDS = ("transformers:T5ForConditionalGeneration",)
SIDES = {
    "minift": Side(ours),
    "transformers": Side(partial(theirs, is_attention_dropped=True), NEEDS),
    UNDROPPED: Side(partial(theirs, is_attention_dropped=False), NEEDS),
}
WORKLOAD = Workload(
    prepare=prepare,
    is_exact=False,  # dropout
    sides={
        f"{name}, {form}": side._replace(build=partial(side.build, form=form))
        for form in FORMS
        for name, side in SIDES.items()
    },
    rows=[
        Row(f"T5 step, {form}", f"minift, {form}", f"{peer}, {form}", 1.3)
        for form in FORMS
        for peer in ("transformers", UNDROPPED)
    ],
)
