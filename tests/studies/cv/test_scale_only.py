"""The study `scale-only` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.checkpoint import load
from minift.recipes.report import Report
from minift.studies.cv.pretrained import Source, pretrained
from minift.studies.cv.scale_only import (
    ALL,
    RANDOM,
    SCALE,
    STUDY,
    Settings,
    lowest,
    redraw,
    run,
    starting_model,
)
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Source("resnet8", num_pictures=64, image_size=8, epochs=1, batch_size=32),
    kept=(1, 2, 3), num_train=32, epochs=2, batch_size=16, num_test=20,
)  # fmt: skip
STARTS = tuple(cell["start"] for cell in STUDY.cells(SETTINGS))


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    source = pretrained(SETTINGS.source, seed=0)
    source.make(folder, **source.arguments)
    return folder


def test_redrawn_weights_have_the_same_mean_and_deviation_and_nothing_else(trunk: Path) -> None:
    model, original = load(trunk), load(trunk)
    for each in (model, original):  # unlike those of any fresh network
        for parameter in each.trunk.parameters():
            parameter.data.mul_(3).add_(0.5)
    redraw(model.trunk)
    for new, old in zip(model.trunk.parameters(), original.trunk.parameters()):
        error = old.std() / old.numel() ** 0.5  # of a mean over so many draws
        assert abs(new.mean() - old.mean()) < 5 * error
        assert abs(new.std() / old.std() - 1) < 5 / (2 * old.numel()) ** 0.5
        if old.numel() > 100:
            assert abs(torch.corrcoef(torch.stack([new.flatten(), old.flatten()]))[0, 1]) < 0.5


def test_a_redrawn_trunk_has_the_running_statistics_of_a_fresh_one(trunk: Path) -> None:
    for start, is_fresh in ((ALL, False), (SCALE, True), (RANDOM, True)):
        model = starting_model(start, trunk, seed=0)
        means = [value for name, value in model.trunk.named_buffers() if "running_mean" in name]
        assert means
        assert all((not value.any()) == is_fresh for value in means)


def test_as_many_of_the_lowest_stages_are_pretrained_as_the_start_says(trunk: Path) -> None:
    whole = list(load(trunk).trunk.stages.values())
    numbers = {}
    for start in STARTS:
        stages = starting_model(start, trunk, seed=0).trunk.stages.values()
        same = [
            all(torch.equal(a, b) for a, b in zip(new.parameters(), old.parameters()))
            for new, old in zip(stages, whole)
        ]
        numbers[start] = sum(same)
        assert all(same[: sum(same)])  # from the bottom
    assert numbers == {RANDOM: 0, SCALE: 0, lowest(1): 1, lowest(2): 2, lowest(3): 3, ALL: 4}


def test_all_starts_have_the_same_head(trunk: Path) -> None:
    heads = [starting_model(start, trunk, seed=0).head.state_dict() for start in STARTS]
    assert all(torch.equal(heads[0][name], head[name]) for head in heads for name in head)


def test_rows_are_a_curve_and_its_end(trunk: Path) -> None:
    *curve, end = run(SETTINGS, {"start": ALL, "seed": 0}, trunk)
    assert [point["step"] for point in curve] == [2, 4]  # two epochs of two batches
    assert end["accuracy"] == curve[-1]["score"]
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert end.keys() == names


@pytest.mark.parametrize(("reached", "steps"), [(0.0, 2), (1.1, 4)])
def test_steps_are_those_to_the_score_or_else_all(trunk: Path, reached: float, steps: int) -> None:
    settings = Settings(
        SETTINGS.source, num_train=32, epochs=2, batch_size=16, num_test=20, reached=reached
    )
    assert run(settings, {"start": RANDOM, "seed": 0}, trunk)[-1]["steps"] == steps


def planted(steps: dict[str, int]) -> Results:
    return Results([
        {"seed": seed, "start": start, "steps": (10 + seed) * number, "accuracy": 0.8,
         "majority": 0.2}
        for seed in range(3) for start, number in steps.items()
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "low", "verdict"),
    [
        (12, 6, SHOWN),
        (24, 6, NOT_SHOWN),
        (12, 16, NOT_SHOWN),
        (5, 5, NOT_SHOWN),  # the lower half saves no more than its scale does
        (1, 19, NOT_SHOWN),
    ],
)
def test_the_rule_on_planted_numbers(scale: int, low: int, verdict: str) -> None:
    steps = {RANDOM: 20, SCALE: scale, lowest(1): 19, lowest(2): low, lowest(3): 4, ALL: 4}
    assert verdict_of(STUDY.judge(planted(steps))) == verdict


def test_the_rule_is_reversed_where_pretraining_slows_down() -> None:
    steps = {RANDOM: 5, SCALE: 10, lowest(1): 11, lowest(2): 16, lowest(3): 17, ALL: 20}
    assert verdict_of(STUDY.judge(planted(steps))) == REVERSED


def test_the_pictures_have_a_curve_for_each_start() -> None:
    rows = planted(dict.fromkeys(STARTS, 3)).rows
    curve = [
        {"seed": 0, "start": start, "step": step, "score": 0.5}
        for start in STARTS for step in (1, 2)
    ]  # fmt: skip
    report = Report("scale-only")
    assert STUDY.draw is not None
    STUDY.draw(report, Results([*curve, *rows]))
    page = report.html()
    assert page.count("<polyline") == len(STARTS)
    assert all(start in page for start in STARTS)
