"""The trunk that the studies of text start from: a BERT that has read about the invented world.

One for each seed, so that the spread of a study is that of pretraining too. Studies that ask for
the same reading share what was pretrained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from minift.checkpoint import save
from minift.data.world import world_documents
from minift.models.registry import create_model
from minift.recipes.datasets import encode_documents
from minift.recipes.pretraining import PretrainConfig, pretrain_bert
from minift.studies.results import Row
from minift.studies.study import Ingredient
from minift.tokenizers import WordVocab


@dataclass(frozen=True)
class Reading:
    """What is pretrained, and on how much."""

    num_documents: int = 20_000
    num_steps: int = 3200
    batch_size: int = 64  # pairs of segments
    max_sentences: int = 2  # of a segment
    head: str = "pretrain"  # masked words and next sentence; "mlm": masked words alone
    lr: float = 1.5e-3
    hidden_size: int = 128
    num_layers: int = 3


READING = Reading()
# Next sentences take long to learn; masked words of single sentences are learnt in half a minute.
QUICK_READING = Reading(
    num_documents=6_000, num_steps=2500, batch_size=32, max_sentences=1, head="mlm", lr=3e-3,
    hidden_size=64, num_layers=2,
)  # fmt: skip


def pretrained(reading: Reading, seed: int) -> Ingredient:
    """The ingredient: a checkpoint folder with the model, its head, and its tokenizer."""
    return Ingredient(world_bert, {**asdict(reading), "seed": seed})


def held_out_documents(seed: int) -> list[list[str]]:
    """What the BERT of that seed has not read."""
    return world_documents(300, seed=seed + 1000)


def world_bert(folder: Path, *, seed: int, **arguments: Any) -> Row:
    """Pretrain on the world's documents, save, and return the scores on others of them."""
    reading = Reading(**arguments)
    documents = world_documents(reading.num_documents, seed=seed)
    return read_documents(folder, reading, documents, words_of(documents), seed)


def words_of(documents: list[list[str]]) -> WordVocab:
    """A token for each word that the documents have."""
    return WordVocab.train([*chain(*documents)], vocab_size=4096)


def read_documents(
    folder: Path, reading: Reading, documents: list[list[str]], tokenizer: WordVocab, seed: int
) -> Row:
    """Pretrain on these documents, save, and return the scores on others of the world."""
    model = create_model(
        "bert-micro",
        head=reading.head,
        vocab_size=tokenizer.vocab_size,
        hidden_size=reading.hidden_size,
        intermediate_size=2 * reading.hidden_size,
        num_layers=reading.num_layers,
    )
    result = pretrain_bert(
        model,
        tokenizer,
        encode_documents(tokenizer, documents),
        reading_config(reading, reading.num_steps, seed),
        held_out=encode_documents(tokenizer, held_out_documents(seed)),
    )
    save(model, folder, tokenizer, lineage={"recipe": "studies", "seed": seed, "data": "world"})
    return result.scores


def reading_config(reading: Reading, num_steps: int, seed: int) -> PretrainConfig:
    """How text is read: the world's documents and, in `few_labels`, the target's after them."""
    return PretrainConfig(
        num_steps=num_steps,
        batch_size=reading.batch_size,
        lr=reading.lr,
        max_sentences=reading.max_sentences,
        precision="fp32",
        seed=seed,
        progress=False,
    )
