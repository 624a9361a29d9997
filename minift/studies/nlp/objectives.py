"""What a network learns in pretraining, by the question that its text had to answer.

Six ways of self-supervised pretraining read the same documents, equally many tokens of them. Then
each network learns the same five tasks from the same few labels, and so does each without any
pretraining.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from minift.checkpoint import load, load_tokenizer
from minift.data.world_tasks import TASKS
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.report import Report
from minift.recipes.story_nlp import LABEL_FACTOR
from minift.recipes.text_commands import FAMILIES
from minift.studies.nlp.labelled import learn, train_and_test
from minift.studies.nlp.self_supervised import (
    BUDGET,
    CBOW,
    MASKED,
    MASKED_PAIRS,
    NEXT,
    OBJECTIVES,
    QUICK_BUDGET,
    SKIP_GRAM,
    SPANS,
    Budget,
    reader,
)
from minift.studies.results import Results, Row
from minift.studies.statistics import Summary
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above

WORDS_DECIDE = "sentiment"  # the others hang on the order of words, or on pairs of sentences
PAIRS = ("equivalence", "entailment")
MARGIN = 0.02  # of accuracy, within which word vectors count as good as a network that reads


@dataclass(frozen=True)
class Settings:
    budget: Budget = BUDGET
    objectives: tuple[str, ...] = tuple(OBJECTIVES)
    tasks: tuple[str, ...] = TASKS
    num_labels: int = 128  # of a task, times its LABEL_FACTOR
    epochs: int = 20
    num_test: int = 500


# Pairs of sentences take long to learn; words and their order are learnt in half a minute.
QUICK = Settings(
    QUICK_BUDGET,
    objectives=(CBOW, MASKED),
    tasks=("acceptability", WORDS_DECIDE),
)


def scratch(objective: str) -> str:
    """The control: the same network without pretraining."""
    return f"scratch, {OBJECTIVES[objective].model}"


def cells(settings: Settings) -> list[Cell]:
    controls = dict.fromkeys(map(scratch, settings.objectives))  # one for each model
    objectives = [*settings.objectives, *controls]
    return [{"task": task, "objective": each} for task in settings.tasks for each in objectives]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    """From scratch, only the tokenizer and the sizes are taken."""
    own = next(o for o in settings.objectives if cell["objective"] in (o, scratch(o)))
    return reader(settings.budget, own, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> Row:
    seed, task = cell["seed"], cell["task"]
    tokenizer, model = load_tokenizer(trunk), load(trunk)
    if cell["objective"] not in OBJECTIVES:
        torch.manual_seed(seed)
        model.trunk.reset_parameters()
    num_labels = settings.num_labels * LABEL_FACTOR[task]
    train, test = train_and_test(tokenizer, task, num_labels, settings.num_test, seed)
    common = FinetuneConfig(epochs=settings.epochs, precision="fp32", seed=seed, progress=False)
    row, _ = learn(model, train, test, replace(common, **FAMILIES[model.family].finetuning))
    return row


def lead(results: Results, first: str, second: str, tasks: Iterable[str]) -> Summary:
    """By how much `first` is ahead in the mean over the tasks, seed by seed."""
    rows = Results([row for row in results.rows if row["task"] in tasks])
    return rows.difference("accuracy", {"objective": first}, {"objective": second})


def judge(results: Results) -> list[Finding]:
    """In the quick form some are missing, and so are the findings on them."""
    found, tasks = results.levels("objective"), results.levels("task")
    others = [task for task in tasks if task != WORDS_DECIDE]
    claims = [
        *((each, scratch(each), tasks, "all tasks", 0.0) for each in OBJECTIVES),
        *((each, MASKED, [WORDS_DECIDE], WORDS_DECIDE, -MARGIN) for each in (CBOW, SKIP_GRAM)),
        *((each, CBOW, others, "all other tasks", 0.0) for each in (MASKED, NEXT, SPANS)),
        (MASKED, NEXT, tasks, "all tasks", 0.0),
        *((MASKED_PAIRS, MASKED, [task], task, 0.0) for task in PAIRS),
    ]
    return [
        above(f"{first}, minus {second}: {what}", lead(results, first, second, among), level)
        for first, second, among, what, level in claims
        if first in found and second in found
    ]


def draw(report: Report, results: Results) -> None:
    tasks = results.levels("task")
    means = {
        each: [results.summary("accuracy", objective=each, task=task).mean for task in tasks]
        for each in results.levels("objective")
    }
    report.table(
        ["pretrained by", *tasks],
        [[each, *(f"{value:.1%}" for value in values)] for each, values in means.items()],
        caption="Accuracy; of answers, the share that is exact.",
        best=dict.fromkeys(tasks, max),
    )
    for task in tasks:
        report.bars(
            **results.bars("accuracy", by="objective", task=task),
            caption=f"{task}, and the commonest answer",
            chance=results.summary("majority", task=task).mean,
            limit=1.0,
            level="commonest",
        )


STUDY = Study(
    name="objectives",
    claim="What a network learns in pretraining depends on the question that its text answers: "
    "word vectors do where single words decide, a network that reads in context is needed where "
    "order or pairs of sentences do, reading in both directions beats reading in one, and next "
    "sentence prediction helps on pairs.",
    source="The lecture on self-supervised pretraining. Mikolov et al. 2013, Efficient Estimation "
    "of Word Representations, section 3 (CBOW, skip-gram); Devlin et al. 2019, BERT, section 5.1 "
    "and table 5 (without next sentence prediction, and left to right); Raffel et al. 2020, T5, "
    "section 3.3 (spans, masked words, next words).",
    setup="Six networks read about an invented world, once for each seed: word2vec by CBOW and by "
    "skip-gram, BERT by masked words, and by masked words and next sentence prediction on the same "
    "pairs of segments, GPT by next words, T5 by spans. The budget of each is the same number of "
    "tokens of the same documents. Width is the same for all, depth for BERT, GPT and T5's "
    "encoder; T5 has a decoder block on top. How many weights that makes and how many seconds it "
    "took is told below, by what the runs started from.\n\nThen each learns five tasks from few "
    "labels: is a sentence acceptable, is an opinion positive, do two sentences say the same, does "
    "one follow from the other, and where in a text is the answer to a question. Labels, rows and "
    "steps are the same for all, and the test holds words that the labels do not. Every family "
    "points at the answer by the same head on its tokens: T5's encoder sees both sides of them, "
    "GPT what stands before, and word2vec the word alone. Rates were fixed for each family "
    "beforehand. The controls are the same networks without pretraining.",
    rule="The claim is that, in the mean over the tasks, each network beats itself from scratch; "
    f"that on {WORDS_DECIDE} word vectors lie no more than {MARGIN:.0%} below masked words; that "
    "on the other tasks masked words, next words and spans each lie above CBOW; that masked words "
    f"lie above next words; and that next sentence prediction adds on {' and on '.join(PAIRS)}. "
    "The quick form has CBOW and masked words only, and no pairs.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("task", "objective"),
    figures=(Figure("accuracy", "Accuracy", levels=("majority",)),),
)
