"""How many of the lowest stages to freeze: fewer, the further the target is from the source?

Yosinski et al. 2014, How transferable are features in deep neural networks?, section 4: low layers
serve any task, high ones the task they were learnt for, and the more so the less alike the two are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from minift.data.shapes import SHAPES_CLASSES
from minift.objectives.scores import majority_accuracy
from minift.recipes.finetuning import finetune, score
from minift.recipes.report import Report
from minift.studies.cv.labelled import common_config, train_and_test, under_new_head
from minift.studies.cv.pretrained import QUICK_SOURCE, SOURCE, Source, pretrained
from minift.studies.results import Results, Row, minus
from minift.studies.statistics import summarize
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, below

DOMAINS = ("near", "mid", "far")  # of the source: new shapes, grey cells, land from above
NEAR, *FURTHER = DOMAINS
SCRATCH = "from scratch"
MARGIN = 0.02  # of accuracy, within which a number of frozen stages counts as good as the best


@dataclass(frozen=True)
class Settings:
    source: Source = SOURCE
    num_frozen: tuple[int, ...] = (0, 1, 2, 3, 4, 5)  # lowest stages; the last is all of them
    num_train: int = 200  # pictures of each target
    min_steps: int = 300
    batch_size: int = 32
    head_lr: float = 4e-3  # of the fresh head
    lr: float = 3e-4  # of the pretrained stages that are not frozen
    scratch_lr: float = 4e-3  # of a network from scratch, which says how hard a target is
    num_test: int = 2000


QUICK = Settings(QUICK_SOURCE, (0, 1, 2, 3, 4), min_steps=100, num_test=1000)


def cells(settings: Settings) -> list[Cell]:
    return [{"domain": domain, "start": SCRATCH} for domain in DOMAINS] + [
        {"domain": domain, "num_frozen": num_frozen}
        for domain in DOMAINS
        for num_frozen in settings.num_frozen
    ]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.source, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> Row:
    seed, domain = cell["seed"], cell["domain"]
    train, test = train_and_test(
        domain,
        settings.num_train,
        settings.num_test,
        seed=seed,
        image_size=settings.source.image_size,
    )
    is_scratch = "start" in cell
    num_classes = len(SHAPES_CLASSES[domain])
    model = under_new_head(trunk, "classify", num_classes, seed=seed, is_scratch=is_scratch)
    config = common_config(
        settings.num_train,
        batch_size=settings.batch_size,
        min_steps=settings.min_steps,
        head_lr=settings.head_lr,
        seed=seed,
    )
    if is_scratch:
        config = replace(config, lr=settings.scratch_lr)
    else:
        config = replace(config, num_frozen=cell["num_frozen"], lr=settings.lr)
    tuned = finetune(model, train, config)
    accuracy, majority = score(model, test, "fp32")["accuracy"], majority_accuracy(test["labels"])
    if is_scratch:
        return {"scratch": accuracy, "majority": majority}
    return {"accuracy": accuracy, "majority": majority, "trained": tuned.trainable}


def most_frozen(results: Results, domain: str) -> dict[int, int]:
    """seed -> the largest number of frozen stages that is within `MARGIN` of the best one.

    The best itself would be drawn by chance where several are equally good.
    """
    accuracy = {
        number: results.by_seed("accuracy", domain=domain, num_frozen=number)
        for number in results.levels("num_frozen")
    }
    found = {}
    for seed in results.levels("seed"):
        best = max(each[seed] for each in accuracy.values())
        found[seed] = max(k for k, each in accuracy.items() if each[seed] >= best - MARGIN)
    return found


def gains(results: Results, domain: str, num_frozen: int) -> dict[int, float]:
    """seed -> the accuracy with so many stages frozen, minus that with none."""
    first, second = ({"domain": domain, "num_frozen": k} for k in (num_frozen, 0))
    return results.differences("accuracy", first, second)


def judge(results: Results) -> list[Finding]:
    every = max(results.levels("num_frozen"))
    findings = []
    for domain in FURTHER:
        number = minus(most_frozen(results, domain), most_frozen(results, NEAR))
        gain = minus(gains(results, domain, every), gains(results, NEAR, every))
        findings += [
            below(f"{domain}, minus near: stages that may be frozen", number, spec="+.2f"),
            below(f"{domain}, minus near: what freezing all adds to the accuracy", gain),
        ]
    return findings


def draw(report: Report, results: Results) -> None:
    report.lines(
        **results.lines("accuracy", x="num_frozen", by="domain"),
        x_label="frozen stages, from the bottom",
        y_label="accuracy",
        caption="Accuracy on each target's test pictures.",
    )
    numbers = results.levels("num_frozen")
    added = {
        domain: [summarize(list(gains(results, domain, k).values())) for k in numbers]
        for domain in DOMAINS
    }
    report.lines(
        {domain: [(k, gain.mean) for k, gain in zip(numbers, added[domain])] for domain in added},
        x_label="frozen stages, from the bottom",
        y_label="accuracy, minus that with none frozen",
        caption="What freezing adds or costs, seed by seed.",
        baseline={"none frozen": 0.0},
        spread={domain: [gain.sd for gain in added[domain]] for domain in added},
    )
    most = {domain: summarize(list(most_frozen(results, domain).values())) for domain in DOMAINS}
    report.bars(
        {domain: number.mean for domain, number in most.items()},
        spread={domain: number.sd for domain, number in most.items()},
        caption=f"Stages that may be frozen: the most within {MARGIN:.0%} of the best accuracy.",
        spec=".1f",
    )


STUDY = Study(
    name="domains",
    claim="Of a network that is to learn a target unlike its source, fewer of the lowest stages "
    "should be frozen than where the target is like it.",
    source="The lecture on freezing: the bottom layers, and fewer of them when the domain differs. "
    "Yosinski et al. 2014, How transferable are features in deep neural networks?, section 4.",
    setup="A ResNet learns ten shapes. Three targets stand at growing distances from them: ten "
    "other shapes drawn in the same manner (near), grey cells under a microscope (mid), and land "
    "seen from above (far). Each has as few labelled pictures as the others. None, one, two, ... "
    "and at last all stages of the trunk are frozen, from the bottom; the rest and a fresh head "
    "learn, with the same steps, batches and rates everywhere.\n\nWhere several numbers of frozen "
    "stages are about equally good, which of them is the best is chance. So two things are "
    f"compared: the largest number that is within {MARGIN:.0%} of the best, and what freezing all "
    "stages adds to the accuracy against freezing none (below 0, what it costs). The targets have "
    "unlike numbers of classes and are not equally hard: compare what freezing changes, not the "
    "accuracies.\n\nWhat this cannot part: how far a target is, and how much its few pictures "
    "teach by themselves. Beside the frozen networks stands one from scratch. Where that stays at "
    "chance, little can be learnt anew, and what is frozen costs little for that reason too.",
    rule="The claim is that both, for mid and for far, are below what they are for near.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("domain", "num_frozen"),
    figures=(
        Figure("accuracy", "Accuracy on the target", levels=("majority",)),
        Figure("scratch", "Accuracy of a network from scratch", levels=("majority",)),
        Figure("trained", "Share of the weights that were trained"),
    ),
)
