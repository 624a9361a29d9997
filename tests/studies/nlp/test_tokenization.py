"""The study `tokenization` in small, and its rule on planted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.checkpoint import load_tokenizer
from minift.studies.nlp.pretrained import Reading, pretrained
from minift.studies.nlp.tokenization import (
    MASKED,
    OWN,
    PIECES,
    SCRATCH,
    STUDY,
    WORDS,
    Settings,
    run,
    tokenizer_for,
)
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

READING = Reading(
    num_documents=300, num_steps=60, batch_size=16, max_sentences=1, head="mlm", lr=5e-3,
    hidden_size=16, num_layers=1,
)  # fmt: skip
SETTINGS = Settings(READING, tasks=("sentiment",), num_labels=16, epochs=1, num_test=64)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    reading = pretrained(READING, seed=0)
    reading.make(folder, **reading.arguments)
    return folder


@pytest.mark.parametrize("ids", [WORDS, PIECES])
def test_other_tokenizers_are_as_large_and_write_other_ids(trunk: Path, ids: str) -> None:
    own = load_tokenizer(trunk)
    other = tokenizer_for(ids, own, READING, seed=0)
    assert other.vocab_size <= own.vocab_size
    assert other.vocab != own.vocab


def test_wrong_ids_are_refused_and_understood_less(trunk: Path) -> None:
    found = {
        ids: {row["task"]: row for row in run(SETTINGS, {"ids": ids, "seed": 0}, trunk)}
        for ids in (OWN, PIECES, SCRATCH)
    }

    assert [found[ids][MASKED]["refused"] for ids in found] == [0, 1, 0]
    assert "its ids would mean other words" in found[PIECES][MASKED]["refusal"]
    assert found[OWN][MASKED]["same_ids"] == 1 > 0.5 > found[PIECES][MASKED]["same_ids"]
    scores = [found[ids][MASKED]["accuracy"] for ids in (OWN, PIECES, SCRATCH)]
    assert scores[0] > scores[1] + 0.02
    assert scores[0] > scores[2] + 0.02
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    assert all(names <= row.keys() for rows in found.values() for row in rows.values())


@pytest.mark.parametrize(("cost", "verdict"), [(0.2, SHOWN), (-0.2, REVERSED), (0.0, NOT_SHOWN)])
def test_the_rule_on_planted_numbers(cost: float, verdict: str) -> None:
    rows = [
        {"seed": seed, "task": task, "ids": ids, "accuracy": 0.8 + seed / 100 - cost * (ids != OWN)}
        for seed in range(3) for task in (MASKED, "sentiment") for ids in (OWN, WORDS, PIECES)
    ]  # fmt: skip
    assert verdict_of(STUDY.judge(Results(rows))) == verdict
