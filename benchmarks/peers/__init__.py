"""What other libraries need before they are imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import nn


def prepare_torchvision() -> None:
    """Declare the operators that a torchvision for another torch looks up at import.

    timm and transformers import it. Kept on the function, for they go with the object.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or hasattr(prepare_torchvision, "library"):
        return
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(compiled)
        except OSError:
            continue
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    prepare_torchvision.library = library  # type: ignore[attr-defined]


def adamw(model: nn.Module, lr: float = 1e-4, **options: Any) -> torch.optim.Optimizer:
    """The peers' optimizer in its fastest form on a CPU."""
    return torch.optim.AdamW(model.parameters(), lr=lr, fused=True, **options)


def num_weights(model: nn.Module) -> int:
    """A tied weight counts once."""
    return sum(weight.numel() for weight in model.parameters())
