"""Text without labels, read before a few labels are learnt: semi-supervised learning.

A task's sentences are plenty, their labels are few. So the network first fills in masked words of
the sentences alone: from random weights (Dai & Le 2015), or after it has read general text (Howard
& Ruder 2018; Gururangan et al. 2020). Then it learns from the labels what it has no name for yet.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from minift.checkpoint import load, load_tokenizer
from minift.data.world_tasks import WHOLE, world_task
from minift.recipes.datasets import encode_documents
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.pretraining import PretrainConfig, pretrain_bert
from minift.recipes.pretraining import judge as masked_word_scores
from minift.recipes.report import Report
from minift.recipes.story_nlp import task_dataset
from minift.stages import Model
from minift.studies.nlp.labelled import learn
from minift.studies.nlp.pretrained import QUICK_READING, READING, Reading, pretrained
from minift.studies.results import Results, Row
from minift.studies.statistics import summarize
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.tokenizers import Tokenizer

READINGS = ("nothing", "target", "general", "general, then target")
NOTHING, TARGET, GENERAL, BOTH = READINGS
FEW = 100  # labels, and fewer

# The tasks are of single sentences: there is nothing to gain from reading pairs.
SENTENCES = replace(READING, max_sentences=1, head="mlm")


@dataclass(frozen=True)
class Settings:
    reading: Reading = SENTENCES
    tasks: tuple[str, ...] = ("acceptability", "sentiment")
    num_unlabelled: int = 5_000  # sentences
    target_steps: int = 1200  # of reading them
    sizes: tuple[int, ...] = (10, 30, 100, 300, 1_000)  # labels
    min_steps: int = 200  # of learning them, however few
    min_epochs: int = 10  # however many
    lr: float = 1e-3  # of learning them: one at which 1,000 labels are enough from scratch
    num_test: int = 1_000


QUICK = Settings(
    replace(QUICK_READING, num_steps=1000), ("acceptability",), num_unlabelled=2_000,
    target_steps=800, sizes=(30, 100, 1_000), min_epochs=5, lr=2e-3, num_test=500,
)  # fmt: skip


def cells(settings: Settings) -> list[Cell]:
    return [{"task": task, "read": read} for task in settings.tasks for read in READINGS]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    """From scratch, only the tokenizer and the sizes are taken."""
    return pretrained(settings.reading, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    """A row for each number of labels, and one about the words of the target."""
    seed, task, tokenizer = cell["seed"], cell["task"], load_tokenizer(trunk)
    model = load(trunk)
    if cell["read"] in (NOTHING, TARGET):
        model.trunk.reset_parameters()
        model.reset_head(model.head_name)
    asked = read_target(model, tokenizer, settings, cell)

    test = task_dataset(tokenizer, task, settings.num_test, seed=seed + 1000, split=WHOLE)
    rows: list[Row] = [asked]
    for size in settings.sizes:
        train = task_dataset(tokenizer, task, size, seed=seed, split=WHOLE)
        row, _ = learn(deepcopy(model), train, test, config(settings, size, seed))
        rows.append({"num_labels": size, **row})
    return rows


def read_target(model: Model, tokenizer: Tokenizer, settings: Settings, cell: Cell) -> Row:
    """Read the target's text, if the cell does; the share of its masked words then filled in."""
    reading, task, seed = settings.reading, cell["task"], cell["seed"]
    config = PretrainConfig(
        num_steps=settings.target_steps,
        batch_size=reading.batch_size,
        lr=reading.lr,
        max_sentences=reading.max_sentences,
        precision="fp32",
        seed=seed,
        progress=False,
    )
    if cell["read"] in (TARGET, BOTH):
        text = unlabelled(task, settings.num_unlabelled, seed + 2000)
        pretrain_bert(model, tokenizer, encode_documents(tokenizer, text), config)
    others = encode_documents(tokenizer, unlabelled(task, 500, seed + 3000))
    return {"masked_words": masked_word_scores(model, tokenizer, others, config)["mlm_accuracy"]}


def unlabelled(task: str, num_sentences: int, seed: int) -> list[list[str]]:
    """Sentences of a task without their labels; a document is two, in no order."""
    texts = [each.text for each in world_task(task, num_sentences, seed=seed, split=WHOLE)]
    return [texts[begin : begin + 2] for begin in range(0, num_sentences, 2)]


def config(settings: Settings, size: int, seed: int) -> FinetuneConfig:
    """The same steps and batches, whatever was read; the last weights count."""
    common = FinetuneConfig(lr=settings.lr, precision="fp32", seed=seed, progress=False)
    steps_an_epoch = max(1, size // common.batch_size)
    enough = -(-settings.min_steps // steps_an_epoch)  # epochs, rounded up
    return replace(common, epochs=max(settings.min_epochs, enough))


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
        shrunk = summarize([many[seed] - few[seed] for seed in few])
        findings += [
            above(f"{first}, minus {second}: {FEW} labels or fewer", summarize([*few.values()])),
            below(f"that lead at {sizes[-1]:,} labels, minus that", shrunk),
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
    "positive. Its sentences are plenty and hold all words that the test holds, as a practitioner "
    "who has the texts would have them. Their labels are few. Labelled, unlabelled and test "
    "sentences are drawn anew from the same words and templates; so the more labels, the more of "
    "the test's words have one, which is not so where other studies hold words out.\n\nA BERT "
    "first fills in masked words: of nothing (from scratch), of the target's sentences, of general "
    "documents of the world, or of these and then the target's. Of the acceptability task half of "
    "the sentences are wrong ones: they tell which words are alike, not what is right. "
    "Then it learns from the labels, under the same head and with the same rows, rate and steps.",
    rule="The claim is that, in the mean over the tasks and over the sizes of "
    f"{FEW} labels or fewer, reading the target's text is ahead of reading nothing, and that after "
    "general text of general text alone; and that each lead is smaller at the most labels.",
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
        Figure("masked_words", "Masked words of the target's text that are filled in right"),
    ),
)
