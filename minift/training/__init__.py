"""Training: one loop for every model, and what a run needs besides: scores, files, precision."""

from minift.training.files import load_tensors, save_tensors, write_text
from minift.training.loop import FitConfig, History, NonFiniteLossError, evaluate, fit
from minift.training.precision import Seeds, autocast, resolve_device, resolve_precision

__all__ = [
    "FitConfig",
    "History",
    "NonFiniteLossError",
    "Seeds",
    "autocast",
    "evaluate",
    "fit",
    "load_tensors",
    "resolve_device",
    "resolve_precision",
    "save_tensors",
    "write_text",
]
