"""Means over seeds and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minift.studies.statistics import summarize, unpaired


def test_mean_and_deviation_are_the_usual_ones() -> None:
    found = summarize([0.1, 0.4, 0.7])
    assert found.mean == pytest.approx(0.4)
    assert found.sd == pytest.approx(0.3)  # with n - 1
    assert found.num_seeds == 3


def test_the_interval_is_the_same_each_time_and_within_the_values() -> None:
    values = [0.31, 0.52, 0.48, 0.40]
    found = summarize(values)
    assert found == summarize(values)
    assert min(values) <= found.low < found.mean < found.high <= max(values)


def test_of_three_seeds_the_interval_is_from_the_lowest_to_the_highest() -> None:
    found = summarize([0.2, 0.9, 0.5])
    assert (found.low, found.high) == pytest.approx((0.2, 0.9))


def test_equal_values_leave_no_doubt_and_no_rounding() -> None:
    found = summarize([0.1] * 7)
    assert (found.low, found.high) == (0.1, 0.1)


def test_the_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = summarize(values.tolist())
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)


@pytest.mark.parametrize(("num_seeds", "low", "high"), [(20, 0.92, 0.97), (5, 0.89, 0.95)])
def test_the_interval_covers_the_truth_about_as_often_as_is_said(
    num_seeds: int, low: float, high: float
) -> None:
    rng = np.random.default_rng(0)
    found = [summarize(rng.normal(size=num_seeds).tolist(), seed) for seed in range(300)]
    covered = np.mean([each.low <= 0 <= each.high for each in found])
    assert low <= covered <= high


def test_runs_that_are_no_pairs_are_uncertain_on_both_sides() -> None:
    sure, unsure = [0.5] * 5, [0.1, 0.3, 0.2, 0.15, 0.25]
    found = unpaired(sure, unsure)
    assert found.mean == pytest.approx(0.3)
    assert found.low < 0.27 < 0.33 < found.high
    turned = unpaired(unsure, sure)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=0.01)


def test_a_group_of_one_cannot_be_compared() -> None:
    assert all(map(math.isnan, unpaired([0.5], [0.1, 0.2])[:4]))


def test_of_one_seed_only_the_mean_is_known() -> None:
    found = summarize([0.5])
    assert found.mean == 0.5
    assert all(map(math.isnan, (found.sd, found.low, found.high)))


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf]])
def test_no_values_and_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values must be at least one, all finite"):
        summarize(values)
