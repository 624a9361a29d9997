"""Greedy generation: 224 tokens after 32, by the GPT of gpt.py, batch 1 and 16."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.gpt import our_gpt, plain_gpt, their_gpt
from benchmarks.runner import Row, Settings, Work, Workload

V, T = 8192, 32


def prompts(B: int) -> torch.Tensor:
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(0))


def ours(settings: Settings, B: int) -> Work:
    model, num_new = our_gpt(V).eval(), settings.size(224, 8)
    return lambda: model.generate(prompts(B), max_new_tokens=num_new, temperature=0.0).shape[1]


def plain(settings: Settings, B: int) -> Work:
    model, num_new = plain_gpt(V).eval(), settings.size(224, 8)
    return lambda: model.generate(prompts(B), num_new).shape[1]


def theirs(settings: Settings, B: int) -> Work:
    model, num_new = their_gpt(V).eval(), settings.size(224, 8)
    options = {"max_new_tokens": num_new, "min_new_tokens": num_new, "do_sample": False}
    mask = torch.ones(B, T, dtype=torch.int64)
    return lambda: model.generate(
        prompts(B), attention_mask=mask, use_cache=True, pad_token_id=0, **options
    ).shape[1]


SIDES = {"minift": ours, "nanoGPT's form": plain, "transformers": theirs}
REACH = {("nanoGPT's form", 1): 7, ("transformers", 1): 1.7, ("nanoGPT's form", 16): 26}
WORKLOAD = Workload(
    sides={
        f"{name}, batch {B}": partial(side, B=B) for B in (1, 16) for name, side in SIDES.items()
    },
    rows=[
        Row(
            f"GPT generation, batch {B}",
            f"minift, batch {B}",
            f"{peer}, batch {B}",
            REACH.get((peer, B), 1.7),
        )
        for B in (1, 16)
        for peer in ("nanoGPT's form", "transformers")
    ],
)
