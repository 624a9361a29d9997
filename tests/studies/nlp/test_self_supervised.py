"""The budget of the six ways of pretraining, and that each of them learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minift.checkpoint import load, load_tokenizer
from minift.data.world import world_documents
from minift.models.registry import PRESETS, create_model
from minift.recipes.pretraining import held_out_batches
from minift.recipes.story_models import SETTINGS
from minift.recipes.text_commands import encoded, train_tokenizer
from minift.studies.nlp.self_supervised import (
    CBOW,
    OBJECTIVES,
    SKIP_GRAM,
    TOKENS_A_STEP,
    Budget,
    reader,
    word2vec_steps,
)

DOCUMENTS = world_documents(400, seed=0)
TRANSFORMERS = [name for name in OBJECTIVES if name not in (CBOW, SKIP_GRAM)]


@pytest.mark.parametrize("objective", TRANSFORMERS)
def test_transformers_read_equally_many_tokens_a_step(objective: str) -> None:
    name, head, batch_size, _ = OBJECTIVES[objective]
    family, _ = PRESETS[name]
    tokenizer = train_tokenizer("word", family, DOCUMENTS, vocab_size=4096)
    model = create_model(name, head=head, vocab_size=tokenizer.vocab_size)
    config = replace(SETTINGS[family], batch_size=batch_size)

    batches = held_out_batches(model, tokenizer, encoded(tokenizer, DOCUMENTS), config)

    read = 0
    for batch in batches:
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        read += int(mask.sum())
        if family == "t5":
            read += int((batch["labels"] != -100).sum())
    assert read / len(batches) == pytest.approx(TOKENS_A_STEP, rel=0.03)


def test_word2vec_reads_in_passes_over_the_corpus() -> None:
    text = list(range(1, 1001))  # so many words that none is too frequent
    three_passes = [[text]], 3 * len(text)

    assert word2vec_steps(CBOW, *three_passes, batch_size=10) == 3 * len(text) // 10
    # A radius of 1 to 5 has 3 neighbours to either side in the mean.
    steps = word2vec_steps(SKIP_GRAM, *three_passes, batch_size=10)
    assert steps == pytest.approx(6 * 3 * len(text) / 10, rel=0.05)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_was_read_is_kept_and_what_it_took_is_told(objective: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    budget = Budget(num_documents=100, num_steps=3, hidden_size=16, num_layers=1)
    reading = reader(budget, objective, seed=0)

    figures = reading.make(tmp_path, **reading.arguments)

    model, tokenizer = load(tmp_path), load_tokenizer(tmp_path)
    assert (model.head_name, model.config.hidden_size) == (OBJECTIVES[objective].head, 16)
    assert model.config.vocab_size == tokenizer.vocab_size
    assert figures["weights"] == sum(weight.numel() for weight in model.trunk.parameters())
    assert figures["steps"] >= 1
    assert figures["seconds"] > 0
    assert figures.keys() & {"loss", "train_loss"}
