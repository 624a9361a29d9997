"""The study `frozen` in small: what its figures say of each way; the rule on planted numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from minift.studies.cv.frozen import FROZEN, NO_GRADIENT, RATE_0, STUDY, WAYS, Settings, run
from minift.studies.cv.pretrained import Source, pretrained
from minift.studies.results import Results
from minift.studies.verdict import REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Source("resnet8", num_pictures=64, image_size=8, epochs=1, batch_size=32),
    num_train=64, num_test=40, num_steps=3, batch_size=16, max_norm=0.01,
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    source = pretrained(SETTINGS.source, seed=0)
    source.make(folder, **source.arguments)
    return {row["way"]: row for row in run(SETTINGS, {"seed": 0}, folder)}


def test_only_frozen_statistics_stand_still(rows: dict[str, dict[str, Any]]) -> None:
    assert rows[FROZEN]["drift"] == 0
    assert rows[RATE_0]["drift"] == rows[NO_GRADIENT]["drift"] > 0


def test_a_frozen_trunk_still_knows_the_source(rows: dict[str, dict[str, Any]]) -> None:
    assert rows[FROZEN]["source_accuracy"] == rows[FROZEN]["before"]


def test_only_a_rate_of_0_keeps_what_a_backward_pass_needs(rows: dict[str, dict[str, Any]]) -> None:
    assert rows[RATE_0]["megabytes"] > 10 * rows[FROZEN]["megabytes"] > 0
    assert rows[NO_GRADIENT]["megabytes"] == rows[FROZEN]["megabytes"]


def test_only_a_rate_of_0_lets_the_trunk_take_part_in_clipping(
    rows: dict[str, dict[str, Any]],
) -> None:
    assert rows[RATE_0]["trunk_share"] > 0.01
    assert rows[RATE_0]["head_gradient"] < 0.999
    for way in (NO_GRADIENT, FROZEN):
        assert rows[way]["trunk_share"] == pytest.approx(0, abs=1e-5)
        assert rows[way]["head_gradient"] == pytest.approx(1, abs=1e-5)
    # Where all is clipped to one norm, the head keeps the root of its share.
    share = 1 - rows[RATE_0]["trunk_share"]
    assert rows[RATE_0]["head_gradient"] == pytest.approx(share**0.5, abs=0.05)


def test_rows_have_every_figure(rows: dict[str, dict[str, Any]]) -> None:
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert all(names <= row.keys() for row in rows.values())


def planted(sign: int) -> Results:
    """Three seeds in which a rate of 0 and requires_grad=False do harm, or good for sign = -1."""
    rows = []
    for seed in range(3):
        for way in WAYS:
            harm = 0.0 if way == FROZEN else sign * (0.2 + seed / 100)
            rows.append({
                "seed": seed, "way": way, "drift": abs(harm) if sign > 0 else 0.1 - harm,
                "source_accuracy": 0.6 - harm, "milliseconds": 3 + harm, "megabytes": 3 + harm,
                "head_gradient": 1 - harm,
            })  # fmt: skip
    return Results(rows)


def test_the_rule_shows_or_reverses_the_claim() -> None:
    assert verdict_of(STUDY.judge(planted(1))) == SHOWN
    # A drift is none below 0.
    assert [f.outcome for f in STUDY.judge(planted(-1))] == [SHOWN, REVERSED, REVERSED, REVERSED]
