"""Text without labels, read before a few labels are learnt: semi-supervised learning.

A task's sentences are plenty, their labels are few. So the network first fills in masked words of
the sentences alone: from random weights (Dai & Le 2015), or after it has read general text (Howard
& Ruder 2018; Gururangan et al. 2020). Then it learns from the labels what it has no name for yet.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

from minift.checkpoint import load, load_tokenizer
from minift.data.world import world_documents
from minift.data.world_tasks import WHOLE, Example, world_task
from minift.recipes.datasets import Dataset, classification_dataset, encode_documents
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.pretraining import judge as masked_word_scores
from minift.recipes.pretraining import pretrain_bert
from minift.recipes.report import Report
from minift.recipes.story_models import MAX_LENGTH
from minift.studies.nlp.labelled import class_of, learn, whole_epochs
from minift.studies.nlp.pretrained import (
    QUICK_READING,
    READING,
    Reading,
    read_documents,
    reading_config,
    words_of,
)
from minift.studies.results import Results, Row, minus
from minift.studies.statistics import summarize
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.tokenizers import Tokenizer

READINGS = ("nothing", "target", "general", "general, then target")
NOTHING, TARGET, GENERAL, BOTH = READINGS
FEW = 100  # labels, and fewer

# The tasks are of single sentences: there is nothing to gain from reading longer segments.
SENTENCES = replace(READING, num_steps=2000, max_sentences=1, head="mlm")


@dataclass(frozen=True)
class Settings:
    reading: Reading = SENTENCES
    tasks: tuple[str, ...] = ("acceptability", "sentiment")
    num_rows: int = 10_000  # of a task; but for the test's texts all are read, the first labelled
    num_test: int = 300  # texts: sentiment has no more than 1,152
    target_steps: int = 800  # of reading the target
    sizes: tuple[int, ...] = (10, 30, 100, 1_000)  # labels
    learn_steps: int = 620  # of learning them, however many: 10 epochs of 1,000
    lr: float = 1e-3  # of learning them: in full 1,000 labels are then enough from scratch


QUICK = Settings(
    replace(QUICK_READING, num_steps=1000), ("acceptability",), num_rows=4_000, num_test=500,
    sizes=(100, 1_000), learn_steps=434,
)  # fmt: skip


def cells(settings: Settings) -> list[Cell]:
    return [{"task": task, "read": read} for task in settings.tasks for read in READINGS]


def parted(
    task: str, num_rows: int, num_test: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Texts to judge by, each once, and the rows that hold none of them; there classes take turns.

    The texts of the test are parted off whole: a row drawn anew would often be one of them.
    """
    rows = world_task(task, num_rows, seed=seed, split=WHOLE)
    test = Random(seed).sample(list({row.text: row for row in rows}.values()), num_test)
    texts = {row.text for row in test}
    rest = [row for row in rows if row.text not in texts]
    sides = [[row for row in rest if row.label == label] for label in (0, 1)]
    return test, list(chain(*zip(*sides)))


def needs(settings: Settings, cell: Cell) -> Ingredient:
    """From scratch, only the tokenizer and the sizes are taken."""
    arguments = {name: getattr(settings, name) for name in ("tasks", "num_rows", "num_test")}
    reading = asdict(settings.reading)
    return Ingredient(general_bert, {"reading": reading, **arguments, "seed": cell["seed"]})


def general_bert(
    folder: Path, *, reading: dict[str, Any], tasks: tuple[str, ...], num_rows: int, num_test: int,
    seed: int,
) -> Row:  # fmt: skip
    """Read the world's documents, without the sentences of any test, and save."""
    tests = [parted(task, num_rows, num_test, seed)[0] for task in tasks]
    texts = {row.text for row in chain(*tests)}
    documents = world_documents(reading["num_documents"], seed=seed)
    kept, tokenizer = without(texts, documents), words_of(documents)
    return read_documents(folder, Reading(**reading), kept, tokenizer, seed)


def without(texts: set[str], documents: list[list[str]]) -> list[list[str]]:
    """Documents less some sentences; their openings, of two, are in no task."""
    return [[each for each in document if each not in texts] for document in documents]


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    """A row for each number of labels, and one about the words of the target."""
    seed, task, tokenizer = cell["seed"], cell["task"], load_tokenizer(trunk)
    test, rest = parted(task, settings.num_rows, settings.num_test, seed)
    model = load(trunk)
    if cell["read"] in (NOTHING, TARGET):
        model.trunk.reset_parameters()
        model.reset_head(model.head_name)

    config = reading_config(settings.reading, settings.target_steps, seed)
    if cell["read"] in (TARGET, BOTH):
        pretrain_bert(model, tokenizer, unlabelled(tokenizer, rest), config)
    asked = masked_word_scores(model, tokenizer, unlabelled(tokenizer, test), config)

    rows: list[Row] = [{"masked_words": asked["mlm_accuracy"]}]
    for size in settings.sizes:
        train = labelled(tokenizer, rest[:size])
        learning = learn_config(settings, size, seed)
        row, _ = learn(deepcopy(model), train, labelled(tokenizer, test), learning)
        rows.append({"num_labels": size, **row})
    return rows


