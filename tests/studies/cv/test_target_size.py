"""The study `target-size` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.studies.cv.pretrained import Source, pretrained
from minift.studies.cv.target_size import (
    ALL,
    FAST,
    FEATURES,
    LOWER,
    METHODS,
    QUICK,
    SCRATCH,
    STUDY,
    Settings,
    config,
    run,
)
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Source("resnet8", num_pictures=64, image_size=8, epochs=1, batch_size=32),
    sizes=(16, 64), min_steps=6, min_epochs=2, batch_size=16, num_test=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    source = pretrained(SETTINGS.source, seed=0)
    source.make(folder, **source.arguments)
    return folder


def test_every_method_takes_the_same_steps_and_has_every_figure(trunk: Path) -> None:
    cells = [cell for cell in STUDY.cells(SETTINGS) if cell["size"] == 64]
    rows = {cell["method"]: run(SETTINGS, {**cell, "seed": 0}, trunk) for cell in cells}
    assert {row["steps"] for row in rows.values()} == {8}  # two epochs of four batches
    trained = [rows[method]["trained"] for method in (FEATURES, LOWER, ALL, FAST)]
    assert 0 < trained[0] < trained[1] < trained[2] == trained[3] == rows[SCRATCH]["trained"] == 1
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert all(names <= row.keys() for row in rows.values())


def test_small_targets_get_the_least_number_of_steps() -> None:
    for size in QUICK.sizes:
        made = config(QUICK, {"size": size, "method": ALL, "seed": 0}, num_stages=4)
        assert made.epochs * (size // made.batch_size) >= QUICK.min_steps
        assert made.epochs >= QUICK.min_epochs
        assert made.batch_size <= size / 4


@pytest.mark.parametrize(
    ("small", "fast", "verdict"),
    [(0.3, 0.1, SHOWN), (-0.3, 0.1, REVERSED), (0.2, 0.3, NOT_SHOWN)],
)
def test_the_rule_on_planted_numbers(small: float, fast: float, verdict: str) -> None:
    """The largest size is judged at the rate of scratch: the small one is behind there."""
    leads = {60: small, 200: small, 600: 0.2, 6000: -0.1}
    rows = [
        {"seed": seed, "size": size, "method": method, "accuracy": 0.4 + seed / 100 + gain}
        for seed in range(3) for size, lead in leads.items() for method in (*METHODS, FAST)
        for gain in [(1 + seed / 10) * {ALL: lead, FAST: fast}.get(method, 0.0)]
    ]  # fmt: skip
    assert verdict_of(STUDY.judge(Results(rows))) == verdict
