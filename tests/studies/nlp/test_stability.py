"""The study `stability` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.recipes.finetuning import FinetuneConfig
from minift.studies.nlp import labelled
from minift.studies.nlp.pretrained import Reading, pretrained
from minift.studies.nlp.stability import OLD, REMEDIES, STUDY, Settings, run
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

READING = Reading(
    num_documents=100, num_steps=2, batch_size=8, max_sentences=1, head="mlm", lr=5e-3,
    hidden_size=16, num_layers=2,
)  # fmt: skip
SETTINGS = Settings(
    READING, task="sentiment", num_labels=16, short_epochs=1, long_epochs=2, num_test=32
)


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
    assert all(cell in grid for cell in (OLD, *REMEDIES.values()))
    assert STUDY.needs is not None
    asked = [STUDY.needs(SETTINGS, {**OLD, "seed": seed}).arguments for seed in range(3)]
    assert asked[0] == asked[1] == asked[2]


def test_a_remedy_changes_its_own_setting_alone(
    trunk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[FinetuneConfig] = []
    monkeypatch.setattr(labelled, "finetune", lambda model, train, config: used.append(config))
    for cell in (OLD, *REMEDIES.values()):
        run(SETTINGS, {**cell, "seed": 0}, trunk)
    found = [(each.epochs, each.bias_correction, each.num_reinit) for each in used]
    assert found == [(1, False, 0), (1, True, 0), (2, False, 0), (1, False, 2), (1, False, 3)]


def test_a_run_has_every_figure_and_failed_if_it_is_no_better_than_the_majority(
    trunk: Path,
) -> None:
    row = run(SETTINGS, {**OLD, "seed": 0}, trunk)
    assert {name for figure in STUDY.figures for name in (figure.name, *figure.levels)} == set(row)
    assert row["failed"] == (row["accuracy"] <= row["majority"])
    assert row == run(SETTINGS, {**OLD, "seed": 0}, trunk)


@pytest.mark.parametrize(
    ("gain", "rarer", "verdict"), [(0.1, 1, SHOWN), (-0.1, -1, REVERSED), (0.1, 0, NOT_SHOWN)]
)
def test_the_rule_on_planted_numbers(gain: float, rarer: int, verdict: str) -> None:
    rows = [
        {"seed": seed, **cell, "accuracy": 0.6 + seed / 100 + gain * (cell != OLD),
         "failed": float(rarer == (1 if cell == OLD else -1))}
        for seed in range(3) for cell in (OLD, *REMEDIES.values())
    ]  # fmt: skip
    assert verdict_of(STUDY.judge(Results(rows))) == verdict
