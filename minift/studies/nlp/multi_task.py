"""One T5 for several tasks, told apart by the first word of the text, or one T5 for each.

Text goes in and text comes out whatever the task, so that nothing but the data differs: network,
loss and decoding are the same (Raffel et al. 2020, section 2.4).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import mean

from minift.checkpoint import load, load_tokenizer
from minift.data.world_tasks import text_to_text
from minift.models.t5 import T5
from minift.recipes.finetuning import FinetuneConfig, finetune
from minift.recipes.story_nlp import T5_TASKS, text_to_text_tensors, write_answers
from minift.studies.nlp.self_supervised import BUDGET, QUICK_BUDGET, SPANS, Budget, reader
from minift.studies.results import Results, Row
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.tokenizers import Tokenizer

PRETRAINED, SCRATCH = "pretrained", "from scratch"
ONE, EACH = "one for all", "one a task"
SPLITS = {"words of the labels": "train", "other words": "test"}  # to judge by
MARGIN = 0.02  # of right answers, within which one model counts as good as several
# Spans are learnt late, and then in a leap: after 2,400 steps 70% of their words are right, after
# 6,000 89%.
T5_BUDGET = replace(BUDGET, num_steps=6000)


@dataclass(frozen=True)
class Settings:
    budget: Budget = T5_BUDGET
    num_labels: int = 512  # of each task
    epochs: int = 6  # over them
    batch_size: int = 32
    lr: float = 1e-3
    num_test: int = 250  # of each task and split


# Too little reading to know words that no label has: of those the small form says little.
QUICK = Settings(replace(QUICK_BUDGET, num_steps=1000), epochs=4)


def cells(settings: Settings) -> list[Cell]:
    return [
        {"start": start, "models": models}
        for start in (PRETRAINED, SCRATCH) for models in (ONE, EACH)
    ]  # fmt: skip


def needs(settings: Settings, cell: Cell) -> Ingredient:
    """From scratch, only the tokenizer and the sizes are taken."""
    return reader(settings.budget, SPANS, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    """A row for each task and split, and one about the weights."""
    seed, tokenizer, start = cell["seed"], load_tokenizer(trunk), load(trunk)
    if cell["start"] == SCRATCH:
        start.trunk.reset_parameters()
    groups = [T5_TASKS] if cell["models"] == ONE else [(task,) for task in T5_TASKS]
    num_weights = sum(weight.numel() for weight in start.parameters())
    rows: list[Row] = [{"weights": len(groups) * num_weights}]
    for tasks in groups:
        texts = chain.from_iterable(
            text_to_text(task, settings.num_labels, seed=seed) for task in tasks
        )
        model = deepcopy(start)
        assert isinstance(model, T5)
        finetune(model, text_to_text_tensors(tokenizer, list(texts)), config(settings, seed))
        for task in tasks:
            for words, split in SPLITS.items():
                test = text_to_text(task, settings.num_test, seed=seed + 1000, split=split)
                rows.append({"task": task, "words": words, **judged(model, tokenizer, test)})
    return rows


def config(settings: Settings, seed: int) -> FinetuneConfig:
    """As many epochs for one task as for all: a task has equally many rows in all the batches."""
    return FinetuneConfig(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        lr=settings.lr,
        precision="fp32",
        seed=seed,
        progress=False,
    )


def judged(model: T5, tokenizer: Tokenizer, test: list[tuple[str, str]]) -> Row:
    """The share of answers that are right to the last word, and that of the commonest answer."""
    sources, targets = zip(*test)
    # Written by the tokenizer too, which may change their spaces.
    wanted = [tokenizer.decode(tokenizer.encode(target)) for target in targets]
    written = write_answers(model, tokenizer, list(sources))
    return {
        "right": mean(float(a == b) for a, b in zip(written, wanted)),
        "commonest": max(map(wanted.count, wanted)) / len(wanted),
    }


def judge(results: Results) -> list[Finding]:
    one, each = ({"start": PRETRAINED, "models": models} for models in (ONE, EACH))
    findings = []
    for words in results.levels("words"):
        for task in results.levels("task"):
            where = {"task": task, "words": words}
            gain = results.difference("right", {**one, **where}, {**each, **where})
            findings.append(above(f"{ONE}, minus {EACH}: {task}, {words}", gain, -MARGIN))
    share = results.ratio("weights", one, each)
    return [*findings, below(f"{ONE}, times {EACH}: weights", share, 0.5, ".2f")]


STUDY = Study(
    name="multi-task",
    claim="One T5 that learns all tasks is as good at each as a T5 of its own, with a fraction of "
    "the weights.",
    source="The lecture on T5. Raffel et al. 2020, T5, sections 2.4 (every task as text to text) "
    "and 3.5.2 (one model for all tasks, which there does less well than one for each).",
    setup="A T5 reads about an invented world and writes out spans that were cut from it, once for "
    "each seed. Then it learns three tasks as text: the main event of a story, the answer to a "
    "question on a context, and whether an opinion is positive. The first word says which is "
    "asked. Either one model learns all three, from batches that mix their rows, or three models "
    "learn one each. Labels, rates, batches and epochs are the same; so one model makes three "
    "times the steps, and a task has equally many rows in them.\n\nAnswers are written greedily, "
    "and are right if every word is. The test has other texts of the words and sentence forms that "
    "the labels have, and texts of words that only the unlabelled documents told of, some in other "
    "forms. The controls start from random weights.",
    rule=f"The claim is that on each task, with either words, one pretrained model lies no more "
    f"than {MARGIN:.0%} below a pretrained model of its own, and that it has less than half of the "
    "weights of all of those. The controls are not judged.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    factors=("words", "task", "start", "models"),
    figures=(
        Figure("right", "Answers that are right to the last word", levels=("commonest",)),
        Figure("weights", "Weights in all", ",.0f", is_drawn=False),
    ),
    quick_seeds=2,
)
