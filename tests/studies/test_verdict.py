"""The rule, on planted numbers."""

from __future__ import annotations

import pytest

from minift.studies.statistics import summarize
from minift.studies.verdict import (
    NOT_SHOWN,
    REVERSED,
    SHOWN,
    above,
    below,
    verdict_of,
)


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([0.1, 0.2, 0.15], SHOWN),
        ([-0.1, 0.2, 0.15], NOT_SHOWN),  # the seeds do not agree
        ([-0.1, -0.2, -0.15], REVERSED),
        ([0.0, 0.0, 0.0], NOT_SHOWN),
        ([0.4], NOT_SHOWN),  # one seed shows nothing
    ],
)
def test_the_interval_decides(values: list[float], outcome: str) -> None:
    assert above("", summarize(values)).outcome == outcome
    assert below("", summarize([-value for value in values])).outcome == outcome


def test_the_level_is_where_there_would_be_no_effect() -> None:
    ratio = summarize([1.1, 1.3, 1.2])
    assert above("", ratio, 1.0).outcome == SHOWN
    assert above("", ratio, 1.5).outcome == REVERSED
    assert below("", ratio, 1.25).outcome == NOT_SHOWN


def test_a_level_is_written_like_the_numbers_beside_it() -> None:
    ratio = summarize([1.1, 1.3, 1.2])
    assert above("", ratio, 1.0, ".2f").claimed == "above 1"
    assert above("", ratio, -0.02).claimed == "above -2%"
    assert below("", ratio).claimed == "below 0"


@pytest.mark.parametrize(
    ("lows", "verdict"),
    [
        ((0.1, 0.2), SHOWN),
        ((0.1, -0.2), NOT_SHOWN),  # one for it, one against
        ((0.1, 0.0), NOT_SHOWN),
        ((-0.1, -0.2), REVERSED),
        ((-0.1, 0.0), REVERSED),
        ((0.0, 0.0), NOT_SHOWN),
    ],
)
def test_a_claim_is_shown_by_all_its_findings(lows: tuple[float, ...], verdict: str) -> None:
    findings = [above("", summarize([low, low])) for low in lows]
    assert verdict_of(findings) == verdict
