"""What stands between the files and the models in train_nlp.py.

Which tokenizer suits which model, which documents are held out, what the rows of a labelled file
are to a head, and how an example looks to a model. A tokenizer has to have the marks that a model's
pretraining puts into the text: [MASK] for BERT, the end of a text for GPT, sentinels for T5.

Shapes: N examples, T length, C model width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from minift.data.docs import read_documentation
from minift.data.text import read_documents, read_squad
from minift.data.world import world_documents
from minift.data.world_tasks import text_to_text, world_task
from minift.models.registry import PRESETS, create_model
from minift.models.word2vec import Word2Vec
from minift.objectives.causal import shift_labels
from minift.objectives.scores import majority_accuracy
from minift.objectives.windows import skipgram_pairs
from minift.recipes.datasets import (
    classification_dataset,
    encode_documents,
    span_dataset,
    text_to_text_dataset,
)
from minift.recipes.pretraining import (
    NUM_HELD_OUT,
    Documents,
    PretrainConfig,
    Pretrained,
    bert_batch,
    bert_pairs,
    gpt_blocks,
    pretrain_bert,
    pretrain_gpt,
    pretrain_t5,
    pretrain_word2vec,
    t5_batch,
)
from minift.recipes.sources import load_texts, read_labelled
from minift.stages import Model
from minift.tokenizers import ByteBPE, Tokenizer, WordPiece, WordVocab

Dataset = dict[str, Tensor]
AnyRow = TypeVar("AnyRow")


# ------------------------------------------------------------------------------------ models


class TextFamily(NamedTuple):
    """What a family of models needs: its head, tokenizers that serve it (the usual one first), and
    settings that suit its small sizes better than those that suit BERT's."""

    head: str
    tokenizers: tuple[str, ...]
    pretraining: dict[str, Any]
    finetuning: dict[str, Any]


FAMILIES: dict[str, TextFamily] = {
    "bert": TextFamily("pretrain", ("wordpiece", "word"), {}, {}),
    "gpt": TextFamily("lm", ("bpe", "word"), {"batch_size": 32, "max_length": 128}, {}),
    "t5": TextFamily("lm", ("word",), {}, {"lr": 1e-3}),
    # A step of word2vec is a lookup: it takes many predictions at once, and a large rate. Then the
    # head has small vectors to tell apart: its own weights have a long way to go.
    "word2vec": TextFamily(
        "pretrain",
        ("word", "wordpiece", "bpe"),
        {"batch_size": 4096, "lr": 0.025, "weight_decay": 0.0},
        {"lr": 0.1},
    ),
}
SHORT_NAMES = {
    "bert": "bert-micro",
    "gpt": "gpt-micro",
    "t5": "t5-micro",
    "cbow": "word2vec",
    "skipgram": "word2vec",
}
NUM_SENTINELS = 100  # as many as T5 has: enough for texts of 500 tokens with half of them cut


def text_model(name: str) -> tuple[str, str]:
    """The full name and the family of a model that reads text; ValueError if there is none."""
    full_name = SHORT_NAMES.get(name, name)
    if full_name not in PRESETS:
        create_model(full_name)  # raises, with the nearest names
    family = PRESETS[full_name][0]
    if family not in FAMILIES:
        raise ValueError(f"model must be one that reads text ({', '.join(FAMILIES)}), got {name!r}")
    return full_name, family


def checked_length(model: Model, max_length: int | None) -> int:
    """How many tokens a row may have: at most the model's positions; None is 128 or fewer."""
    positions = getattr(model.config, "max_positions", math.inf)
    if max_length is None:
        return int(min(128, positions))
    if not 1 < max_length <= positions:
        raise ValueError(
            f"max_length must be in 2..{positions} (the model's positions), got {max_length}"
        )
    return max_length


