"""A learning rate for every stage: the lower, the smaller (Howard & Ruder 2018, 3.2).

Their discriminative fine-tuning, in the form of ELECTRA's layer-wise decay (Clark et al. 2020):
with rate lr at the top, stage i of n (0 is the bottom) learns at

    lr_i = lr * layer_decay ** (n - 1 - i)

General features, at the bottom, should move least. It is freezing in degrees: a decay near 0
trains the top alone, a decay of 1 everything alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from minift.stages import Model


def param_groups(
    model: Model,
    lr: float,
    layer_decay: float = 1.0,
    head_lr: float | None = None,
    weight_decay: float = 0.01,
) -> list[dict[str, Any]]:
    """Return what an optimizer takes: groups of the trainable parameters, bottom first, head last.

    Parameters
    ----------
    lr : rate of the trunk's top stage.
    layer_decay : in (0, 1]; each stage's rate in terms of the next higher one's.
    head_lr : rate of the head; None is `lr`. A fresh head often learns best at a larger one.
    weight_decay : of matrices and kernels. Biases and norms (fewer than two dimensions) get 0:
        pulling a norm's scale to 0 would not make the function simpler, only its output smaller.

    Returns
    -------
    list of dict
        Keys params, lr, weight_decay and name ("layer2/decay", "head/no_decay", ...). Each
        trainable parameter is in exactly one group; one that is tied is in its lowest stage's.
        Frozen ones are in none, so build groups after freezing.

    Raises
    ------
    ValueError
        If nothing trains, or a trainable parameter is neither in the trunk nor in the head.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be in (0, 1], got {layer_decay}")
    n = len(model.trunk)
    parts: list[tuple[str, Iterable[tuple[str, nn.Parameter]], float]] = [
        (name, stage.named_parameters(), lr * layer_decay ** (n - 1 - i))
        for i, (name, stage) in enumerate(model.trunk.stages.items())
    ]
    parts.append(("head", model.head_parameters(), lr if head_lr is None else head_lr))

    groups: list[dict[str, Any]] = []
    grouped: set[int] = set()
    for part, parameters, rate in parts:
        new = [p for _, p in parameters if p.requires_grad and id(p) not in grouped]
        grouped.update(id(p) for p in new)
        matrices, vectors = [p for p in new if p.ndim >= 2], [p for p in new if p.ndim < 2]
        for kind, params, decay in (
            ("decay", matrices, weight_decay),
            ("no_decay", vectors, 0.0),
        ):
            if params:
                group = {"params": params, "lr": rate, "weight_decay": decay}
                groups.append({"name": f"{part}/{kind}", **group})

    trainable = {name: id(p) for name, p in model.named_parameters() if p.requires_grad}
    outside = [name for name, key in trainable.items() if key not in grouped]
    if outside:
        raise ValueError(f"model must keep its parameters in trunk and head, not in {outside}")
    if not groups:
        raise ValueError("model must have something to train: all its parameters are frozen")
    return groups
