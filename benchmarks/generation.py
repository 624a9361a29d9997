"""Greedy generation: 224 tokens after 32, by the GPT of gpt.py, batch 1 and 16."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import minift
from benchmarks.gpt import NANOGPT, H, folder_of, prepare
from benchmarks.peers import num_weights
from benchmarks.peers.nanogpt_like import NanoGPTLike
from benchmarks.runner import Row, Settings, Side, Work, Workload

V, T = 8192, 32


def generation(
    settings: Settings, model: nn.Module, B: int, continued: Callable[[Tensor, int], Tensor]
) -> Work:
    """The sum of the ids tells whether both sides wrote the same."""
    num_new = settings.size(224, 8)
    model.eval()
    prompts = torch.randint(V, (B, T), generator=torch.Generator().manual_seed(0))
    same = {"weights": num_weights(model), "tokens": prompts.numel()}
    return Work(lambda: int(continued(prompts, num_new).sum()), same, num_steps=num_new)


def ours(settings: Settings, B: int) -> Work:
    model = minift.load(folder_of(settings, V))

    def continued(ids: Tensor, num_new: int) -> Tensor:
        return model.generate(ids, max_new_tokens=num_new, temperature=0.0)

    return generation(settings, model, B, continued)


def nanogpt_like(settings: Settings, B: int) -> Work:
    model = NanoGPTLike.from_pretrained(folder_of(settings, V), H)
    return generation(settings, model, B, model.generate)


def theirs(settings: Settings, B: int) -> Work:
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder_of(settings, V))

    def continued(ids: Tensor, num_new: int) -> Tensor:
        mask = torch.ones_like(ids)
        options = {"max_new_tokens": num_new, "do_sample": False, "pad_token_id": 0}
        return model.generate(ids, attention_mask=mask, **options)

    return generation(settings, model, B, continued)


SIDES = {
    "minift": Side(ours),
    NANOGPT: Side(nanogpt_like, ("safetensors",)),
    "transformers": Side(theirs, ("transformers:GPT2LMHeadModel",)),
}
REACH = {1: {NANOGPT: 7, "transformers": 1.7}, 16: {NANOGPT: 26, "transformers": 1.7}}
WORKLOAD = Workload(
    prepare=prepare,
    sides={
        f"{name}, batch {B}": side._replace(build=partial(side.build, B=B))
        for B in REACH
        for name, side in SIDES.items()
    },
    rows=[
        Row(f"GPT generation, batch {B}", f"minift, batch {B}", f"{peer}, batch {B}", reach)
        for B, reaches in REACH.items()
        for peer, reach in reaches.items()
    ],
)
