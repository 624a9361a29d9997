"""A mean over seeds and how sure it is: the percentile bootstrap (Efron & Tibshirani 1993, ch. 13).

The seeds that were run stand for all that could have been. Drawing as many of them with
replacement, again and again, shows how far the mean would move with other seeds; between the
2.5th and the 97.5th percentile of these means lies the 95% interval.

With few seeds that would be too narrow: the n values spread less than all that could have been, and
say little about how much those spread. So percentiles further out are taken, as far as Student's t
goes beyond the normal distribution (the expanded percentile interval of Hesterberg 2015, What
Teachers Should Know About the Bootstrap). With two to four seeds it reaches from the lowest to the
highest value; more cannot be had from them, and of n values all lie on one side of the truth in
2^(1-n) of the cases: half with two seeds, an eighth with four.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, mean, stdev
from typing import NamedTuple

import numpy as np

NUM_RESAMPLES = 10_000
CONFIDENCE = 0.95


class Summary(NamedTuple):
    """A figure over its seeds. Of a single seed only the mean is known; the rest is NaN."""

    mean: float
    sd: float  # standard deviation over the seeds, with n - 1
    low: float  # the 95% interval of the mean
    high: float
    num_seeds: int  # n


def summarize(values: Sequence[float], seed: int = 0) -> Summary:
    """Mean, standard deviation and 95% interval of finite values; the same values, the same result.

    seed : of the resampling alone.

    Raises
    ------
    ValueError : no values, or one that is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"values must be at least one, all finite, got {list(values)}")
    n = len(values)
    if n == 1:
        return Summary(values[0], math.nan, math.nan, math.nan, 1)
    # Of equal values the mean is that value, and no rounding may leave it.
    means = _means(values, np.random.default_rng(seed)).clip(min(values), max(values))
    return Summary(mean(values), stdev(values), *_interval(means, n), n)


def unpaired(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Summary:
    """`first` minus `second`, which are other runs: each group is drawn from for itself.

    NaN but for the number of runs where a group has fewer than two; the deviation is none's.
    """
    smaller = min(len(first), len(second))
    if smaller < 2:
        return Summary(math.nan, math.nan, math.nan, math.nan, smaller)
    rng = np.random.default_rng(seed)
    differences = _means(first, rng) - _means(second, rng)
    low, high = _interval(differences, smaller)
    return Summary(mean(first) - mean(second), math.nan, low, high, smaller)


def _means(values: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    draws = rng.integers(len(values), size=(NUM_RESAMPLES, len(values)))
    return np.asarray(values, np.float64)[draws].mean(axis=1)


def _interval(means: np.ndarray, n: int) -> tuple[float, float]:
    tail = _tail(n)
    low, high = np.quantile(means, [tail, 1 - tail]).tolist()
    return low, high


def _tail(n: int) -> float:
    """The share of the means of n values that lies beyond either end: 2.5% of many, less of few.

    The quantile of Student's t is that of Abramowitz & Stegun 1964, 26.7.5.
    """
    normal, df = NormalDist(), n - 1
    z = normal.inv_cdf((1 + CONFIDENCE) / 2)
    t = (
        z
        + (z**3 + z) / (4 * df)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
    )
    return normal.cdf(-t * math.sqrt(n / df))
