"""LoRA: train a low-rank update beside each layer, which itself stays (Hu et al. 2022, 4.1).

    h = W x + alpha / rank * B A x

A brings x down to `rank` numbers, B brings them up to the layer's outputs. B starts at 0, so the
network starts as the pretrained one; added into W at the end, the update costs nothing any more.
One matrix W + B A would be shorter to write, but the gradient of a whole matrix is a third of the
work of a training step. Beside W it is never computed.

A convolution is a matrix too, (out, in * height * width): A is a convolution to `rank` channels, B
one of 1x1. The paper adapts query and value alone; here it is all layers, unless told which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.stages import Model


class LowRank(nn.Module):
    """A linear layer or convolution and its update, in the layer's place."""

    def __init__(self, layer: Any, down: Tensor, scale: float) -> None:
        super().__init__()
        self.layer, self.scale = layer, scale
        self.down = nn.Parameter(down.to(layer.weight))  # A: (rank, in, ...)
        self.up = nn.Parameter(self.down.new_zeros(len(layer.weight), len(down)))  # B: (out, rank)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, nn.Linear):
            update = F.linear(F.linear(x, self.down), self.up)
        else:
            window = (self.layer.stride, self.layer.padding, self.layer.dilation)
            narrow = F.conv2d(x, self.down, None, *window)  # (N, rank, H, W)
            update = F.conv2d(narrow, self.up[:, :, None, None])  # (N, out, H, W)
        return self.layer(x) + self.scale * update


def add_lora(
    model: Model,
    rank: int,
    alpha: float | None = None,
    layers: Sequence[str] | None = None,
    seed: int | None = None,
) -> list[str]:
    """Hold the trunk still, put updates that train beside its layers; return the layers' names.

    Call it after `reinit_top` and `freeze`, which go by whole stages, and before the optimizer is
    built. Frozen stages get no update. The head trains as before, and what is no weight goes on as
    in any stage that is not frozen: dropout, BatchNorm's statistics.

    Parameters
    ----------
    rank : at least 1; a layer of n inputs and m outputs gets rank * (n + m) new weights.
    alpha : the update counts alpha / rank, so that with another rank the same learning rate will
        do; None is the rank.
    layers : names of layers, or of what holds them: ("query", "value"), ("block3",). None is every
        linear layer and every convolution (of one group, padded with zeros or not at all).
    seed : of A; None draws from the global generator.

    Raises
    ------
    ValueError
        If the model has LoRA already, or no layer of that kind and name that is not frozen.
    """
    stages = model.trunk.stages
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    if any(isinstance(part, LowRank) for part in stages.modules()):
        raise ValueError("model must have no LoRA yet; merge_lora takes it into the weights")
    frozen = list(stages)[: model.trunk.num_frozen]
    found = {
        name: part
        for name, part in stages.named_modules()
        if isinstance(part, nn.Linear)
        or (isinstance(part, nn.Conv2d) and (part.groups, part.padding_mode) == (1, "zeros"))
        if name.split(".")[0] not in frozen
        if layers is None or not set(layers).isdisjoint(name.split("."))
    }
    if not found:
        wanted = layers or "linear layers or convolutions"
        raise ValueError(f"model must have {wanted} above its frozen stages {frozen}, found none")
    model.trunk.requires_grad_(False)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for name, part in found.items():
        shape = part.weight.shape[1:]
        down = torch.randn(rank, *shape, generator=generator) / shape.numel() ** 0.5
        stages.set_submodule(name, LowRank(part, down, 1.0 if alpha is None else alpha / rank))
    return list(found)


@torch.no_grad()
def merge_lora(model: Model) -> None:
    """Add each update to its layer's weight: a plain model again, whose names are the plain ones.

    Its outputs stay as they were, up to rounding. Stages that are not frozen train whole again.
    """
    for name, part in list(model.trunk.stages.named_modules()):
        if isinstance(part, LowRank):
            update = part.scale * part.up @ part.down.flatten(1)  # (out, in * ...)
            part.layer.weight += update.view_as(part.layer.weight)
            model.trunk.stages.set_submodule(name, part.layer)
    model.trunk.num_frozen = model.trunk.num_frozen  # sets anew which weights take gradients
