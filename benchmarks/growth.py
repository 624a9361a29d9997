"""How cost grows: a training step with its sizes, and making token shards with the corpus.

A BERT and a GPT of 4 layers of 256, 8 rows of 128 tokens and a vocabulary of 8192, of which one
size at a time takes other values; the heads are always 64 wide. The corpus is encoded by as many
processes as there are threads, from files of the texts of texts.py, repeated up to the size.

The exponent is how the cost grew from the row above: from size a to b by (b / a) to the exponent,
so 1 is linear and 2 quadratic.

Letters: B batch, T length, C width, V vocabulary.
"""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import tokens
from benchmarks.report import Columns, Line, Part, number
from benchmarks.runner import (
    Settings,
    begin,
    forget_peak,
    in_fresh_process,
    peak_memory,
    prepared,
    repeat,
)
from benchmarks.texts import read_lines, write_lines
from minift.data.shards import read_lines as lines_of
from minift.data.shards import write_shards
from minift.models.bert import Bert, BertConfig
from minift.models.gpt import GPT, GPTConfig
from minift.optim import Adam
from minift.recipes.pretraining import bert_loss, gpt_loss
from minift.stages import Model
from minift.tokenizers import ByteBPE
from minift.transfer import param_groups

L, HEAD_SIZE = 4, 64
MB = 1_000_000  # bytes
SHARD_SIZE = 2**19  # characters: small, so that all processes have something to do from 1 MB on


@dataclass(frozen=True)
class Sizes:
    """What a step's cost is a function of."""

    length: int = 128
    batch: int = 8
    width: int = 256
    vocabulary: int = 8192


GROWING = {
    "length": (64, 128, 256, 512, 1024),
    "batch": (1, 2, 4, 8, 16, 32, 64),
    "width": (64, 128, 256, 512, 768),
    "vocabulary": (1024, 4096, 16_384, 65_536),
    "corpus": (1, 10, 100),  # MB
}
NAMES = tuple(GROWING)
COLUMNS: Columns = {
    "cost of": str,
    "grows": str,
    "size": str,
    "s": "{:.4g}".format,
    "exponent": "{:.2f}".format,
    "µs a token": number,
    "MB": "{:.0f}".format,
    "exponent of MB": "{:.2f}".format,
}
NOTE = (
    "s: median; exponent: of the cost in the size, between this row and the one above: 1 is "
    "linear, 2 quadratic. MB: the peak over what the imports take, of all processes together."
)


class Point(NamedTuple):
    size: int
    seconds: list[float]
    num_tokens: int
    memory: float  # MB


def part(name: str, settings: Settings) -> Part:
    """Measure one thing that grows; smaller and fewer sizes where it is quick."""
    sizes = GROWING[name][:2] if settings.is_quick else GROWING[name]
    if name == "corpus":
        with prepared(write_texts, settings) as settings:
            points = {"token shards": [in_fresh_process(shards, settings, MB) for MB in sizes]}
    else:
        points = {
            f"{model} step": in_fresh_process(steps, settings, model, name, sizes)
            for model in MODELS
        }
    grows = "corpus, MB" if name == "corpus" else name
    return Part(
        rows=[row for label, found in points.items() for row in rows(label, grows, found)],
        notes=[],
        measured={label: [point._asdict() for point in found] for label, found in points.items()},
    )


def rows(label: str, grows: str, points: Sequence[Point]) -> list[Line]:
    """A line for each size, with the exponents from one to the next."""
    lines: list[Line] = []
    for before, point in zip([None, *points], points):
        seconds = median(point.seconds)
        line = {"cost of": label, "grows": grows, "size": point.size, "s": seconds}
        line |= {"µs a token": 1e6 * seconds / point.num_tokens, "MB": point.memory}
        if before is not None:
            growth = point.size / before.size
            line["exponent"] = exponent(growth, seconds / median(before.seconds))
            line["exponent of MB"] = exponent(growth, point.memory / before.memory)
        lines.append(line)
    return lines


