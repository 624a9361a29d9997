"""Dropout: rate and scale in every lane of the random bits, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch

from minift.models.dropout import Dropout, dropout


@pytest.mark.parametrize(("p", "rate"), [(0.1, 26 / 256), (0.5, 0.5), (0.9, 230 / 256)])
def test_every_lane_is_dropped_at_the_rate(p: float, rate: float) -> None:
    torch.manual_seed(0)
    lanes = dropout(torch.ones(200_000, 8), p)  # eight elements share one draw of 64 bits
    dropped = (lanes == 0).double().mean(dim=0)
    # Four standard deviations of a mean of 200,000.
    assert (dropped - rate).abs().max() < 4 * (rate * (1 - rate) / 200_000) ** 0.5


def test_lanes_are_independent() -> None:
    torch.manual_seed(0)
    dropped = (dropout(torch.ones(200_000, 8), 0.5) == 0).double()
    correlation = torch.corrcoef(dropped.T) - torch.eye(8)
    assert correlation.abs().max() < 0.01


def test_what_is_kept_is_scaled_by_the_share_that_is_kept() -> None:
    kept = dropout(torch.ones(1000), 0.1)
    assert kept.unique().tolist() == pytest.approx([0.0, 256 / 230])


def test_the_gradient_passes_where_the_value_does() -> None:
    x = torch.randn(1001, requires_grad=True)  # not a multiple of eight
    y = dropout(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad != 0, y != 0)
    torch.testing.assert_close(y, x * x.grad)


def test_bf16_and_other_layouts_stay_what_they_are() -> None:
    x = torch.ones(4, 6, dtype=torch.bfloat16).T
    assert dropout(x, 0.1).shape == (6, 4)
    assert dropout(x, 0.1).dtype is torch.bfloat16


@pytest.mark.parametrize("p", [0.0, 1.0, 0.001])
def test_the_ends_of_the_scale(p: float) -> None:
    x = torch.ones(1000)
    share = (dropout(x, p) != 0).double().mean().item()
    assert share == pytest.approx(1 - p, abs=0.01)


def test_eval_mode_changes_nothing() -> None:
    x = torch.randn(10)
    layer = Dropout(0.5)
    assert torch.equal(layer.eval()(x), x)
    assert not torch.equal(layer.train()(x), x)


def test_the_same_seed_drops_the_same() -> None:
    x = torch.ones(100)
    first, second = (torch.manual_seed(3) and dropout(x, 0.5) for _ in range(2))
    assert torch.equal(first, second)
