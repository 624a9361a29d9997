"""The study `multi-task` in small, and its rule on planted numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from minift.data.world_tasks import text_to_text
from minift.recipes.text_commands import TEXT_TASKS
from minift.studies.nlp.multi_task import (
    EACH,
    ONE,
    PRETRAINED,
    SPLITS,
    STUDY,
    Settings,
    config,
    new_texts,
    run,
)
from minift.studies.nlp.self_supervised import SPANS, Budget, reader
from minift.studies.results import Results, Row
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

KNOWN = "words of the labels"
ASKED = [(task, words) for task in TEXT_TASKS for words in SPLITS]
SETTINGS = Settings(
    Budget(num_documents=100, num_steps=2, hidden_size=16, num_layers=1),
    num_labels=64, epochs=6, batch_size=8, lr=1e-2, num_test=24,
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """One model or one a task -> a row for each task and split, from pretrained weights."""
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    reading = reader(SETTINGS.budget, SPANS, seed=0)
    reading.make(folder, **reading.arguments)
    settings = {ONE: SETTINGS, EACH: replace(SETTINGS, epochs=1)}
    return {
        cell["models"]: run(settings[cell["models"]], {**cell, "seed": 0}, folder)
        for cell in STUDY.cells(SETTINGS)
        if cell["start"] == PRETRAINED
    }


def test_every_task_and_split_has_every_figure(rows: dict[str, list[Row]]) -> None:
    for weights, *found in rows.values():
        assert weights.keys() == {"weights"}
        assert {(row["task"], row["words"]) for row in found} == set(ASKED)
        assert all(row.keys() == {"task", "words", "right", "commonest"} for row in found)


@pytest.mark.parametrize("settings", [STUDY.settings, STUDY.quick])
def test_only_texts_that_are_not_labelled_are_asked(settings: Settings) -> None:
    """Of opinions in the words of the labels next to all are, and none is asked."""
    for task in TEXT_TASKS:
        labelled = {source for source, _ in text_to_text(task, settings.num_labels, seed=0)}
        for words, split in SPLITS.items():
            new = new_texts(settings, task, split, seed=0)
            assert labelled.isdisjoint(source for source, _ in new)
            share = len(new) / settings.num_test
            assert share == 0 if (task, words) == ("class", KNOWN) else share > 0.95


def test_all_models_make_as_many_steps() -> None:
    one, own = (config(SETTINGS, number, seed=0).epochs for number in (len(TEXT_TASKS), 1))
    assert one * len(TEXT_TASKS) == own  # of a third of the rows


def test_one_model_has_the_weights_of_one(rows: dict[str, list[Row]]) -> None:
    one, each = (rows[models][0]["weights"] for models in (ONE, EACH))
    assert len(TEXT_TASKS) * one == each


def test_one_model_learns_to_tell_the_tasks_apart(rows: dict[str, list[Row]]) -> None:
    """Only the class has two answers, and only a model that reads the first word names them."""
    found = {(row["task"], row["words"]): row for row in rows[ONE][1:]}
    row = found["class", KNOWN]
    assert row["right"] > row["commonest"]


def planted(gain: float, own: float = 0.7) -> Results:
    """By how much one model is ahead of those of their own, and how good these are."""
    return Results([
        {"seed": seed, "start": PRETRAINED, "models": models, "task": task, "words": words,
         "right": own + (seed - 1) / 100 + (gain + seed / 1000) * (models == ONE),
         "commonest": 0.5}
        for seed in range(3) for models in (ONE, EACH) for task, words in ASKED
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("gain", "verdict"), [(-0.01, SHOWN), (-0.021, NOT_SHOWN), (-0.1, REVERSED)]
)
def test_the_rule_on_planted_numbers(gain: float, verdict: str) -> None:
    assert verdict_of(STUDY.judge(planted(gain))) == verdict


def test_what_no_model_learnt_is_not_judged() -> None:
    assert STUDY.judge(planted(gain=0.0, own=0.5)) == []