def unlabelled(tokenizer: Tokenizer, rows: list[Example]) -> list[list[list[int]]]:
    """The sentences without their labels, shuffled, for classes may take turns; a document is two.

    Else a sentence's place in its document would tell its label.
    """
    texts = [row.text for row in rows]
    Random(0).shuffle(texts)
    return encode_documents(
        tokenizer, [texts[begin : begin + 2] for begin in range(0, len(texts), 2)]
    )


def labelled(tokenizer: Tokenizer, rows: list[Example]) -> Dataset:
    texts = [row.text for row in rows]
    labels = [class_of(row) for row in rows]
    return classification_dataset(tokenizer, texts, labels=labels, max_length=MAX_LENGTH)


def learn_config(settings: Settings, size: int, seed: int) -> FinetuneConfig:
    """As many steps, up to whole epochs, for any reading and size; the last weights count."""
    common = FinetuneConfig(lr=settings.lr, precision="fp32", seed=seed, progress=False)
    return replace(common, epochs=whole_epochs(settings.learn_steps, size, common.batch_size))


def leads(results: Results, first: str, second: str, sizes: list[int]) -> dict[int, float]:
    """seed -> by how much the first reading is ahead, in the mean over the tasks and sizes."""
    rows = Results([row for row in results.rows if row.get("num_labels") in sizes])
    return rows.differences("accuracy", {"read": first}, {"read": second})


def judge(results: Results) -> list[Finding]:
    sizes = sorted(results.levels("num_labels"))
    findings = []
    for first, second in ((TARGET, NOTHING), (BOTH, GENERAL)):
        few = leads(results, first, second, [size for size in sizes if size <= FEW])
        many = leads(results, first, second, sizes[-1:])
        lead = f"{first}, minus {second}"
        findings += [
            above(f"{lead}: at {FEW} labels or fewer", summarize([*few.values()])),
            below(f"{lead}: at {sizes[-1]:,} labels, minus at {FEW} or fewer", minus(many, few)),
        ]
    return findings


def draw(report: Report, results: Results) -> None:
    for task in results.levels("task"):
        report.lines(
            **results.lines("accuracy", x="num_labels", by="read", task=task),
            x_label="labels",
            y_label="accuracy",
            caption=f"{task}: accuracy by what was read first.",
            baseline={"majority class": results.summary("majority", task=task).mean},
            log_x=True,
        )


STUDY = Study(
    name="few-labels",
    claim="With few labels it pays to read unlabelled text of the target first, from random "
    "weights and after general text; with many labels it matters less.",
    source="The lecture on semi-supervised learning. Dai & Le 2015, Semi-supervised Sequence "
    "Learning, section 2; Howard & Ruder 2018, ULMFiT, section 3.2 (reading the target's text "
    "after general text) and 5 (few labels); Gururangan et al. 2020, Don't Stop Pretraining, "
    "sections 3 and 4.",
    setup="The target is a task of the invented world: is a sentence acceptable, is an opinion "
    "positive. First the test's texts are drawn, each once. All other sentences of the task are "
    "there to be read, and the first of them have labels. So words and templates are shared by "
    "test, labels and reading (other studies hold words out), but no text of a test is labelled, "
    "or read as a sentence of its own, in the general documents either; those tell many opinions "
    "of the test inside longer sentences, some with a verdict. Sentiment has only 1,152 texts: "
    "1,000 labelled rows hold many of them twice or more, as does what is read; acceptability's "
    "repeat less. Masked words are asked for in the test's texts.\n\nA BERT first fills in masked "
    "words: of nothing (from scratch), of the target's sentences, of general documents of the "
    "world, or of these and then the target's. Of the acceptability task half of the sentences "
    "are wrong ones: they tell which words are alike, not what is right. Then it learns from the "
    "labels, under the same head and with the same rows and rate, and in as many steps for few "
    "labels as for many.\n\nGeneral, then target reads longer than general alone. Its lead may be "
    "owed to more reading as well as to the target's text: no run here tells these apart.",
    rule="The claim is that, in the mean over the tasks and over the sizes of "
    f"{FEW} labels or fewer, reading the target's text is ahead of reading nothing, and that after "
    "general text of general text alone; and that each lead is smaller at the most labels. (With "
    "so many, all readings come near 100%: those leads could not be large.)",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("task", "num_labels", "read"),
    figures=(
        Figure("accuracy", "Accuracy", levels=("majority",)),
        Figure("masked_words", "Masked words of the test's texts that are filled in right"),
    ),
)
