"""The study `tuning` in small, and its rule on planted numbers."""

from __future__ import annotations

import pytest
import torch

from minift.studies.nlp.pretrained import Reading, pretrained
from minift.studies.nlp.tuning import (
    BIASES,
    FULL,
    GRADUAL,
    HEAD,
    LORA,
    METHODS,
    NEAR,
    RATES,
    STUDY,
    TOP,
    Settings,
    run,
)  # fmt: skip
from minift.studies.results import Results, Row
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

READING = Reading(
    num_documents=100, num_steps=2, batch_size=8, max_sentences=1, head="mlm", lr=5e-3,
    hidden_size=16, num_layers=2,
)  # fmt: skip
SETTINGS = Settings(READING, num_labels=16, epochs=1, unfreeze_every=1, num_test=32)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    reading = pretrained(READING, seed=0)
    reading.make(folder, **reading.arguments)
    return {method: run(SETTINGS, {"method": method, "seed": 0}, folder) for method in METHODS}


def test_rows_have_every_figure(rows: dict[str, Row]) -> None:
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert all(names == row.keys() for row in rows.values())


def test_each_method_trains_its_share(rows: dict[str, Row]) -> None:
    trained = {method: row["trained"] for method, row in rows.items()}
    assert trained[FULL] == trained[RATES] == trained[NEAR] == 1
    assert 0 < trained[HEAD] < trained[BIASES] < trained[LORA] < trained[TOP] < 1
    assert trained[HEAD] == trained[GRADUAL]  # after one epoch nothing has thawed


def planted(gains: dict[str, float], share: float) -> Results:
    return Results([
        {"seed": seed, "method": method, "accuracy": 0.8 + seed / 100 + gains.get(method, 0.0),
         "seconds": 1.0 if method == FULL else share * 5,
         "trained": 1.0 if method == FULL else share}
        for seed in range(3) for method in METHODS
    ])  # fmt: skip


def test_the_rule_on_planted_numbers() -> None:
    brakes = dict.fromkeys((RATES, GRADUAL, NEAR), 0.05)
    close = dict.fromkeys((LORA, BIASES), -0.01)
    assert verdict_of(STUDY.judge(planted({**brakes, **close, HEAD: -0.2}, 0.05))) == SHOWN
    assert verdict_of(STUDY.judge(planted({**brakes, HEAD: -0.2, LORA: -0.1}, 0.05))) == NOT_SHOWN
    worse = dict.fromkeys((RATES, GRADUAL, NEAR, LORA, BIASES), -0.1)
    assert verdict_of(STUDY.judge(planted({**worse, HEAD: 0.1}, 0.5))) == REVERSED
