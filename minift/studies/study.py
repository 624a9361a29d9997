"""What a study is: a claim, the grid of runs that tests it, and the rule by which it is judged.

The study's own file says only what is particular to the experiment. Seeds, processes, resuming,
intervals, tables and the page are written once, in the files beside this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minift.recipes.report import Report
from minift.studies.results import Results, Row
from minift.studies.verdict import Finding

Cell = dict[str, Any]  # what one run differs by: {"method": "frozen", "size": 100, "seed": 0}


@dataclass(frozen=True)
class Figure:
    """A number that every row of the results has, and how it is shown."""

    name: str  # its key in the rows
    label: str  # what it is, with its unit
    spec: str = ".1%"  # how it is written, a format specification; the default suits shares
    levels: tuple[str, ...] = ()  # keys of what to compare it with, last the chance or majority
    is_drawn: bool = True  # in the pictures, where the study draws none of its own


@dataclass(frozen=True)
class Ingredient:
    """What several runs start from and is made only once, such as a pretrained trunk.

    Studies that ask for the same `make` with the same arguments share what it made.

    make : (folder, **arguments) -> figures; writes what it makes into the folder.
    arguments : plain JSON values. "seed", if it is there, seeds torch's generator as well.
    """

    make: Callable[..., Row]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """One experiment.

    The functions are ordinary ones of the study's file (no lambdas for `run` and `Ingredient.make`,
    which other processes have to find), and get all they need as arguments. Each run has one
    thread, and torch's generator is seeded with its seed before it starts; so what it returns
    depends on its arguments only.

    name : of the command, in small letters and hyphens.
    claim : one sentence.
    source : who says so: the lecture's remark, and the paper with its section.
    setup : what is done; an empty line starts a new paragraph.
    rule : by which findings the claim is judged, in words.
    settings, quick : frozen dataclasses of one type, of the full and of the small form.
    cells : settings -> the grid, without the seeds.
    run : (settings, cell, folder) -> a row, or several that differ by further keys. The cell has
        its "seed"; folder is its ingredient's, or None. Rows hold plain JSON values; the cell's own
        keys are put in by the runner. A figure is shown of the rows that have it, which must have
        its levels too, and by the factors that all of them have.
    factors : the keys by which rows are told apart, in the order of the tables' columns.
    figures : what is measured.
    judge : the results -> the findings that the rule names.
    needs : (settings, cell) -> the ingredient that a cell starts from; None: none does.
    draw : (report, results): puts the pictures into the report. None: bars of the figures by the
        last factor, a chart for each combination of the others.
    seeds, quick_seeds : how many seeds the two forms have.

    Examples
    --------
    A study in full, as the file minift/studies/cv/coins.py:

        @dataclass(frozen=True)
        class Settings:
            num_flips: int = 10_000

        def cells(settings):
            return [{"coin": "fair"}, {"coin": "bent"}]

        def run(settings, cell, folder):
            probability = {"fair": 0.5, "bent": 0.6}[cell["coin"]]
            heads = torch.rand(settings.num_flips) < probability
            return {"heads": heads.float().mean().item(), "chance": 0.5}

        def judge(results):
            gain = results.difference("heads", {"coin": "bent"}, {"coin": "fair"})
            return [above("heads of the bent coin, minus those of the fair one", gain)]

        STUDY = Study(
            name="coins", claim="A bent coin shows heads more often.", source="...", setup="...",
            rule="Shown if the difference lies above 0.", settings=Settings(), quick=Settings(100),
            cells=cells, run=run, factors=("coin",),
            figures=(Figure("heads", "share of heads", levels=("chance",)),),
            judge=judge,
        )
    """

    name: str
    claim: str
    source: str
    setup: str
    rule: str
    settings: Any
    quick: Any
    cells: Callable[[Any], list[Cell]]
    run: Callable[[Any, Cell, Any], Row | list[Row]]
    factors: tuple[str, ...]
    figures: tuple[Figure, ...]
    judge: Callable[[Results], list[Finding]]
    needs: Callable[[Any, Cell], Ingredient] | None = None
    draw: Callable[[Report, Results], None] | None = None
    seeds: int = 5
    quick_seeds: int = 3
