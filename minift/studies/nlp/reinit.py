"""How much of the top to draw anew, task by task (Zhang et al. 2021, section 5).

The top of a pretrained trunk knows the pretraining task best, the bottom the language. Where the
one ends and the other begins for a new task is not known beforehand; here every cut is tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from minift.checkpoint import load, load_tokenizer
from minift.recipes.finetuning import FinetuneConfig
from minift.recipes.report import Report
from minift.recipes.story_nlp import LABEL_FACTOR
from minift.studies.nlp.labelled import learn, train_and_test
from minift.studies.nlp.pretrained import QUICK_READING, READING, Reading, pretrained
from minift.studies.results import Results, Row
from minift.studies.statistics import summarize
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above

Scores = dict[tuple[str, int, int], float]  # by task, stages drawn anew, and seed


@dataclass(frozen=True)
class Settings:
    reading: Reading = READING
    tasks: tuple[str, ...] = ("acceptability", "sentiment", "equivalence", "entailment")
    num_labels: int = 128  # of a task, times its LABEL_FACTOR
    epochs: int = 20
    num_test: int = 500


# What has read single sentences only is at chance on pairs of them, whatever the cut.
QUICK = Settings(QUICK_READING, tasks=("acceptability", "sentiment"))


def cells(settings: Settings) -> list[Cell]:
    # All stages but the embedding: the blocks and, topmost, the pooler.
    cuts = range(settings.reading.num_layers + 2)
    return [{"task": task, "stages_anew": cut} for task in settings.tasks for cut in cuts]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.reading, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> Row:
    seed, task = cell["seed"], cell["task"]
    tokenizer, model = load_tokenizer(trunk), load(trunk)
    num_labels = settings.num_labels * LABEL_FACTOR[task]
    train, test = train_and_test(tokenizer, task, num_labels, settings.num_test, seed)
    config = FinetuneConfig(
        epochs=settings.epochs,
        num_reinit=cell["stages_anew"],
        precision="fp32",
        seed=seed,
        progress=False,
    )
    row, _ = learn(model, train, test, config)
    return row


def gains(results: Results) -> dict[int, float]:
    """seed -> accuracy with a cut for each task, minus that with one cut for all tasks.

    Both are chosen on the other seeds: chosen on the seed that is scored, the best of several would
    be ahead by luck alone, and the more so the more cuts there are.
    """
    scores = {
        (row["task"], row["stages_anew"], row["seed"]): row["accuracy"] for row in results.rows
    }
    tasks, seeds = results.levels("task"), results.levels("seed")
    found = {}
    for seed in seeds:
        others = [each for each in seeds if each != seed] or [seed]  # one seed shows nothing
        common = best_cut(scores, tasks, others)
        found[seed] = mean(
            scores[task, best_cut(scores, [task], others), seed] - scores[task, common, seed]
            for task in tasks
        )
    return found


def best_cut(scores: Scores, tasks: Iterable[str], seeds: Iterable[int]) -> int:
    """The cut with the highest mean accuracy; of equals the one that keeps most."""
    tasks, seeds = list(tasks), list(seeds)
    cuts = sorted({cut for _, cut, _ in scores})
    return max(cuts, key=lambda cut: mean(scores[t, cut, s] for t in tasks for s in seeds))


def judge(results: Results) -> list[Finding]:
    gain = summarize(list(gains(results).values()))
    return [above("a cut for each task, minus one for all: accuracy", gain)]


def draw(report: Report, results: Results) -> None:
    report.lines(
        **results.lines("accuracy", x="stages_anew", by="task"),
        x_label="top stages drawn anew",
        y_label="accuracy",
        caption="Accuracy by the number of stages drawn anew; 1 is the pooler alone.",
        baseline={"majority class": results.summary("majority").mean},
    )


STUDY = Study(
    name="reinit",
    claim="How many top layers are best drawn anew depends on the task.",
    source="The lecture on fine-tuning BERT in practice. Zhang et al. 2021, Revisiting Few-sample "
    "BERT Fine-tuning, section 5 (re-initialised top layers, and how many).",
    setup="A BERT reads about an invented world, once for each seed. Then it is fine-tuned on each "
    "task with few labels, with none of its stages drawn anew, with the pooler, with the pooler "
    "and the top block, and so on down to the embedding, which is always kept. Head, rows, rates "
    "and epochs are the same for every cut.",
    rule="For each seed, the best cut of each task and the best one cut for all tasks are chosen "
    "by the mean accuracy of the other seeds. The claim is that the first scores higher on the "
    "seed that was left out: were the best cut the same everywhere, nothing would be gained.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("task", "stages_anew"),
    figures=(Figure("accuracy", "Accuracy", levels=("majority",)),),
)
