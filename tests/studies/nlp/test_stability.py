"""The study `stability` in small, and its rule on planted numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.report import Report
from minift.studies.nlp import labelled
from minift.studies.nlp.pretrained import Reading, pretrained
from minift.studies.nlp.stability import (
    CORRECTED,
    NUM_POINTS,
    OLD,
    REMEDIES,
    STUDY,
    Settings,
    decades_lost,
    recipe_name,
    run,
    shown_stages,
    thinned,
)
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

READING = Reading(
    num_documents=100, num_steps=2, batch_size=8, max_sentences=1, head="mlm", lr=5e-3,
    hidden_size=16, num_layers=2,
)  # fmt: skip
SETTINGS = Settings(READING, num_labels=16, short_epochs=1, long_epochs=2, num_test=32)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    reading = pretrained(READING, seed=0)
    reading.make(folder, **reading.arguments)
    return folder


def test_the_grid_has_every_combination_once_and_one_trunk() -> None:
    grid = STUDY.cells(SETTINGS)
    assert len({tuple(cell.values()) for cell in grid}) == len(grid) == 12
    assert all(cell in grid for pair in REMEDIES.values() for cell in pair)
    assert STUDY.needs is not None
    asked = [STUDY.needs(SETTINGS, {**OLD, "seed": seed}).arguments for seed in range(3)]
    assert asked[0] == asked[1] == asked[2]


def test_a_remedy_changes_its_own_setting_alone(
    trunk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[FinetuneConfig] = []
    monkeypatch.setattr(labelled, "finetune", lambda model, train, config: used.append(config))
    for cell in (OLD, *(remedy for remedy, _ in REMEDIES.values())):
        run(SETTINGS, {**cell, "seed": 0}, trunk)
    found = [(each.epochs, each.bias_correction, each.num_reinit) for each in used]
    assert found == [
        (1, False, 0), (1, True, 0), (2, True, 0), (2, True, 0), (1, True, 2), (1, True, 3),
    ]  # fmt: skip
    assert len({replace(each, epochs=1, bias_correction=True, num_reinit=0) for each in used}) == 1


def test_a_run_has_every_figure_and_failed_if_it_is_no_better_than_the_majority(
    trunk: Path,
) -> None:
    row = run(SETTINGS, {**OLD, "seed": 0}, trunk)
    figures = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert set(row) == {*figures, "norms"}
    assert row["failed"] == (row["accuracy"] <= row["majority"])
    assert row == run(SETTINGS, {**OLD, "seed": 0}, trunk)
    assert set(run(SETTINGS, {**OLD, "layers_anew": 1, "seed": 0}, trunk)) == {
        "accuracy", "majority", "failed",
    }  # fmt: skip


@pytest.mark.parametrize("cell", [OLD, CORRECTED])
def test_gradients_of_the_short_recipes_are_kept_step_by_step(
    trunk: Path, cell: dict[str, object]
) -> None:
    settings = replace(SETTINGS, num_labels=48)  # three batches
    row = run(settings, {**cell, "seed": 0}, trunk)
    assert list(row["norms"]) == ["block0", "block1", "pooler"]
    assert math.isfinite(row["decades_lost"])
    for norms in row["norms"].values():
        assert [step for step, _ in norms] == [1, 2, 3]
        assert all(norm > 0 for _, norm in norms)


def test_few_stages_and_steps_are_drawn_of_a_deep_network_and_a_long_run() -> None:
    stages = ["embedding", *(f"block{k}" for k in range(6)), "pooler"]
    assert shown_stages(stages) == ["block0", "block3", "block5", "pooler"]
    assert thinned([0.12345, 2.0]) == [(1, 0.1235), (2, 2.0)]
    points = thinned([1.0] * 97)
    assert len(points) <= NUM_POINTS
    assert [step for step, _ in points[:3]] == [1, 5, 9]


def test_decades_are_counted_in_the_second_half_and_survive_a_gradient_of_zero() -> None:
    assert decades_lost([1.0, 0.01, 0.01], [1.0, 1.0, 1.0]) == pytest.approx(2)
    assert decades_lost([0.0, 0.0], [0.0, 1.0]) == pytest.approx(12)
    assert decades_lost([0.0, 0.0], [0.0, 0.0]) == 0


def test_the_picture_has_a_dot_a_run_and_the_gradients_of_the_worst_and_the_best() -> None:
    rows = [
        {"seed": seed, **cell, "accuracy": 0.5 + seed / 10, "majority": 0.5, "failed": 0.0,
         "norms": {"block0": [[1, 0.1], [2, 0.01]], "pooler": [[1, 1.0], [2, 0.0]]}}
        for seed in range(3) for cell in (OLD, CORRECTED)
    ]  # fmt: skip
    assert STUDY.draw is not None
    report = Report("page")
    STUDY.draw(report, Results(rows))
    page = report.html()
    for row in rows:
        assert f"{recipe_name(row)}: {row['accuracy']:.4g}</title>" in page
    assert f"lowest accuracy, 50.0%: {recipe_name(OLD)}, seed 0" in page
    assert f"highest accuracy, 70.0%: {recipe_name(CORRECTED)}, seed 2" in page


@pytest.mark.parametrize(
    ("gain", "rarer", "verdict"), [(0.1, 1, SHOWN), (-0.1, -1, REVERSED), (0.1, 0, NOT_SHOWN)]
)
def test_the_rule_on_planted_numbers(gain: float, rarer: int, verdict: str) -> None:
    """Each step from the old recipe to the corrected and on to a further remedy gains as much."""
    steps = {tuple(OLD.values()): 0, tuple(CORRECTED.values()): 1}
    rows = [
        {"seed": seed, **cell, "accuracy": 0.6 + seed / 100 + gain * step,
         "failed": float(failed), "decades_lost": 3.0 * failed + seed / 10}
        for seed in range(8) for cell in STUDY.cells(SETTINGS)
        for step in [steps.get(tuple(cell.values()), 2)]
        for failed in [seed < 6 and rarer == (1 if cell == OLD else -1)]
    ]  # fmt: skip
    assert verdict_of(STUDY.judge(Results(rows))) == verdict


@pytest.mark.parametrize(("of_failed", "outcome"), [(2.0, SHOWN), (0.2, NOT_SHOWN)])
def test_gradients_have_vanished_if_failed_runs_lost_more_than_others(
    of_failed: float, outcome: str
) -> None:
    rows = [
        {"seed": seed, **cell, "accuracy": 0.5, "failed": float(seed < 2),
         "decades_lost": of_failed + seed if seed < 2 else 1.0}
        for seed in range(4) for cell in STUDY.cells(SETTINGS)
    ]  # fmt: skip
    finding = STUDY.judge(Results(rows))[-1]
    assert "decades" in finding.what
    assert finding.estimate.mean == pytest.approx(of_failed - 0.5)
    assert finding.outcome == outcome
