"""20 AdamW steps over the weights of bert.py's BERT; ours as it is used, and as written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from benchmarks.bert import our_bert
from benchmarks.runner import Row, Settings, Side, Work, Workload
from minift.optim import Adam

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
OPTIONS = {"lr": 1e-4, "weight_decay": 0.01}


def steps(settings: Settings, make: Make) -> Work:
    weights = list(our_bert(0.0, 0.0, head="pretrain").parameters())
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = make(weights)

    num_steps = settings.size(20, 2)

    def run() -> float:
        for _ in range(num_steps):
            optimizer.step()
        return float(weights[0].detach().abs().sum())

    same = {"weights": sum(weight.numel() for weight in weights)}
    return Work(run, same, num_steps)


SIDES: dict[str, Make] = {
    "minift": lambda weights: Adam(weights, **OPTIONS),
    "minift, written out": lambda weights: Adam(weights, fused=False, **OPTIONS),
    "torch, foreach": lambda weights: torch.optim.AdamW(weights, foreach=True, **OPTIONS),
    "torch, fused": lambda weights: torch.optim.AdamW(weights, fused=True, **OPTIONS),
}
WORKLOAD = Workload(
    sides={name: Side(partial(steps, make=make)) for name, make in SIDES.items()},
    rows=[
        Row("20 AdamW steps", "minift", "torch, foreach", 5),
        Row("20 AdamW steps", "minift", "torch, fused", 0.9),
        Row("20 AdamW steps, written out", "minift, written out", "torch, foreach"),
    ],
)
