"""A ResNet's first filters as pictures: what the bottom stage looks for.

Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural
networks", figure 3: filters that learnt from pictures show edges and colours, which any picture
has; random ones show noise. That is why the bottom stage serves other tasks too.

Shapes: N filters, C channels of the picture, H and W sides of a filter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minift.models.resnet import ResNet, Stem
from minift.stages import Model


def first_filters(model: Model) -> Tensor:
    """The weights of the lowest convolution, (N, C, H, W).

    Raises
    ------
    ValueError : the model is no ResNet.
    """
    stem = model.trunk.stages["stem"] if isinstance(model, ResNet) else None
    if not isinstance(stem, Stem):
        raise ValueError(f"model must be a ResNet to have filters, got {model.family}")
    return stem.conv1.weight.detach().cpu()


def filter_pictures(filters: Tensor) -> Tensor:
    """Weights (N, C, H, W) with C 1 (grey) or 3 (red, green, blue) -> uint8 pictures (N, 3, H, W).

    Zero is the middle grey, and each filter's largest weight, by size, is full black or full white
    in its channel: a filter's scale means little, for the norm behind it takes it out again.

    Raises
    ------
    ValueError : another number of channels.
    """
    if filters.ndim != 4 or filters.shape[1] not in (1, 3):
        raise ValueError(f"filters must be (N, 1 or 3, H, W), got {tuple(filters.shape)}")
    largest = filters.abs().amax(dim=(1, 2, 3), keepdim=True)  # (N, 1, 1, 1)
    shades = filters / largest.clamp(min=torch.finfo(filters.dtype).tiny)  # -1 to 1
    return (127.5 + 127.5 * shades).round().to(torch.uint8).expand(-1, 3, -1, -1)
