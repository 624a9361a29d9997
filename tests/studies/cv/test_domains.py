"""The study `domains` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.models.registry import create_model
from minift.studies.cv.domains import (
    DOMAINS,
    FURTHER,
    NEAR,
    QUICK,
    SCRATCH,
    STUDY,
    Settings,
    cells,
    most_frozen,
    run,
)
from minift.studies.cv.pretrained import Source, pretrained
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Source("resnet8", num_pictures=64, image_size=8, epochs=1, batch_size=32), (0, 2, 4),
    num_train=24, min_steps=4, batch_size=8, num_test=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    source = pretrained(SETTINGS.source, seed=0)
    source.make(folder, **source.arguments)
    return folder


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_more_is_frozen_the_less_is_trained(trunk: Path, domain: str) -> None:
    rows = [
        run(SETTINGS, {"domain": domain, "num_frozen": number, "seed": 0}, trunk)
        for number in SETTINGS.num_frozen
    ]
    none, some, every = (row["trained"] for row in rows)
    assert none == 1 > some > every > 0
    scratch = run(SETTINGS, {"domain": domain, "start": SCRATCH, "seed": 0}, trunk)
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert all(row.keys() | scratch.keys() == names for row in rows)


@pytest.mark.parametrize("settings", [STUDY.settings, QUICK])
def test_the_grid_goes_from_none_frozen_to_all(settings: Settings) -> None:
    num_stages = len(create_model(settings.source.model, head=None).trunk)
    for domain in DOMAINS:
        grid = [cell for cell in cells(settings) if cell["domain"] == domain]
        assert grid[0]["start"] == SCRATCH
        found = [cell["num_frozen"] for cell in grid[1:]]
        assert found == list(range(num_stages + 1))


def planted(slopes: dict[str, float]) -> Results:
    """What each further frozen stage adds to the accuracy, by domain."""
    scratch = [
        {"seed": seed, "domain": domain, "scratch": 0.1} for seed in range(3) for domain in slopes
    ]
    return Results(scratch + [
        {"seed": seed, "domain": domain, "num_frozen": number,
         "accuracy": 0.6 + seed / 100 + number * slope * (1 + seed / 10)}
        for seed in range(3) for domain, slope in slopes.items() for number in range(5)
    ])  # fmt: skip


def test_of_numbers_that_are_about_as_good_the_largest_is_meant() -> None:
    results = planted({"near": 0.001, "mid": -0.008, "far": -0.1})
    found = {domain: set(most_frozen(results, domain).values()) for domain in DOMAINS}
    assert found == {"near": {4}, "mid": {2}, "far": {0}}


def test_the_rule_on_planted_numbers() -> None:
    good, bad = {NEAR: 0.02}, dict.fromkeys(FURTHER, -0.05)
    assert verdict_of(STUDY.judge(planted({**good, **bad}))) == SHOWN
    assert verdict_of(STUDY.judge(planted({**good, **bad, "mid": 0.03}))) == NOT_SHOWN
    turned = {NEAR: -0.05, **dict.fromkeys(FURTHER, 0.02)}
    assert verdict_of(STUDY.judge(planted(turned))) == REVERSED
