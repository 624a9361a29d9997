"""Filters become pictures in which grey is zero and each filter uses the whole range."""

from __future__ import annotations

import pytest
import torch

from minift.models.registry import create_model
from minift.recipes.filters import filter_pictures, first_filters


def test_grey_is_zero_and_the_largest_weight_is_white_or_black() -> None:
    filters = torch.zeros(2, 3, 1, 2)
    filters[0, 0, 0, 0], filters[0, 2, 0, 1] = 0.5, -0.25
    filters[1, 1, 0, 0] = -8.0
    pictures = filter_pictures(filters)
    assert pictures[0, :, 0, 0].tolist() == [255, 128, 128]
    assert pictures[0, :, 0, 1].tolist() == [128, 128, 64]
    assert pictures[1, :, 0, 0].tolist() == [128, 0, 128]


def test_filters_of_grey_pictures_are_grey() -> None:
    pictures = filter_pictures(torch.randn(4, 1, 3, 3))
    assert pictures.shape == (4, 3, 3, 3)
    assert torch.equal(pictures[:, 0], pictures[:, 2])


def test_a_filter_of_zeros_is_grey_and_other_channels_are_refused() -> None:
    assert (filter_pictures(torch.zeros(1, 3, 2, 2)) == 128).all()
    with pytest.raises(
        ValueError, match=r"filters must be \(N, 1 or 3, H, W\), got \(1, 2, 3, 3\)"
    ):
        filter_pictures(torch.zeros(1, 2, 3, 3))


def test_first_filters_are_the_stems() -> None:
    assert first_filters(create_model("resnet10", head=None)).shape == (16, 3, 3, 3)
    with pytest.raises(ValueError, match="model must be a ResNet to have filters, got bert"):
        first_filters(create_model("bert-micro", head=None))
