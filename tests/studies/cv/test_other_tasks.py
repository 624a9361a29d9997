"""The study `other-tasks` in small, and its rule on planted numbers."""

from __future__ import annotations

import pytest
import torch

from minift.recipes.report import Report
from minift.studies.cv.labelled import train_and_test
from minift.studies.cv.other_tasks import (
    ALL,
    FROZEN,
    METHODS,
    SCRATCH,
    STUDY,
    TARGET,
    TASKS,
    Settings,
    as_text,
    blind_answer,
    cells,
    from_text,
    run,
)
from minift.studies.cv.pretrained import Source, pretrained
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Source("resnet8", num_pictures=64, image_size=8, epochs=1, batch_size=32), sizes=(16, 32),
    min_steps=4, batch_size=8, num_test=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    source = pretrained(SETTINGS.source, seed=0)
    source.make(folder, **source.arguments)
    grid = [{**cell, "seed": 0} for cell in cells(SETTINGS)]
    return Results([{**cell, **run(SETTINGS, cell, folder)} for cell in grid])


def test_each_task_has_its_score_and_its_blind_answer(results: Results) -> None:
    for name, task in TASKS.items():
        rows = results.where(task=name).rows
        assert len(rows) == len(METHODS) * len(SETTINGS.sizes)
        assert all({task.score, task.blind} <= row.keys() for row in rows)
    levels = {figure.name: figure.levels for figure in STUDY.figures}
    assert levels == {task.score: (task.blind,) for task in TASKS.values()}


def test_the_page_shows_the_masks_of_every_method(results: Results) -> None:
    report = Report("masks")
    STUDY.draw(report, results)  # type: ignore[misc]
    page = report.html()
    assert page.count("<img") == 2 + len(METHODS)
    for method in METHODS:
        assert f'alt="{method}"' in page


def test_masks_come_back_from_text() -> None:
    masks = torch.arange(2 * 3 * 4).view(2, 3, 4) % 11
    assert torch.equal(from_text(as_text(masks)), masks)


def test_the_blind_answer_is_one_for_all() -> None:
    train, test = train_and_test(TARGET, 20, 10, seed=0, image_size=16)
    boxes = blind_answer("locate", train, test)
    assert boxes.shape == test["boxes"].shape
    assert torch.equal(boxes[3], train["boxes"].mean(dim=0))
    assert not blind_answer("segment", train, test).any()


@pytest.mark.parametrize(
    ("frozen", "tuned", "verdict"),
    [(0.1, 0.2, SHOWN), (-0.1, 0.2, NOT_SHOWN), (-0.1, -0.2, REVERSED)],
)
def test_the_rule_looks_at_the_fewer_pictures(frozen: float, tuned: float, verdict: str) -> None:
    leads = {SCRATCH: 0.0, FROZEN: frozen, ALL: tuned}
    rows = [
        {"seed": seed, "task": name, "size": size, "method": method,
         task.score: 0.3 + seed / 100 + (1 + seed / 10) * lead * (size == 60)}
        for seed in range(3) for name, task in TASKS.items() for size in (600, 60)
        for method, lead in leads.items()
    ]  # fmt: skip
    assert verdict_of(STUDY.judge(Results(rows))) == verdict