def row_lengths(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[int]:
    """How many tokens each text, or pair, is as a row; nothing is cut."""
    return [len(tokenizer.encode(text, pair)) for text, pair in zip(texts, pairs or repeat(None))]


def require_fit(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
) -> None:
    """Raise ValueError for a text of which the model would read the beginning only."""
    for text, length in zip(texts, row_lengths(tokenizer, texts, pairs)):
        if length > max_length:
            raise ValueError(
                f"a text must be at most {max_length} tokens long (--max-length), got {length} "
                f"with {text[:40]!r}"
            )


def token_vectors(model: Model, tokenizer: Tokenizer) -> Tensor:
    """The vectors at the model's input, (V, C), on the CPU: word2vec's own, else the embedding."""
    embedding: Any = model.trunk.stages["embedding"]
    weight = model.vectors if isinstance(model, Word2Vec) else embedding.tokens.weight.detach()
    return weight[: tokenizer.vocab_size].cpu()


def word_id(tokenizer: Tokenizer, word: str) -> int:
    """The id of a word that is one token; ValueError if the vocabulary lacks it."""
    # Byte BPE writes the space into the token; to the others it is nothing.
    ids = tokenizer.encode(f" {word}", special_tokens=False)
    if len(ids) != 1 or ids[0] == tokenizer.unk_id:
        raise ValueError(f"word {word!r} is not in the vocabulary of {len(tokenizer)} tokens")
    return ids[0]


# ------------------------------------------------------------------------------- pretraining


def load_documents(
    data: str | None, files: Sequence[str] | None, *, limit: int | None = None, seed: int = 0
) -> list[list[str]]:
    """Documents of sentences: "world" (20,000 of them), "docs", or plain text files.

    `limit` is the number of documents, drawn by `seed`; None takes all.
    """
    if files:
        documents = read_documents(files)
    elif data == "world":
        return world_documents(limit or 20_000, seed=seed)
    elif data == "docs":
        documents = read_documentation()
    else:
        raise ValueError(f"data must be world or docs, or --text name files, got {data!r}")
    return _drawn(documents, limit, seed)


def hold_out(
    documents: list[list[str]], family: str, *, share: float = 0.02, seed: int = 0
) -> tuple[list[list[str]], list[list[str]]]:
    """Part documents into those to learn from and a share, drawn by `seed`, to be judged on.

    BERT is asked whether sentences follow each other: documents of one sentence are left out, and
    two are held out at the least, so that there is another one to take a wrong sentence from.
    """
    least = 2 if family == "bert" else 1
    usable = [document for document in documents if len(document) >= least]
    num_held_out = max(least, round(share * len(usable)))
    if len(usable) < num_held_out + least:
        raise ValueError(
            f"the text must have at least {2 * least} documents of {least} or more sentences to "
            f"learn from some and be judged on others, found {len(usable)}; blank lines part "
            "documents"
        )
    shuffled = _drawn(usable, len(usable), seed)
    return shuffled[num_held_out:], shuffled[:num_held_out]


def train_tokenizer(
    kind: str | None,
    family: str,
    documents: list[list[str]],
    vocab_size: int,
    *,
    is_world: bool = False,
) -> Tokenizer:
    """Train a tokenizer that has what the family's pretraining needs.

    `kind` None is the usual one; for BERT on the world that is whole words, because it has few.
    """
    kinds = FAMILIES[family].tokenizers
    if kind is None:
        kind = "word" if is_world and family == "bert" else kinds[0]
    if kind not in kinds:
        raise ValueError(f"tokenizer must be {' or '.join(kinds)} for {family}, got {kind!r}")
    texts = [sentence for document in documents for sentence in document]
    if kind == "wordpiece":
        return WordPiece.train(texts, vocab_size)
    if kind == "bpe":  # to which the space between two sentences is a character too
        return ByteBPE.train([" ".join(document) for document in documents], vocab_size)
    if family != "t5":
        layout = "gpt" if family == "gpt" else "bert"
        return WordVocab.train(texts, vocab_size, layout=layout)
    if is_world:  # the words that its tasks ask and answer in belong to the world too
        pairs = [pair for name in TEXT_TASKS for pair in text_to_text(name, 100, seed=0)]
        texts += [text for pair in pairs for text in pair]
    return WordVocab.train(texts, vocab_size, layout="t5", num_sentinels=NUM_SENTINELS)


def encoded(tokenizer: Tokenizer, documents: list[list[str]]) -> Documents:
    """Documents as ids, without those of fewer than two tokens, in which nothing can be guessed."""
    if isinstance(tokenizer, ByteBPE):  # the space between two sentences belongs to the second
        documents = [[first, *(f" {later}" for later in rest)] for first, *rest in documents]
    ids = encode_documents(tokenizer, documents)
    return [document for document in ids if sum(map(len, document)) >= 2]


def pretrain_text(
    model: Model,
    tokenizer: Tokenizer,
    train: list[list[str]],
    held_out: list[list[str]],
    config: PretrainConfig,
    *,
    resume_path: Path | None = None,
    **word2vec: Any,
) -> Pretrained:
    """Pretrain a model in its family's way; `word2vec` are the arguments of `pretrain_word2vec`."""
    documents = encoded(tokenizer, train)
    if isinstance(model, Word2Vec):
        special_ids = tokenizer.special_ids
        if config.precision == "auto":  # the products are small, and bf16 would blur the vectors
            config = replace(config, precision="fp32")
        result = pretrain_word2vec(
            model, documents, config, special_ids=special_ids, resume_path=resume_path, **word2vec
        )
        # A neighbour is one of many right answers, so the loss says little beyond "it fell".
        result.scores = {"train_loss": result.history.records[-1]["loss"]}
        return result
    recipes: dict[str, Callable[..., Pretrained]] = {
        "bert": pretrain_bert,
        "gpt": pretrain_gpt,
        "t5": pretrain_t5,
    }
    return recipes[model.family](
        model,
        tokenizer,
        documents,
        config,
        held_out=encoded(tokenizer, held_out),
        resume_path=resume_path,
    )


def commonest_answers(
    model: Model, tokenizer: Tokenizer, documents: list[list[str]], config: PretrainConfig
) -> dict[str, float]:
    """What always giving the commonest answer would score, by the name of each accuracy.

    Counted on as many rows of `documents` as a pretrained model is judged on.
    """
    labels = {
        "bert": {"mlm_accuracy": "mlm_labels", "nsp_accuracy": "next_labels"},
        "gpt": {"lm_accuracy": "labels"},
        "t5": {"span_accuracy": "labels"},
    }.get(model.family)
    if labels is None:
        return {}
    config = replace(config, batch_size=NUM_HELD_OUT * config.batch_size)
    rows = pretraining_rows(model, tokenizer, encoded(tokenizer, documents), config)
    return {accuracy: majority_accuracy(rows[name]) for accuracy, name in labels.items()}


# -------------------------------------------------------------------------------- finetuning

TEXT_TASKS = ("summary", "question", "class")


@dataclass(frozen=True)
class TaskFormat:
    """How rows become tensors."""

    max_length: int  # tokens of an input, special ones included; the rest is cut off
    max_target_length: int = 32  # tokens of T5's target
    start_id: int = 0  # what T5's decoder starts with
    text: str | None = None  # columns of a file, by name or number from 1; None recognises them
    pair: str | None = None
    label: str | None = None


@dataclass
class Task:
    """Labelled examples as tensors, and what is known of them."""

    dataset: Dataset
    classes: list[str] | None = None  # their names; None where there are none
    answers: list[tuple[str, ...]] | None = None  # of questions on a context: all that are right
    remarks: list[str] = field(default_factory=list)  # what was lost on the way, a line each


def head_for(family: str, data: str, head: str | None = None) -> str:
    """The head that a model of a family needs for some data; `head` names another one."""
    if head is None and family == "t5":
        return "lm"  # every task is text to text
    if head is None:
        is_question = data == "world:answer" or data.endswith(".json")
        return "span" if is_question else "classify"
    if head == "lm" and family != "t5":
        raise ValueError(f"head 'lm' is finetuned on sources and targets by T5 only, got {family}")
    if head not in ("classify", "span", "lm"):
        raise ValueError(f"head must be classify, span or lm, got {head!r}")
    return head


def load_task(
    data: str,
    head: str,
    tokenizer: Tokenizer,
    form: TaskFormat,
    *,
    classes: list[str] | None = None,
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
) -> Task:
    """Load what a head is trained on.

    Parameters
    ----------
    data : for "classify" world:TASK or a .tsv, .csv or .jsonl file with text, [pair,] label; for
        "span" world:answer or a SQuAD .json; for "lm" world:summary, question or class, or such a
        file with the columns source and target.
    classes : those of a trained head; a label that is none of them is a ValueError.
    split, limit, seed : as in `load_texts`.
    """
    if head == "span":
        return _span_task(data, tokenizer, form, split, limit, seed)
    if head == "lm":
        return _text_task(data, tokenizer, form, split, limit, seed)
    texts = load_texts(
        data, text=form.text, pair=form.pair, label=form.label, classes=classes, split=split,
        limit=limit, seed=seed,
    )  # fmt: skip
    dataset = classification_dataset(
        tokenizer, texts.texts, texts.pairs, texts.labels, max_length=form.max_length
    )
    if not dataset["attention_mask"].any(dim=1).all():
        raise ValueError(f"{data} must have some text in every row, found a row without")
    lengths = row_lengths(tokenizer, texts.texts, texts.pairs)
    return Task(dataset, texts.classes, remarks=_cut(data, lengths, form.max_length))


def _span_task(
    data: str, tokenizer: Tokenizer, form: TaskFormat, split: str, limit: int | None, seed: int
) -> Task:
    rows: list[tuple[str, str, str, int | None, tuple[str, ...]]]
    if data == "world:answer":
        made = world_task("answer", limit or 256, seed=seed, split=split)
        rows = [
            (e.text, e.pair or "", e.answer or "", e.start or 0, (e.answer or "",)) for e in made
        ]
    elif data.endswith(".json"):
        read = _drawn(read_squad(data), limit, seed)
        rows = [
            (e.question, e.context, e.answer, e.start if e.start >= 0 else None, e.answers)
            for e in read
        ]
    else:
        raise ValueError(f"data must be world:answer or a SQuAD .json for head span, got {data!r}")
    if not rows:
        raise ValueError(f"{data} must hold some questions, found none")
    questions, contexts, answers, starts, accepted = map(list, zip(*rows))
    dataset = span_dataset(
        tokenizer, questions, contexts, answers, starts, max_length=form.max_length
    )
    remarks = _cut(data, row_lengths(tokenizer, questions, contexts), form.max_length)
    is_answered = dataset["labels"].any(dim=1).tolist()
    num_lost = sum(start is not None and not kept for start, kept in zip(starts, is_answered))
    if num_lost:
        remarks.append(
            f"{data}: {num_lost} of {len(rows)} answers were cut off or are unknown words, and "
            "count as none to learn from"
        )
    return Task(dataset, answers=accepted, remarks=remarks)


def _text_task(
    data: str, tokenizer: Tokenizer, form: TaskFormat, split: str, limit: int | None, seed: int
) -> Task:
    kind, _, name = data.partition(":")
    if kind == "world":
        if name not in TEXT_TASKS:
            known = "|".join(TEXT_TASKS)
            raise ValueError(f"data must be world:{known} for head lm, got {data!r}")
        pairs = text_to_text(name, limit or 256, seed=seed, split=split)
        where = [data] * len(pairs)
    else:
        read = read_labelled(data, text=form.text or "source", label=form.label or "target")
        rows = _drawn(list(zip(read.texts, read.labels, read.where)), limit, seed)
        pairs = [(source, target or "") for source, target, _ in rows]
        where = [place for *_, place in rows]
    for (_, target), place in zip(pairs, where):
        # Targets that are all unknown would be one and the same, and perfectly learnt.
        if set(tokenizer.encode(target, special_tokens=False)) <= {tokenizer.unk_id}:
            raise ValueError(f"{place}: target must have words of the vocabulary, found {target!r}")
    dataset = text_to_text_dataset(
        tokenizer,
        pairs,
        max_length=form.max_length,
        max_target_length=form.max_target_length,
        start_id=form.start_id,
    )
    sources, targets = zip(*pairs)
    remarks = _cut(data, row_lengths(tokenizer, sources), form.max_length)
    remarks += _cut(f"{data}, targets", row_lengths(tokenizer, targets), form.max_target_length)
    return Task(dataset, remarks=remarks)


def _cut(data: str, lengths: list[int], max_length: int) -> list[str]:
    """A remark on rows that were too long, if there are any."""
    num_cut = sum(length > max_length for length in lengths)
    if not num_cut:
        return []
    return [f"{data}: {num_cut} of {len(lengths)} rows were cut to {max_length} tokens"]


# ------------------------------------------------------------------------------------ showing


def pretraining_rows(
    model: Model, tokenizer: Tokenizer, documents: Documents, config: PretrainConfig
) -> Dataset:
    """A batch of what a model is pretrained on, made as pretraining makes it."""
    if not documents:
        raise ValueError("documents hold no text of two tokens or more")
    generator = torch.Generator().manual_seed(config.seed)
    if model.family == "bert":
        pairs = bert_pairs(documents, config.batch_size, config, generator)
        return bert_batch(pairs, tokenizer, config, generator)
    if model.family == "t5":
        return t5_batch(documents, tokenizer, config, generator, model.config.start_id)
    if model.family == "gpt":
        blocks = gpt_blocks(documents, tokenizer, config)[: config.batch_size]
        return {"input_ids": blocks, "labels": shift_labels(blocks)}
    text = torch.tensor(list(chain.from_iterable(documents[0])))
    centers, contexts = skipgram_pairs(text, 5, generator)
    return {
        "input_ids": centers[: config.batch_size, None],
        "labels": contexts[: config.batch_size, None],
    }


def describe_row(
    dataset: Dataset,
    row: int,
    tokenizer: Tokenizer,
    *,
    ids: Sequence[str] = ("input_ids",),
    classes: Sequence[str] | None = None,
) -> list[str]:
    """One example as lines, a tensor each, with the positions below each other.

    Tensors named in `ids` are spelled out as tokens below; with `classes` the label is named.
    """
    table: list[tuple[str, list[str]]] = []
    for name, values in dataset.items():
        numbers = [int(value) for value in values[row].flatten()]
        if name == "labels" and classes is not None:
            table.append((name, [f"{number} ({classes[number]})" for number in numbers]))
            continue
        table.append((name, [str(number) for number in numbers]))
        if name in ids:
            table.append(("", [tokenizer.vocab[i] if i >= 0 else "" for i in numbers]))
    by_position = [cells for _, cells in table if len(cells) > 1]
    widths = [max(map(len, column)) for column in zip_longest(*by_position, fillvalue="")]
    return [
        f"{name:18}" + " ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
        if len(cells) > 1
        else f"{name:18}{cells[0]}"
        for name, cells in table
    ]


def _drawn(rows: list[AnyRow], limit: int | None, seed: int) -> list[AnyRow]:
    """`limit` of the rows in an order drawn by `seed`; None is all of them as they come."""
    if limit is None:
        return rows
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return [rows[index] for index in order[:limit].tolist()]
