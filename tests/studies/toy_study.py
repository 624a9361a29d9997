"""A study that takes no time: its runs note that they ran, and draw from torch's generator.

Not a test. Other processes import it by its name, so its folder must be on the path: see `toy` in
conftest.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from minift.studies.results import Results, Row
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above


@dataclass(frozen=True)
class Settings:
    notes: str  # the file in which each run notes what it is
    gain: float = 3.0  # of the new method


def cells(settings: Settings) -> list[Cell]:
    return [{"method": "old"}, {"method": "new"}]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return Ingredient(make_trunk, {"notes": settings.notes, "seed": cell["seed"]})


def make_trunk(folder: Path, *, notes: str, seed: int) -> Row:
    note(notes, f"trunk {seed}")
    (folder / "trunk.txt").write_text(str(torch.rand(()).item()))
    return {"weights": 1.0}


def run(settings: Settings, cell: Cell, folder: Path) -> Row:
    note(settings.notes, f"{cell['method']} {cell['seed']}")
    score = float((folder / "trunk.txt").read_text()) + torch.rand(()).item()
    return {"score": score + settings.gain * (cell["method"] == "new"), "chance": 0.1}


def note(path: str, line: str) -> None:
    """Note a run; where the file `broken` beside it says what happens then, let it happen."""
    with open(path, "a") as file:
        file.write(line + "\n")
    broken = Path(path).with_name("broken")
    said = broken.read_text().splitlines() if broken.exists() else []
    happens = dict(each.split(": ") for each in said)
    match happens.get(line):
        case "error":
            raise ZeroDivisionError("nothing to divide by")
        case "key":
            raise KeyboardInterrupt
        case "wait":
            time.sleep(600)


def judge(results: Results) -> list[Finding]:
    gain = results.difference("score", {"method": "new"}, {"method": "old"})
    return [above("new, minus old", gain)]


def study(settings: Settings) -> Study:
    return Study(
        name="toy",
        claim="The new method <beats> the old one.",
        source="Nobody 2000, section 1.",
        setup="Numbers are drawn.",
        rule="Shown if the gain is above 0.",
        settings=settings,
        quick=settings,
        cells=cells,
        run=run,
        needs=needs,
        judge=judge,
        factors=("method",),
        figures=(Figure("score", "Score & more", ".2f", ("chance",)),),
        seeds=3,
        quick_seeds=2,
    )
