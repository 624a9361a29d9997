"""Schedules: the shapes their papers draw, and equality with torch's one-cycle."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from minift.optim import SCHEDULES, schedule


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_rises_to_one_then_never_rises_again(name: str, warmup: float) -> None:
    factor = schedule(name, num_steps=40, warmup=warmup)
    values = [factor(step) for step in range(40)]
    peak = round(warmup * 40)
    assert values[peak] == pytest.approx(1.0)
    assert all(a < b for a, b in pairwise(values[: peak + 1]))
    assert all(a >= b for a, b in pairwise(values[peak:]))
    assert all(0.0 < value <= 1.0 for value in values)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("num_steps", "warmup"), [(1, 0.0), (1, 0.9), (2, 0.99), (3, 0.3)])
def test_tiny_runs_have_positive_rates(name: str, num_steps: int, warmup: float) -> None:
    factor = schedule(name, num_steps, warmup)
    assert all(0.0 < factor(step) <= 1.0 for step in range(num_steps))


@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_after_the_end_are_not_negative(name: str) -> None:
    assert schedule(name, num_steps=10)(25) >= 0.0


def test_linear_is_two_straight_lines() -> None:
    factor = schedule("linear", num_steps=10, warmup=0.2)
    expected = [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    assert [factor(step) for step in range(10)] == pytest.approx(expected)


def test_cosine_is_half_way_down_in_the_middle() -> None:
    factor = schedule("cosine", num_steps=10, warmup=0.0)
    assert factor(5) == pytest.approx(0.5)
    assert factor(1) == pytest.approx((1 + math.cos(math.pi / 10)) / 2)


def test_inverse_sqrt_is_the_formula_of_the_paper_with_peak_one() -> None:
    factor = schedule("inverse_sqrt", num_steps=100, warmup=0.1)
    num_warmup = 11  # the peak is at step 10, the eleventh
    for step in range(100):
        number = step + 1
        noam = min(number**-0.5, number * num_warmup**-1.5)
        assert factor(step) == pytest.approx(noam * num_warmup**0.5)


def test_one_cycle_ends_where_torch_ends() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    # torch puts the peak at step pct_start * total_steps - 1; ours is one step later.
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=50, pct_start=16 / 50, cycle_momentum=False
    )
    factor = schedule("one_cycle", num_steps=50, warmup=0.3)
    for step in range(50):
        assert factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < 49:
            reference.step()


def test_slanted_triangular_is_the_formula_of_the_paper() -> None:
    T, cut_frac, ratio = 200, 0.1, 32
    factor = schedule("slanted_triangular", num_steps=T, warmup=cut_frac)
    cut = math.floor(T * cut_frac)
    for t in range(T):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        assert factor(t) == pytest.approx((1 + p * (ratio - 1)) / ratio)


def test_constant_without_warmup_is_one() -> None:
    factor = schedule("constant", num_steps=5, warmup=0.0)
    assert [factor(step) for step in range(5)] == [1.0] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linaer", 10), "one of constant, linear, cosine, .*, got 'linaer'"),
        (("linear", 0), "num_steps must be at least 1, got 0"),
        (("linear", 10, 1.0), r"warmup is a share of the steps in \[0, 1\), got 1.0"),
        (("linear", 10, -0.1), "warmup is a share"),
    ],
)
def test_mistakes_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedule(*arguments)
