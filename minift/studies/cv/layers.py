"""Which layers transfer? The networks BnB and AnB, and what fine-tuning makes of them, cut by cut.

Yosinski et al. 2014, How transferable are features in deep neural networks? A network learns task
A, another of the same shape task B. Then the lowest n stages of one of them are put below fresh
ones, and the whole learns B. Frozen, AnB tells how much of B the stages of A can serve; BnB, with
stages of B itself, whether it costs anything to learn the rest without them (co-adaptation).

On purpose not as in the paper: A and B are not halves of one set of classes but domains of the
shapes, so that the far target lies further away than any half; and where the paper has eight
layers, there are four stages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from minift.checkpoint import load
from minift.data.shapes import SHAPES_CLASSES
from minift.recipes.report import Report
from minift.stages import Model
from minift.studies.cv.labelled import under_new_head
from minift.studies.cv.pretrained import Source, judged, learn, pretrained
from minift.studies.results import Results, Row, minus
from minift.studies.statistics import Summary, summarize
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above, below
from minift.transfer import freeze, reinit_top

BASE = "base B"  # the network that has learnt B from scratch: nothing is copied, the cut is 0
NETWORKS = ("BnB", "AnB", "BnB+", "AnB+")  # whose lowest stages; + is fine-tuned, else frozen
BNB, ANB, BNB_TUNED, ANB_TUNED = NETWORKS
NEAR, FAR = TARGETS = ("near", "far")
MARGIN = 0.02  # of accuracy, within which one network counts as no worse than another

# What A is, and B, which is as large as A. The stem that makes a picture four times smaller lets so
# small a network learn shapes from scratch in under half a minute.
TASK_A = Source("resnet8", "paper", num_pictures=6_000, epochs=9, batch_size=32)


@dataclass(frozen=True)
class Settings:
    source: Source = TASK_A
    cuts: tuple[int, ...] = (1, 2, 3, 4)  # lowest stages that are copied; the last is all of them
    far_networks: tuple[str, ...] = NETWORKS  # the near target has all of them


QUICK = Settings(replace(TASK_A, num_pictures=4_000, epochs=5), (2, 4), (BNB, ANB))


def cells(settings: Settings) -> list[Cell]:
    networks = {NEAR: NETWORKS, FAR: settings.far_networks}
    return [{"target": target, "network": BASE, "cut": 0} for target in TARGETS] + [
        {"target": target, "network": network, "cut": cut}
        for target in TARGETS
        for network in networks[target]
        for cut in settings.cuts
    ]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    """The network of A, or that of B."""
    is_from_a = cell["network"] in (ANB, ANB_TUNED)
    return pretrained(settings.source if is_from_a else task_b(settings, cell), cell["seed"])


def task_b(settings: Settings, cell: Cell) -> Source:
    """The target: learnt as A was, from as many pictures."""
    return replace(settings.source, domain=cell["target"])


def run(settings: Settings, cell: Cell, folder: Path) -> Row:
    target, seed = task_b(settings, cell), cell["seed"]
    if cell["network"] == BASE:
        return judged(load(folder), target, seed)
    model = starting_model(cell, folder)
    learn(model, target, seed)
    return judged(model, target, seed)


def starting_model(cell: Cell, folder: Path) -> Model:
    """The lowest stages as they were learnt, the others and the head drawn anew."""
    num_classes = len(SHAPES_CLASSES[cell["target"]])
    model = under_new_head(folder, "classify", num_classes, seed=cell["seed"])
    reinit_top(model, len(model.trunk) - cell["cut"])
    freeze(model, 0 if cell["network"].endswith("+") else cell["cut"])
    return model


def lead(results: Results, network: str, other: str) -> Summary:
    """One network minus another on the near target, each as a mean over its cuts."""
    first, second = ({"target": NEAR, "network": each} for each in (network, other))
    return results.difference("accuracy", first, second)


def foreign(results: Results, target: str, cut: int) -> dict[int, float]:
    """seed -> AnB minus BnB at that cut: what it adds or costs that the stages are those of A.

    Both retrain as much, from as many fresh weights; only so are they compared fairly.
    """
    factors = {"target": target, "cut": cut}
    return results.differences("accuracy", {**factors, "network": ANB}, {**factors, "network": BNB})


def lost(results: Results, target: str, cut: int) -> dict[int, float]:
    """seed -> that loss as a share of what BnB has above chance, for targets unequally hard."""
    reached = results.by_seed("accuracy", target=target, network=BNB, cut=cut)
    chance = results.by_seed("chance", target=target)
    return {
        seed: -change / (reached[seed] - chance[seed])
        for seed, change in foreign(results, target, cut).items()
    }


def judge(results: Results) -> list[Finding]:
    cuts = sorted(set(results.levels("cut")) - {0})  # without the base's
    low, high = (foreign(results, NEAR, cut) for cut in (cuts[0], cuts[-1]))
    near, far = (lost(results, target, cuts[-1]) for target in TARGETS)
    return [
        above("near, lowest cut: AnB, minus BnB", summarize(list(low.values())), -MARGIN),
        below("near, AnB minus BnB: the highest cut, minus the lowest", minus(high, low)),
        above("highest cut, share that AnB loses of BnB: far, minus near", minus(far, near)),
        above("near, AnB+, minus the base", lead(results, ANB_TUNED, BASE)),
        above("near, AnB+, minus BnB+", lead(results, ANB_TUNED, BNB_TUNED)),
    ]


def draw(report: Report, results: Results) -> None:
    copied = Results([row for row in results.rows if row["network"] != BASE])
    for target in TARGETS:
        report.lines(
            **copied.lines("accuracy", x="cut", by="network", target=target),
            x_label="lowest stages that are copied",
            y_label="accuracy",
            caption=f"Accuracy on the {target} target. Copied from A or from B itself; with + they "
            "are fine-tuned, without it they are frozen.",
            baseline={BASE: results.summary("accuracy", target=target, network=BASE).mean},
        )


STUDY = Study(
    name="layers",
    claim="The lowest layers of a network serve other tasks as well, the highest are specific to "
    "their own: frozen under a new task they cost the more, the higher the cut and the further the "
    "task; fine-tuned, they are a better start than none, and not only because they were trained "
    "for longer.",
    source="The lecture on what the layers of a network learn. Yosinski et al. 2014, How "
    "transferable are features in deep neural networks?, section 4.1 (figure 2) and 4.2 (figure "
    "3).",
    setup="Task A is ten shapes. Task B, the target, is ten other shapes drawn in the same manner "
    "(near) or land seen from above (far), with as many pictures as A has. One network learns A, "
    "and one of the same shape learns B from scratch: the base. Then the lowest stages up to a cut "
    "are copied, from A (AnB) or from B itself (BnB); the stages above them and the head are drawn "
    "anew, and all that is not frozen learns B. AnB and BnB freeze what was copied, AnB+ and BnB+ "
    "fine-tune it.\n\nEvery network has the same pictures of B, batches, steps and rates, those of "
    "learning from scratch, and the last weights are scored. What BnB loses is owed to layers that "
    "had grown up together (co-adaptation) or to fewer that learn; what AnB loses beyond that, to "
    "features that serve A only. On the near target no network is trained to its end, so BnB+ "
    "gains on the base by being trained for longer; AnB+, trained as long in all, has to be "
    "compared with that too. The targets are not equally hard: between them the loss is compared "
    "as a share of what BnB has above chance.",
    rule="The claim is that on the near target AnB at the lowest cut lies no more than "
    f"{MARGIN:.0%} below BnB, and at the highest further below it than at the lowest; that with "
    "all stages copied AnB loses a larger share on the far target than on the near one; and that "
    "on the near target, as a mean over the cuts, AnB+ lies above the base and above BnB+.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    draw=draw,
    factors=("target", "network", "cut"),
    figures=(Figure("accuracy", "Accuracy on B", levels=("chance",)),),
    quick_seeds=2,
)
