"""A mean over seeds and how sure it is: the percentile bootstrap (Efron & Tibshirani 1993, ch. 13).

The seeds that were run stand for all that could have been. Drawing as many of them with
replacement, again and again, shows how far the mean would move with other seeds; between the
2.5th and the 97.5th percentile of these means lies the 95% interval.

With few seeds it is too narrow: of n there are only the n values to draw from. With three, no
draw is rarer than 1 in 27, and the interval reaches from the lowest to the highest value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev
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
    if len(values) == 1:
        return Summary(values[0], math.nan, math.nan, math.nan, 1)
    n = len(values)
    draws = np.random.default_rng(seed).integers(n, size=(NUM_RESAMPLES, n))
    means = np.asarray(values, np.float64)[draws].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    # Of equal values the mean is that value, and no rounding may leave it.
    low, high = np.quantile(means, [tail, 1 - tail]).clip(min(values), max(values)).tolist()
    return Summary(mean(values), stdev(values), low, high, n)
