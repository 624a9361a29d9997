"""What the reference libraries need before the parity tests can import them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch


def declare_torchvision_operators() -> torch.library.Library | None:
    """Declare the two compiled operators that torchvision's Python files look up at import.

    A torchvision built for another torch than the one installed (a CPU torch beside a CUDA
    torchvision, say) fails at import for want of them, and timm and transformers with it, although
    no model here uses them. Where its compiled part loads, it declares them itself.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(compiled)
        except OSError:
            continue
        return None
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


TORCHVISION = declare_torchvision_operators()  # kept: with the object the operators would go
