"""An AdamW step over the weights of bert.py's BERT."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from benchmarks.bert import our_bert
from benchmarks.runner import Row, Settings, Work, Workload
from minift.optim import Adam


def steps(settings: Settings, make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> Work:
    weights = list(our_bert(0.0, head="pretrain").parameters())
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = make(weights)

    def work() -> None:
        for _ in range(settings.size(20, 2)):
            optimizer.step()

    return work


OPTIONS = {"lr": 1e-4, "weight_decay": 0.01}
WORKLOAD = Workload(
    sides={
        "minift": partial(steps, make=lambda weights: Adam(weights, **OPTIONS)),
        "minift, written out": partial(
            steps, make=lambda weights: Adam(weights, fused=False, **OPTIONS)
        ),
        "torch, foreach": partial(
            steps, make=lambda weights: torch.optim.AdamW(weights, foreach=True, **OPTIONS)
        ),
        "torch, fused": partial(
            steps, make=lambda weights: torch.optim.AdamW(weights, fused=True, **OPTIONS)
        ),
    },
    rows=[
        Row("20 AdamW steps", "minift", "torch, foreach", 5),
        Row("20 AdamW steps", "minift", "torch, fused", 0.9),
        Row("20 AdamW steps, written out", "minift, written out", "torch, foreach", None),
    ],
)
