"""How large the gradients of each stage are while a model trains: whether they reach the bottom.

Where fine-tuning fails, the upper stages no longer pass gradients down (Mosbach et al. 2021,
section 5.1 and figure 4). Hooks on the weights see each gradient as backpropagation leaves it,
before clipping, and the training loop need not know of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor

from minift.stages import Model


@contextmanager
def gradient_norms(model: Model) -> Iterator[dict[str, list[float]]]:
    """Watch the trunk; at the end fill in stage -> the norm of its gradient, backward by backward.

    All weights of a stage are one vector, and the head is left out. Weights that take no gradient
    throughout have no part in it.
    """
    norms: dict[str, list[float]] = {}
    squares: dict[str, list[list[float]]] = {}  # of each weight of a stage
    handles = []
    for name, stage in model.trunk.stages.items():
        squares[name] = [[] for _ in stage.parameters()]
        for weight, seen in zip(stage.parameters(), squares[name]):
            if weight.requires_grad:
                handles.append(weight.register_hook(partial(_note, seen)))
    try:
        yield norms
    finally:
        for handle in handles:
            handle.remove()
    for name, weights in squares.items():
        steps = zip(*filter(None, weights), strict=True)
        norms[name] = [math.sqrt(sum(step)) for step in steps]


def _note(seen: list[float], gradient: Tensor) -> None:
    seen.append(float(gradient.square().sum()))
