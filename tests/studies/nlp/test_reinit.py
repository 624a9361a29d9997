"""The study `reinit` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import mean

import pytest
import torch

from minift.recipes.report import Report
from minift.studies.nlp.pretrained import Reading, pretrained
from minift.studies.nlp.reinit import STUDY, Settings, best_cut, gains, run
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

READING = Reading(
    num_documents=100, num_steps=2, batch_size=8, max_sentences=1, head="mlm", lr=5e-3,
    hidden_size=16, num_layers=1,
)  # fmt: skip
SETTINGS = Settings(READING, tasks=("sentiment",), num_labels=16, epochs=1, num_test=32)
BEST = {"flat": 0, "steep": 2}  # the planted best cuts of two tasks


def test_every_cut_runs_and_has_every_figure(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reading = pretrained(READING, seed=0)
    reading.make(tmp_path, **reading.arguments)
    rows = [run(SETTINGS, {**cell, "seed": 0}, tmp_path) for cell in STUDY.cells(SETTINGS)]
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert len(rows) == 3  # none, the pooler, the block too
    assert all(row.keys() == names for row in rows)


def planted(best: dict[str, int]) -> Results:
    """Each task is at its highest at its best cut."""
    return Results([
        {"seed": seed, "task": task, "stages_anew": cut, "majority": 0.5,
         "accuracy": 0.9 - 0.1 * abs(cut - best[task])}
        for seed in range(3) for task in best for cut in range(3)
    ])  # fmt: skip


def test_best_cut_of_equals_keeps_most() -> None:
    scores = {("a", cut, 0): accuracy for cut, accuracy in enumerate((0.5, 0.7, 0.7))}
    assert best_cut(scores, ["a"], [0]) == 1


def test_a_cut_for_each_task_gains_only_where_the_best_cuts_differ() -> None:
    assert set(gains(planted({"flat": 1, "steep": 1})).values()) == {0.0}
    # One cut for all is 0.2 away in all from the two tasks' best ones: 0.1 a task.
    assert gains(planted(BEST)) == pytest.approx(dict.fromkeys(range(3), 0.1))


def test_luck_gains_nothing() -> None:
    """Where all is noise, a cut chosen on the seed that is scored would seem to gain."""
    rng = Random(0)
    seeds, tasks, cuts = range(40), ("a", "b"), range(5)
    scores = {(t, c, s): rng.gauss(0.7, 0.05) for t in tasks for c in cuts for s in seeds}
    rows = [
        {"task": task, "stages_anew": cut, "seed": seed, "accuracy": accuracy}
        for (task, cut, seed), accuracy in scores.items()
    ]
    seeming = [
        scores[task, best_cut(scores, [task], [seed]), seed]
        - scores[task, best_cut(scores, tasks, [seed]), seed]
        for seed in seeds for task in tasks
    ]  # fmt: skip
    assert mean(seeming) > 0.01 > abs(mean(gains(Results(rows)).values()))
    assert verdict_of(STUDY.judge(Results(rows))) == NOT_SHOWN


@pytest.mark.parametrize(("best", "verdict"), [(BEST, SHOWN), ({"flat": 1, "steep": 1}, NOT_SHOWN)])
def test_the_rule_on_planted_numbers(best: dict[str, int], verdict: str) -> None:
    assert verdict_of(STUDY.judge(planted(best))) == verdict


def test_the_rule_is_reversed_where_a_cut_of_its_own_costs() -> None:
    # What is best for a task on two seeds is worst on the third; the common cut, 3, never is.
    rows = [
        {"seed": seed, "task": task, "stages_anew": cut, "majority": 0.5,
         "accuracy": 0.75 if cut == 3 else 0.4 if cut == (seed + shift) % 3 else 0.8}
        for seed in range(3) for shift, task in enumerate(("a", "b")) for cut in range(4)
    ]  # fmt: skip
    assert verdict_of(STUDY.judge(Results(rows))) == REVERSED


def test_a_single_seed_shows_nothing() -> None:
    assert verdict_of(STUDY.judge(planted(BEST).where(seed=0))) == NOT_SHOWN


def test_the_picture_has_a_line_for_each_task() -> None:
    report = Report("reinit")
    assert STUDY.draw is not None
    STUDY.draw(report, planted(BEST))
    assert all(task in report.html() for task in BEST)
