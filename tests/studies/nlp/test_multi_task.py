"""The study `multi-task` in small, and its rule on planted numbers."""

from __future__ import annotations

import pytest
import torch

from minift.recipes.story_nlp import T5_TASKS
from minift.studies.nlp.multi_task import (
    EACH,
    ONE,
    PRETRAINED,
    SPLITS,
    STUDY,
    Settings,
    run,
)
from minift.studies.nlp.self_supervised import SPANS, Budget, reader
from minift.studies.results import Results, Row
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Budget(num_documents=100, num_steps=2, hidden_size=16, num_layers=1),
    num_labels=96, epochs=4, batch_size=8, lr=1e-2, num_test=24,
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """One model or one a task -> a row for each task and split, from pretrained weights."""
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    reading = reader(SETTINGS.budget, SPANS, seed=0)
    reading.make(folder, **reading.arguments)
    return {
        cell["models"]: run(SETTINGS, {**cell, "seed": 0}, folder)
        for cell in STUDY.cells(SETTINGS)
        if cell["start"] == PRETRAINED
    }


def test_every_task_and_split_has_every_figure(rows: dict[str, list[Row]]) -> None:
    for weights, *found in rows.values():
        assert weights.keys() == {"weights"}
        assert {(row["task"], row["words"]) for row in found} == {
            (task, words) for task in T5_TASKS for words in SPLITS
        }
        assert all(row.keys() == {"task", "words", "right", "commonest"} for row in found)


def test_one_model_has_the_weights_of_one(rows: dict[str, list[Row]]) -> None:
    one, each = (rows[models][0]["weights"] for models in (ONE, EACH))
    assert len(T5_TASKS) * one == each


def test_one_model_learns_to_tell_the_tasks_apart(rows: dict[str, list[Row]]) -> None:
    """Only the class has two answers, and only a model that reads the first word names them."""
    found = {(row["task"], row["words"]): row for row in rows[ONE][1:]}
    row = found["class", "words of the labels"]
    assert row["right"] > row["commonest"]


def planted(gain: float, weights: float) -> Results:
    """By how much one model is ahead, and its share of the weights."""
    return Results([
        {"seed": seed, "start": PRETRAINED, "models": models, **row}
        for seed in range(3) for models in (ONE, EACH)
        for row in (
            {"weights": weights if models == ONE else 1.0},
            *({"task": task, "words": words, "right": 0.7 + seed / 100 + gain * (models == ONE)}
              for task in T5_TASKS for words in SPLITS),
        )
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("gain", "weights", "verdict"),
    [(-0.01, 1 / 3, SHOWN), (-0.1, 1 / 3, NOT_SHOWN), (-0.1, 1.0, REVERSED)],
)
def test_the_rule_on_planted_numbers(gain: float, weights: float, verdict: str) -> None:
    assert verdict_of(STUDY.judge(planted(gain, weights))) == verdict
