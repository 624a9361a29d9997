"""A GPT's training step: 6 layers of 384, blocks of 256 tokens, batch 12, no dropout, AdamW."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import minift
from benchmarks.peers import adamw, num_weights
from benchmarks.peers.nanogpt_like import NanoGPTLike
from benchmarks.runner import Row, Settings, Side, Work, Workload
from minift.models.gpt import GPT, GPTConfig
from minift.optim import Adam
from minift.recipes.pretraining import gpt_loss
from minift.transfer import param_groups

C, L, H, T = 384, 6, 6, 256
VOCABULARIES = (8192, 65)


def folder_of(settings: Settings, V: int) -> Path:
    return Path(settings.folder) / f"gpt-{V}"


def prepare(settings: Settings) -> None:
    for V in VOCABULARIES:
        config = GPTConfig(
            vocab_size=V,
            hidden_size=C,
            num_layers=settings.size(L, 2),
            num_heads=H,
            intermediate_size=4 * C,
            max_positions=T,
            dropout=0.0,
        )
        minift.save(GPT(config, "lm"), folder_of(settings, V), layout="huggingface")


def steps(
    settings: Settings,
    model: nn.Module,
    V: int,
    loss_of: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    is_compiled: bool,
) -> Work:
    """Two steps on random blocks."""
    B = settings.size(12, 2)
    ids = torch.randint(V, (2, B, T), generator=torch.Generator().manual_seed(0))
    model.train()
    if is_compiled:
        loss_of = torch.compile(loss_of)

    def run() -> float:
        for block in ids:
            loss = loss_of(block)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    same = {"weights": num_weights(model), "tokens": ids.numel()}
    return Work(run, same, num_steps=len(ids))


def ours(settings: Settings, V: int, is_compiled: bool = False) -> Work:
    model = minift.load(folder_of(settings, V))
    optimizer = Adam(param_groups(model, lr=1e-4))

    def loss_of(ids: Tensor) -> Tensor:
        return gpt_loss(model, {"input_ids": ids})[0]

    return steps(settings, model, V, loss_of, optimizer, is_compiled)


def nanogpt_like(settings: Settings, V: int, is_compiled: bool = False) -> Work:
    model = NanoGPTLike.from_pretrained(folder_of(settings, V), H)

    def loss_of(ids: Tensor) -> Tensor:
        return model.loss(ids, F.pad(ids[:, 1:], (0, 1), value=-100))

    return steps(settings, model, V, loss_of, adamw(model), is_compiled)


def theirs(settings: Settings, V: int) -> Work:
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder_of(settings, V))

    def loss_of(ids: Tensor) -> Tensor:
        return model(ids, labels=ids, use_cache=False).loss

    return steps(settings, model, V, loss_of, adamw(model), is_compiled=False)


NANOGPT, COMPILED = "nanogpt_like", "compiled"
SIDES = {
    "minift": Side(ours),
    NANOGPT: Side(nanogpt_like, ("safetensors",)),
    "transformers": Side(theirs, ("transformers:GPT2LMHeadModel",)),
    f"minift, {COMPILED}": Side(partial(ours, is_compiled=True)),
    f"{NANOGPT}, {COMPILED}": Side(partial(nanogpt_like, is_compiled=True), ("safetensors",)),
}
PAIRS = [
    ("minift", NANOGPT, 1.1),
    (f"minift, {COMPILED}", f"{NANOGPT}, {COMPILED}", 1.1),
    ("minift", "transformers", 1.2),
]
WORKLOAD = Workload(
    prepare=prepare,
    sides={
        f"{name}, V {V}": side._replace(build=partial(side.build, V=V))
        for V in VOCABULARIES
        for name, side in SIDES.items()
    },
    rows=[
        Row(f"2 GPT steps, V {V}", f"{ours}, V {V}", f"{peer}, V {V}", reach)
        for V in VOCABULARIES
        for ours, peer, reach in PAIRS
    ],
)
