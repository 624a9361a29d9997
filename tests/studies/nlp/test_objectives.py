"""The study `objectives` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from minift.data.world_tasks import TASKS
from minift.recipes.report import Report
from minift.studies.nlp import objectives
from minift.studies.nlp.objectives import PAIRS, STUDY, WORDS_DECIDE, Settings, run, scratch
from minift.studies.nlp.self_supervised import (
    CBOW,
    MASKED,
    MASKED_PAIRS,
    NEXT,
    OBJECTIVES,
    SKIP_GRAM,
    SPANS,
    Budget,
)
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

BUDGET = Budget(num_documents=100, num_steps=2, hidden_size=16, num_layers=1)
SETTINGS = Settings(BUDGET, num_labels=16, epochs=1, num_test=32)


@pytest.fixture(scope="module")
def trunks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """objective -> a folder; one for each family."""
    assert STUDY.needs is not None
    folders = {}
    for objective in (CBOW, MASKED, NEXT, SPANS):
        torch.manual_seed(0)
        folders[objective] = tmp_path_factory.mktemp("trunk")
        reading = STUDY.needs(SETTINGS, {"objective": objective, "seed": 0})
        reading.make(folders[objective], **reading.arguments)
    return folders


def test_each_task_has_every_objective_and_each_model_a_control() -> None:
    grid = STUDY.cells(SETTINGS)
    assert len(grid) == len(TASKS) * (6 + 4)
    assert {scratch(MASKED), scratch(MASKED_PAIRS)} == {scratch(MASKED)}
    assert STUDY.needs is not None
    control, own = (
        STUDY.needs(SETTINGS, {"objective": name, "seed": 0}) for name in (scratch(NEXT), NEXT)
    )
    assert control == own  # of which it takes the tokenizer and the sizes


@pytest.mark.parametrize("task", [WORDS_DECIDE, "answer"])
@pytest.mark.parametrize("objective", [CBOW, MASKED, NEXT, SPANS])
def test_every_family_learns_classes_and_spans(
    trunks: dict[str, Path], objective: str, task: str
) -> None:
    cell = {"task": task, "objective": objective, "seed": 0}
    row = run(SETTINGS, cell, trunks[objective])
    assert row.keys() == {"accuracy", "majority"}
    assert row["majority"] == 0.5 if task == WORDS_DECIDE else 0 < row["majority"] < 0.5
    assert row == run(SETTINGS, cell, trunks[objective])


def test_from_scratch_nothing_of_pretraining_is_left(
    trunks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Tensor]] = []
    monkeypatch.setattr(
        objectives, "learn", lambda model, *rest: ({}, started.append(model.trunk.state_dict()))
    )
    for objective in (MASKED, scratch(MASKED)):
        run(SETTINGS, {"task": WORDS_DECIDE, "objective": objective, "seed": 0}, trunks[MASKED])
    pretrained, anew = started
    weights = [name for name in anew if name.endswith("weight") and "norm" not in name]
    assert weights
    assert not any(torch.equal(pretrained[name], anew[name]) for name in weights)


def planted(gains: dict[str, dict[str, float]]) -> Results:
    """objective -> task -> what it adds to 50%; from scratch, nothing is added."""
    controls = dict.fromkeys(map(scratch, OBJECTIVES), dict.fromkeys(TASKS, 0.0))
    return Results([
        {"seed": seed, "task": task, "objective": objective, "majority": 0.5,
         "accuracy": 0.5 + seed / 100 + by_task[task]}
        for seed in range(3) for objective, by_task in (gains | controls).items() for task in TASKS
    ])  # fmt: skip


def claimed(sign: float) -> dict[str, dict[str, float]]:
    """As the claim has it, or with a sign of -1 the other way round."""
    gains = {
        name: {task: 0.1 if name in (MASKED, MASKED_PAIRS) else 0.05 for task in TASKS}
        for name in OBJECTIVES
    }
    for words in (CBOW, SKIP_GRAM):
        gains[words] = {task: 0.15 if task == WORDS_DECIDE else 0.01 for task in TASKS}
    for task in PAIRS:
        gains[MASKED_PAIRS][task] += 0.1
    return {name: {t: sign * gain for t, gain in by.items()} for name, by in gains.items()}


def test_the_rule_on_planted_numbers() -> None:
    assert verdict_of(STUDY.judge(planted(claimed(+1)))) == SHOWN
    assert verdict_of(STUDY.judge(planted(claimed(-1)))) == REVERSED


@pytest.mark.parametrize("task", PAIRS)
def test_it_is_not_shown_where_next_sentences_add_nothing_on_a_task_of_pairs(task: str) -> None:
    gains = claimed(+1)
    gains[MASKED_PAIRS][task] = gains[MASKED][task]
    assert verdict_of(STUDY.judge(planted(gains))) == NOT_SHOWN


def test_the_rule_of_the_quick_form_needs_no_more_than_it_has() -> None:
    grid = STUDY.cells(STUDY.quick)
    rows = [row for row in planted(claimed(+1)).rows
            if {"task": row["task"], "objective": row["objective"]} in grid]  # fmt: skip
    findings = STUDY.judge(Results(rows))
    assert len(findings) == 4
    assert verdict_of(findings) == SHOWN


def test_the_picture_has_a_row_and_a_bar_for_each_objective() -> None:
    report = Report("objectives")
    assert STUDY.draw is not None
    STUDY.draw(report, planted(claimed(+1)))
    page = report.html()
    assert all(page.count(f">{name}<") >= 1 + len(TASKS) for name in OBJECTIVES)
