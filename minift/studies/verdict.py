"""The rule that turns figures into a verdict: shown, not shown, or reversed.

A finding holds an estimate against the level at which there would be no effect (a difference of 0,
a ratio of 1). It is shown if the whole 95% interval lies on the side that is claimed, reversed if
the whole of it lies on the other, else not shown: the seeds do not agree, or are too few to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minift.studies.statistics import Summary

SHOWN, NOT_SHOWN, REVERSED = "shown", "not shown", "reversed"
RULE = (
    "A finding is shown if the whole 95% interval lies on the claimed side of its level, reversed "
    "if all of it lies on the other side, and not shown if the level is within. The claim is shown "
    "if every finding is; it is reversed if some are reversed and none is shown; else it is not "
    "shown."
)


class Finding(NamedTuple):
    """One thing that the claim says, and whether the numbers say it too."""

    what: str
    estimate: Summary
    claimed: str
    outcome: str
    spec: str  # how its numbers are written


def above(what: str, estimate: Summary, level: float = 0.0, spec: str = "+.1%") -> Finding:
    """Claimed: the estimate lies above the level."""
    outcome = _outcome(estimate.low > level, estimate.high < level)
    return Finding(what, estimate, f"above {_written(level, spec)}", outcome, spec)


def below(what: str, estimate: Summary, level: float = 0.0, spec: str = "+.1%") -> Finding:
    """Claimed: the estimate lies below the level."""
    outcome = _outcome(estimate.high < level, estimate.low > level)
    return Finding(what, estimate, f"below {_written(level, spec)}", outcome, spec)


def verdict_of(findings: Sequence[Finding]) -> str:
    """What the findings come to together."""
    outcomes = {finding.outcome for finding in findings}
    return _outcome(outcomes == {SHOWN}, REVERSED in outcomes and SHOWN not in outcomes)


def _written(level: float, spec: str) -> str:
    return f"{100 * level:g}%" if level and spec.endswith("%") else f"{level:g}"


def _outcome(is_shown: bool, is_reversed: bool) -> str:
    return SHOWN if is_shown else REVERSED if is_reversed else NOT_SHOWN
