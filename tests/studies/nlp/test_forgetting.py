"""The study `forgetting` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.checkpoint import load, load_tokenizer
from minift.recipes.report import Report
from minift.studies.nlp.forgetting import (
    ALL_WEIGHTS,
    FAST_FULL,
    FEW_WEIGHTS,
    SLOW_BIASES,
    SLOW_LORA,
    STUDY,
    activations,
    config,
    run,
)
from minift.studies.nlp.labelled import train_and_test
from minift.studies.nlp.pretrained import Reading, pretrained
from minift.studies.nlp.tuning import BIASES, FULL, HEAD, LORA, METHODS, TOP, Settings
from minift.studies.results import Results, Row
from minift.studies.runner import code_files
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

READING = Reading(
    num_documents=100, num_steps=60, batch_size=8, max_sentences=1, head="mlm", lr=5e-3,
    hidden_size=16, num_layers=2,
)  # fmt: skip
SETTINGS = Settings(READING, num_labels=32, epochs=3, few_lr=5e-2, num_test=32)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Row]:
    """Where the pretrained BERT is, and what pretraining scored."""
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    reading = pretrained(READING, seed=0)
    return folder, reading.make(folder, **reading.arguments)


@pytest.fixture(scope="module")
def rows(trunk: tuple[Path, Row]) -> dict[str, list[Row]]:
    """method -> a row of the whole model, and one for each stage."""
    methods = (FULL, FAST_FULL, HEAD, TOP, LORA)
    return {method: run(SETTINGS, {"method": method, "seed": 0}, trunk[0]) for method in methods}


def test_every_method_of_tuning_is_there_and_its_code_counts() -> None:
    assert set(METHODS) < {cell["method"] for cell in STUDY.cells(SETTINGS)}
    assert "tuning.py" in {path.name for path in code_files(run)}


def test_rows_have_every_figure_of_the_model_or_of_a_stage(rows: dict[str, list[Row]]) -> None:
    whole, *stages = (set(row) for row in rows[FULL])
    assert whole | stages[0] - {"stage"} == {
        name for figure in STUDY.figures for name in (figure.name, *figure.levels)
    }
    assert stages == [{"stage", "distance", "cka"}] * 4  # embedding, two blocks, pooler


def test_the_loss_before_is_what_pretraining_ended_with(
    trunk: tuple[Path, Row], rows: dict[str, list[Row]]
) -> None:
    assert {each[0]["before"] for each in rows.values()} == {trunk[1]["mlm_loss"]}


def test_a_frozen_trunk_forgets_nothing_and_a_high_rate_much(rows: dict[str, list[Row]]) -> None:
    assert rows[HEAD][0]["rise"] == 0
    assert rows[FAST_FULL][0]["rise"] > 0.1 > abs(rows[FULL][0]["rise"])


def test_stages_that_were_not_trained_stay_as_they_were(rows: dict[str, list[Row]]) -> None:
    distances = {method: [row["distance"] for row in each[1:]] for method, each in rows.items()}
    assert distances[HEAD] == [0, 0, 0, 0]
    assert distances[TOP][:2] == [0, 0] < distances[TOP][2:]
    assert distances[LORA][0] == 0 < min(distances[LORA][1:])  # merged, and the embedding has none
    assert [row["cka"] for row in rows[HEAD][1:]] == pytest.approx([1] * 4, abs=1e-9)
    assert rows[TOP][2]["cka"] == pytest.approx(1, abs=1e-9)
    assert rows[TOP][3]["cka"] < 1 - 1e-8


def test_activations_are_those_of_real_tokens(trunk: tuple[Path, Row]) -> None:
    tokenizer, model = load_tokenizer(trunk[0]), load(trunk[0])
    dataset, _ = train_and_test(tokenizer, "sentiment", 8, 8, seed=0)
    is_real = dataset["attention_mask"]
    other_padding = {**dataset, "input_ids": dataset["input_ids"].masked_fill(~is_real, 9)}
    found = activations(model, dataset)
    assert [len(each) for each in found] == [int(is_real.sum())] * 3 + [8]
    for each, other in zip(found, activations(model, other_padding)):
        torch.testing.assert_close(each, other)


def test_three_of_the_methods_have_both_rates() -> None:
    def rate(method: str) -> float:
        return config(SETTINGS, {"method": method, "seed": 0}, 4).lr

    assert rate(FULL) == rate(SLOW_LORA) == rate(SLOW_BIASES) == SETTINGS.lr
    assert rate(FAST_FULL) == rate(LORA) == rate(BIASES) == SETTINGS.few_lr
    assert config(SETTINGS, {"method": SLOW_LORA, "seed": 0}, 4).lora_rank == SETTINGS.lora_rank


def planted(full: float, others: float, few: float, upward: float) -> Results:
    """Rises of the loss; `upward` is how much more a stage changes than the one below it."""
    rises = {FULL: full, FAST_FULL: 2 * full, HEAD: 0.0, LORA: few, BIASES: few}
    return Results([
        {"seed": seed, "method": method, **row}
        for seed in range(3) for method in ALL_WEIGHTS + FEW_WEIGHTS
        for row in (
            {"rise": rises.get(method, others), "before": 0.7, "loss": 0.7 + full,
             "accuracy": 0.8, "majority": 0.5},
            *({"stage": stage, "distance": 0.1 + upward * stage, "cka": 0.9 - upward * stage}
              for stage in range(4)),
        )
    ])  # fmt: skip


def test_the_rule_on_planted_numbers() -> None:
    assert verdict_of(STUDY.judge(planted(0.2, 0.1, 0.1, upward=0.1))) == SHOWN
    assert verdict_of(STUDY.judge(planted(0.2, 0.1, 0.3, upward=0.1))) == NOT_SHOWN  # LoRA, biases
    assert verdict_of(STUDY.judge(planted(0.2, 0.1, 0.1, upward=-0.1))) == NOT_SHOWN
    assert verdict_of(STUDY.judge(planted(-0.2, 0.1, 0.1, upward=-0.1))) == REVERSED


def test_the_pictures_have_every_method() -> None:
    report = Report("forgetting")
    assert STUDY.draw is not None
    STUDY.draw(report, planted(0.2, 0.1, 0.1, upward=0.1))
    page = report.html()
    assert page.count("<polyline") == 2 * len(ALL_WEIGHTS + FEW_WEIGHTS)
    assert "before 0.70" in page
