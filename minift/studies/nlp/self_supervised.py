"""Six questions that a text answers by itself, each asked of a network about the same documents.

    CBOW                  word2vec   a word, from the mean of its neighbours
    skip-gram             word2vec   its neighbours, from a word
    masked words          BERT       words that were hidden, from both sides
    masked words, pairs   BERT       and whether a second text follows the first
    next words            GPT        each word, from those before it
    spans                 T5         runs of words that were cut out, written one after the other

The budget is the same: so many tokens of the corpus pass through each network. The transformers
read about TOKENS_A_STEP of them in a step (marks count, and what T5's decoder reads), so they make
equally many steps; word2vec reads in passes over the corpus, as many as that is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch

from minift.checkpoint import save
from minift.data.world import world_documents
from minift.models.registry import PRESETS, create_model
from minift.objectives.windows import keep_probability, neighbours_of, subsample
from minift.recipes.pretraining import Documents
from minift.recipes.story_models import SETTINGS
from minift.recipes.text_commands import encoded, pretrain_text, train_tokenizer
from minift.studies.nlp.pretrained import held_out_documents
from minift.studies.results import Row
from minift.studies.study import Ingredient


class Objective(NamedTuple):
    """How a question is asked: of which model, under which head, of how many rows at once."""

    model: str
    head: str
    batch_size: int  # of transformers: as many rows as have TOKENS_A_STEP tokens together
    algorithm: str | None = None  # of word2vec


TOKENS_A_STEP = 2048
CBOW, SKIP_GRAM, MASKED, MASKED_PAIRS, NEXT, SPANS = (
    "CBOW", "skip-gram", "masked words", "masked words, pairs", "next words", "spans"
)  # fmt: skip
OBJECTIVES = {
    CBOW: Objective("word2vec", "pretrain", 2048, "cbow"),
    SKIP_GRAM: Objective("word2vec", "pretrain", 8192, "skipgram"),
    MASKED: Objective("bert-micro", "mlm", 64),
    MASKED_PAIRS: Objective("bert-micro", "pretrain", 64),
    NEXT: Objective("gpt-micro", "lm", 16),
    SPANS: Objective("t5-micro", "lm", 60),
}


@dataclass(frozen=True)
class Budget:
    """What every network may read, and how large it is."""

    num_documents: int = 20_000
    num_steps: int = 2400  # of TOKENS_A_STEP tokens
    lr: float = 3e-3  # of the transformers, as in `pretrained.QUICK_READING` of this width
    hidden_size: int = 64
    num_layers: int = 2  # of BERT and GPT; of T5's encoder, with a decoder of one


BUDGET = Budget()
QUICK_BUDGET = Budget(num_documents=6_000, num_steps=1200)


def reader(budget: Budget, objective: str, seed: int) -> Ingredient:
    """The ingredient: a checkpoint folder with the model, its head, and its tokenizer."""
    return Ingredient(world_reader, {"objective": objective, **asdict(budget), "seed": seed})


def world_reader(
    folder: Path,
    *,
    objective: str,
    num_documents: int,
    num_steps: int,
    lr: float,
    hidden_size: int,
    num_layers: int,
    seed: int,
) -> Row:
    """Pretrain on the world's documents, save, and return what it took and scores on others."""
    name, head, batch_size, algorithm = OBJECTIVES[objective]
    family, _ = PRESETS[name]
    documents = world_documents(num_documents, seed=seed)
    tokenizer = train_tokenizer("word", family, documents, vocab_size=4096, is_world=True)
    sizes: dict[str, Any] = {"vocab_size": tokenizer.vocab_size, "hidden_size": hidden_size}
    changes: dict[str, Any] = {"lr": lr, "num_steps": num_steps}
    if family == "word2vec":
        ids, num_tokens = encoded(tokenizer, documents), num_steps * TOKENS_A_STEP
        changes = {"num_steps": word2vec_steps(objective, ids, num_tokens, batch_size)}
    else:
        sizes |= {"num_layers": num_layers, "intermediate_size": 2 * hidden_size}
    if family == "t5":
        sizes["num_decoder_layers"] = 1
    model = create_model(name, head=head, **sizes)
    config = replace(
        SETTINGS[family],
        batch_size=batch_size,
        precision="fp32",
        seed=seed,
        progress=False,
        **changes,
    )
    held_out = held_out_documents(seed)
    result = pretrain_text(model, tokenizer, documents, held_out, config, algorithm=algorithm)
    save(model, folder, tokenizer, lineage={"recipe": "studies", "seed": seed, "data": "world"})
    weights = sum(weight.numel() for weight in model.trunk.parameters())
    return {
        "steps": config.num_steps,
        "seconds": result.seconds,
        "weights": weights,
        **result.scores,
    }


def word2vec_steps(objective: str, documents: Documents, num_tokens: int, batch_size: int) -> int:
    """How many batches make up passes over the corpus in which so many tokens are read.

    Words that are too frequent are read and left out, and the others ask for one word each (CBOW)
    or for all of their neighbours (skip-gram): counted in a pass like those of pretraining.
    """
    ids = torch.tensor(list(chain.from_iterable(chain.from_iterable(documents))))
    lengths = torch.tensor([sum(map(len, document)) for document in documents])
    document_of = torch.repeat_interleave(torch.arange(len(documents)), lengths)
    generator = torch.Generator().manual_seed(0)
    kept = subsample(ids, keep_probability(torch.bincount(ids)), generator)
    _, is_asked = neighbours_of(ids[kept], 5, generator, document_of[kept])
    if objective == CBOW:
        is_asked = is_asked.any(dim=1)
    return max(1, round(num_tokens / len(ids) * int(is_asked.sum()) / batch_size))