def exponent(growth: float, of_cost: float) -> float:
    """p, where the cost grew by growth to the p."""
    return math.log(of_cost) / math.log(growth)


# ------------------------------------------------------------------------- training steps


def steps(settings: Settings, model: str, name: str, sizes: Sequence[int]) -> list[Point]:
    """Time the steps with one size after the other, the smallest first."""
    begin(settings)
    forget_peak()
    at_first = peak_memory()
    points = []
    for size in sizes:
        chosen = replace(Sizes(), **{name: size})
        forget_peak()
        torch.manual_seed(0)
        run = MODELS[model](chosen)
        run()
        seconds = repeat(run, settings)
        num_tokens = chosen.batch * chosen.length
        points.append(Point(size, seconds, num_tokens, peak_memory() - at_first))
    return points


def bert_step(sizes: Sizes) -> Callable[[], None]:
    """MLM and NSP on full rows; every seventh token carries a label."""
    model = Bert(BertConfig(**config_of(sizes)), "pretrain")
    ids = torch.randint(sizes.vocabulary, (sizes.batch, sizes.length))
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids, dtype=torch.bool),
        "token_type_ids": torch.zeros_like(ids),
        "mlm_labels": torch.where(torch.arange(sizes.length) % 7 == 1, ids, -100),
        "next_labels": torch.randint(2, (sizes.batch,)),
    }
    return training(model, lambda: bert_loss(model, batch)[0])


def gpt_step(sizes: Sizes) -> Callable[[], None]:
    model = GPT(GPTConfig(**config_of(sizes)), "lm")
    batch = {"input_ids": torch.randint(sizes.vocabulary, (sizes.batch, sizes.length))}
    return training(model, lambda: gpt_loss(model, batch)[0])


MODELS = {"BERT": bert_step, "GPT": gpt_step}


def config_of(sizes: Sizes) -> dict[str, Any]:
    return {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.width,
        "num_layers": L,
        "num_heads": sizes.width // HEAD_SIZE,
        "intermediate_size": 4 * sizes.width,
        "max_positions": sizes.length,
    }


def training(model: Model, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
    optimizer = Adam(param_groups(model.train(), lr=1e-4))

    def run() -> None:
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()

    return run


# --------------------------------------------------------------------------------- corpus


def write_texts(settings: Settings) -> None:
    """Leave a vocabulary, and the corpus in each of its sizes."""
    tokens.prepare(settings)
    write_lines(settings, max(GROWING["corpus"]) * MB)
    text = "\n".join(read_lines(settings))
    for size in GROWING["corpus"]:
        write_corpus(corpus(settings, size), text, size * MB)


def write_corpus(path: Path, text: str, num_bytes: int) -> None:
    """Repeat a text up to so many bytes, less a character that does not fit."""
    content = text.encode()
    times, rest = divmod(num_bytes, len(content))
    with open(path, "wb") as file:
        for _ in range(times):
            file.write(content)
        file.write(content[:rest].decode(errors="ignore").encode())


def corpus(settings: Settings, size: int) -> Path:
    return Path(settings.folder) / f"corpus-{size}.txt"


def shards(settings: Settings, size: int) -> Point:
    """Encode a corpus of `size` MB."""
    tokenizer = ByteBPE.from_huggingface(tokens.vocabulary(settings, "byte-level BPE"))
    forget_peak()
    at_first = peak_memory()
    made = []

    def run() -> None:
        folder = mkdtemp(dir=settings.folder)  # shards that are there would be kept
        texts = lines_of(corpus(settings, size))
        processes = settings.threads
        made.append(
            write_shards(texts, tokenizer, folder, num_processes=processes, shard_size=SHARD_SIZE)
        )

    seconds = repeat(run, settings)
    # A process that encodes begins with what this one has.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    each = children / (2**20 if sys.platform == "darwin" else 2**10) - at_first
    memory = peak_memory() - at_first + settings.threads * each
    return Point(size, seconds, len(made[0]), memory)
