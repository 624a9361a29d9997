"""What the studies of pictures do after pretraining: learn a target from labelled pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from minift.checkpoint import load
from minift.data.shapes import shapes
from minift.recipes.finetuning import FinetuneConfig
from minift.stages import Model

Dataset = dict[str, Tensor]


def train_and_test(
    domain: str, num_train: int, num_test: int, *, seed: int, image_size: int
) -> tuple[Dataset, Dataset]:
    """The labelled pictures, and others of the same domain to judge by."""
    train = shapes(domain, num_train, seed=2 * seed, image_size=image_size)
    return train, shapes(domain, num_test, seed=2 * seed + 1, image_size=image_size)


def under_new_head(
    trunk: Path, head: str, num_classes: int | None, *, seed: int, is_scratch: bool = False
) -> Model:
    """The pretrained trunk under a new head, the same for a seed; from scratch, all drawn anew."""
    model = load(trunk)
    torch.manual_seed(seed)
    model.reset_head(head, num_classes)
    if is_scratch:
        model.trunk.reset_parameters()
    return model


def common_config(
    num_train: int,
    *,
    batch_size: int,
    min_steps: int,
    min_epochs: int = 1,
    head_lr: float,
    seed: int,
) -> FinetuneConfig:
    """What all methods share: batches and steps, enough of them however few the pictures are.

    A batch has at most a quarter of the pictures. The last weights count, none are selected.
    """
    batch_size = max(1, min(batch_size, num_train // 4))
    enough = -(-min_steps // (num_train // batch_size))  # epochs, rounded up
    return FinetuneConfig(
        epochs=max(min_epochs, enough),
        batch_size=batch_size,
        head_lr=head_lr,
        precision="fp32",
        seed=seed,
        progress=False,
    )
