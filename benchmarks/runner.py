"""Time sides in turns, each in a process of its own, and set their medians side by side.

A side is a function that builds its work and returns what is to be timed. All sides of a workload
are built first, each in a fresh process; then they are asked one after the other, round by round,
so that a machine that slows down slows all of them. A process that is not asked waits without
using a core.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

Work = Callable[[], Any]  # what is timed; returns a number that the sides must agree on, or None


@dataclass(frozen=True)
class Settings:
    rounds: int = 5
    threads: int = 2
    is_quick: bool = False  # small sizes, to see that all runs; the times mean nothing
    data_dir: str | None = None  # folder of real data; without it, the embedded corpus

    def size(self, full: int, quick: int) -> int:
        return quick if self.is_quick else full


class Row(NamedTuple):
    """One line of the table: how many times as fast as `peer` is `ours`?"""

    label: str
    ours: str
    peer: str
    reach: float | None  # the ratio that was aimed at


class Workload(NamedTuple):
    """sides : name -> function from settings to the work; rows : who is set beside whom."""

    sides: dict[str, Callable[[Settings], Work]]
    rows: list[Row]


class Timed(NamedTuple):
    seconds: list[float]  # one a round
    memory: float  # MB at the peak, over what the imports and the data took
    figure: float | None  # what the work returned in the last round


def measure(name: str, settings: Settings) -> dict[str, Timed]:
    """Time all sides of a workload."""
    sides = load(name).sides
    processes = {side: _Process(name, side, settings) for side in sides}
    try:
        for process in processes.values():  # one after the other: building uses both cores
            process.ask()
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(settings.rounds):
            for side, process in processes.items():
                seconds[side].append(process.ask()["seconds"])
        answers = {side: process.ask("end") for side, process in processes.items()}
    finally:
        for process in processes.values():
            process.close()
    return {
        side: Timed(seconds[side], answer["memory"], answer["figure"])
        for side, answer in answers.items()
    }


def ratio(peer: Timed, ours: Timed) -> float:
    """The median of the rounds' ratios: above 1, ours is the faster one."""
    return statistics.median(a / b for a, b in zip(peer.seconds, ours.seconds))


def load(name: str) -> Workload:
    return importlib.import_module(f"benchmarks.{name}").WORKLOAD


class _Process:
    """A side in a fresh process that times its work once for each line it is sent."""

    def __init__(self, name: str, side: str, settings: Settings) -> None:
        command = [sys.executable, "-m", "benchmarks.runner", name, side]
        self.name = f"{name}: {side}"
        self.process = subprocess.Popen(
            [*command, json.dumps(vars(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(settings.threads),
                "RAYON_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )

    def ask(self, what: str = "run") -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; why, it has said on standard error
        for line in self.process.stdout:  # libraries print as well
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def _peak_memory() -> float:
    """MB that this process has had at most (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def _serve(name: str, side: str, settings: Settings) -> None:
    import torch

    torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)  # on all sides: no merit of ours
    torch.manual_seed(0)
    build = load(name).sides[side]
    before = _peak_memory()
    work = build(settings)
    figure = None
    for line in sys.stdin:
        if line.strip() == "end":
            memory = _peak_memory() - before
            print(json.dumps({"memory": memory, "figure": figure}), flush=True)
            return
        started = time.perf_counter()
        figure = work()
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], Settings(**json.loads(sys.argv[3])))
