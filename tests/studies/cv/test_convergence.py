"""The study `convergence` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.studies.cv.convergence import (
    METHODS,
    PRETRAINED,
    PRETRAINED_LONG,
    SCRATCH,
    SCRATCH_LONG,
    STUDY,
    Settings,
    run,
    steps_to_reach,
)
from minift.studies.cv.pretrained import Source, pretrained
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Source("resnet8", num_pictures=64, image_size=8, epochs=1, batch_size=32), num_train=64,
    num_steps=4, times_longer=2, batch_size=16, score_every=2, num_test=40,
)  # fmt: skip


def test_each_run_has_its_curve_and_its_end(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = pretrained(SETTINGS.source, seed=0)
    source.make(tmp_path, **source.arguments)
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    lengths = {PRETRAINED: 4, SCRATCH: 4, PRETRAINED_LONG: 8, SCRATCH_LONG: 8}
    for method, num_steps in lengths.items():
        *curve, end = run(SETTINGS, {"method": method, "seed": 0}, tmp_path)
        assert [row["step"] for row in curve] == list(range(2, num_steps + 1, 2))
        assert end["steps"] == num_steps
        assert end["accuracy"] == curve[-1]["score"]  # the last, whether it is the best or not
        assert names <= end.keys()


def planted(curves: tuple[list[float], ...]) -> Results:
    """The scores after 10, 20, ... steps, a little higher with each seed."""
    rows = []
    for seed in range(3):
        for method, curve in zip(METHODS, curves):
            scores = [value * (1 + seed / 100) for value in curve]
            for number, value in enumerate(scores, start=1):
                rows.append({"seed": seed, "method": method, "step": 10 * number, "score": value})
            rows.append({"seed": seed, "method": method, "accuracy": scores[-1]})
    return Results(rows)


FAST, SLOW = [0.5, 0.75, 0.8], [0.1, 0.2, 0.3]
FAST_LONG, SLOW_LONG = [0.4, 0.75, 0.8, 0.8, 0.8, 0.8], [0.1, 0.2, 0.3, 0.5, 0.75, 0.79]


def test_a_run_that_never_gets_there_counts_with_all_its_steps() -> None:
    results = planted((FAST, SLOW, FAST_LONG, SLOW_LONG))
    reached = [steps_to_reach(results, method) for method in METHODS]
    assert reached == [dict.fromkeys(range(3), steps) for steps in (20, 30, 20, 50)]


@pytest.mark.parametrize(
    ("curves", "verdict"),
    [
        ((FAST, SLOW, FAST_LONG, SLOW_LONG), SHOWN),
        ((FAST, SLOW, FAST_LONG, [*SLOW_LONG[:-1], 0.7]), NOT_SHOWN),  # ends higher as well
        (([0.5, 0.8, 0.9], SLOW, FAST_LONG, SLOW_LONG), NOT_SHOWN),  # than the short one alone
        ((FAST, SLOW, [*FAST_LONG[:-1], 0.9], SLOW_LONG), NOT_SHOWN),  # than the long one alone
        ((SLOW, FAST, SLOW_LONG, [*FAST_LONG[:-1], 0.2]), REVERSED),
    ],
)
def test_the_rule_on_planted_numbers(curves: tuple[list[float], ...], verdict: str) -> None:
    assert verdict_of(STUDY.judge(planted(curves))) == verdict
