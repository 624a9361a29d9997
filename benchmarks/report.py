"""What a run prints and writes: tables, and the numbers that they show at full precision.

A row of a table is a dict from headings to values. results.json has the rows, tables.md the same
rows rounded, so a number that is read in a table can be looked up.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.runner import Row, Settings, Timed, Workload, lacking, ratio
from minift.training.files import write_text
from minift.training.precision import processor

PACKAGES = ("torch", "transformers", "timm", "torchvision", "tokenizers", "gensim", "numpy")
Columns = Mapping[str, Callable[[Any], str]]  # heading -> how a value below it is written
Line = dict[str, Any]  # heading -> value


def number(value: float) -> str:
    """Four digits, or all in front of the point."""
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


COLUMNS: Columns = {
    "work": str,
    "beside": str,
    "ours s": "{:.3f}".format,
    "theirs s": "{:.3f}".format,
    "ratio": "{:.2f}".format,
    "aim": number,
    "MB ours": "{:.0f}".format,
    "MB theirs": "{:.0f}".format,
    "share": "{:.2f}".format,
    "aim of share": number,
    "figure ours": number,
    "figure theirs": number,
}
NOTE = (
    "Medians; ratio: the median over the rounds of theirs / ours, above 1 minift is faster. MB: "
    "the peak over what the imports take; share: ours / theirs. figure: what a run returned, mean "
    "of the rounds: a loss, a number of tokens, or how word vectors agree with human judgement."
)


class Part(NamedTuple):
    """What one name adds to the output."""

    rows: list[Line]
    notes: list[str]
    measured: dict[str, Any]  # what the rows were computed from


class Study(NamedTuple):
    """What can be asked for: the table beside other tools, or one of minift alone."""

    names: tuple[str, ...]  # its parts, as --only has them
    columns: Columns
    note: str
    part: Callable[[str, Settings], Part]


def lines(workload: Workload, timed: dict[str, Timed]) -> list[Line]:
    """The rows that could be measured."""
    return [
        _line(row, timed[row.ours], timed[row.peer])
        for row in workload.rows
        if row.ours in timed and row.peer in timed
    ]


def left_out(workload: Workload) -> list[str]:
    """The rows that could not, and why."""
    reasons = []
    for row in workload.rows:
        reason = lacking(workload.sides[row.ours]) or lacking(workload.sides[row.peer])
        if reason is not None:
            reasons.append(f"{row.label} beside {row.peer}: left out, {reason}")
    return reasons


def write(folder: Path, numbers: dict[str, Any], tables: Iterable[str]) -> None:
    """Leave results.json, and tables.md with a blank line between two of `tables`."""
    write_text(folder / "results.json", json.dumps(numbers, indent=1) + "\n")
    write_text(folder / "tables.md", "\n\n".join(tables) + "\n")


def cells(columns: Columns, line: Line) -> list[str]:
    """The values of a line as they are shown; empty where there is none."""
    values = ((shown, line.get(heading)) for heading, shown in columns.items())
    return ["" if value is None else shown(value) for shown, value in values]


def markdown(columns: Collection[str], rows: Iterable[Sequence[str]]) -> str:
    aligned = ["---"] * 2 + ["---:"] * (len(columns) - 2)
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, aligned, *escaped))


def machine() -> str:
    """The CPU and the versions, in a line."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(
        [
            f"{processor()}, {os.cpu_count()} cores",
            torch.backends.cpu.get_cpu_capability(),
            f"{platform.system()}, Python {platform.python_version()}",
            *versions,
        ]
    )


def _line(row: Row, ours: Timed, peer: Timed) -> Line:
    return {
        "work": row.label,
        "beside": row.peer,
        "ours s": statistics.median(ours.seconds),
        "theirs s": statistics.median(peer.seconds),
        "ratio": ratio(ours, peer),
        "aim": row.reach,
        "MB ours": ours.memory,
        "MB theirs": peer.memory,
        "share": ours.memory / max(peer.memory, 1),
        "aim of share": row.reach_memory,
        "figure ours": _figure(ours),
        "figure theirs": _figure(peer),
    }


def _figure(timed: Timed) -> float | None:
    figures = [figure for figure in timed.figures[1:] if figure is not None]
    return statistics.mean(figures) if figures else None
