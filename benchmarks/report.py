"""What a run prints and writes: tables, for the terminal and as Markdown, and their numbers."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.runner import Row, Settings, Timed, Workload, lacking, ratio
from minift.training.precision import processor

PACKAGES = ("torch", "transformers", "timm", "torchvision", "tokenizers", "gensim", "numpy")
COLUMNS = (
    *("work", "beside", "ours s", "theirs s", "ratio", "aim"),
    *("MB ours", "theirs", "share", "aim", "figure ours", "theirs"),
)
NOTE = (
    "Medians; ratio: the median over the rounds of theirs / ours, above 1 minift is faster. MB: "
    "the peak over what the imports take; share: ours / theirs. figure: what a run returned, mean "
    "of the rounds: a loss, a number of tokens, or how word vectors agree with human judgement."
)


class Part(NamedTuple):
    """What one name adds to the output."""

    rows: list[Sequence[str]]
    notes: list[str]
    numbers: dict[str, Any]  # for JSON


class Study(NamedTuple):
    """What can be asked for: the table beside other tools, or one of minift alone."""

    names: tuple[str, ...]  # its parts, as --only has them
    columns: tuple[str, ...]
    note: str
    part: Callable[[str, Settings], Part]


def lines(workload: Workload, timed: dict[str, Timed]) -> list[Sequence[str]]:
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


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    aligned = ["---"] * 2 + ["---:"] * (len(columns) - 2)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, aligned, *rows))


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


def _line(row: Row, ours: Timed, peer: Timed) -> Sequence[str]:
    return (
        row.label,
        row.peer,
        f"{statistics.median(ours.seconds):.3f}",
        f"{statistics.median(peer.seconds):.3f}",
        f"{ratio(ours, peer):.2f}",
        _number(row.reach),
        f"{ours.memory:.0f}",
        f"{peer.memory:.0f}",
        f"{ours.memory / max(peer.memory, 1):.2f}",
        _number(row.reach_memory),
        _figure(ours),
        _figure(peer),
    )


def _figure(timed: Timed) -> str:
    figures = [figure for figure in timed.figures[1:] if figure is not None]
    return _number(statistics.mean(figures)) if figures else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if value < 1000 else f"{value:.0f}"
