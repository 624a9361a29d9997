"""Time sides in turns, each in a process of its own, and refuse those that do not do the same work.

A side is a function that builds its work: what is to be timed, and figures that the two sides of a
row must have alike, such as the number of weights and the loss before any step. All sides of a
workload are built first, each in a fresh process; then they are asked one after the other, round
by round, so that a machine that slows down slows all of them. A process that is not asked waits
without using a core.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import math
import os
import pkgutil
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

WORKLOADS = (
    *("bert", "gpt", "generation", "t5", "resnet", "frozen"),
    *("word2vec", "adam", "tokens", "loading"),
)


@dataclass(frozen=True)
class Settings:
    rounds: int = 5
    threads: int = 2
    is_quick: bool = False  # small sizes, to see that all runs; the times mean nothing
    data_dir: str | None = None  # folder of real data; without it, the embedded corpus
    folder: str = ""  # of this measurement alone: what `prepare` leaves for all sides

    def size(self, full: int, quick: int) -> int:
        return quick if self.is_quick else full


class Work(NamedTuple):
    run: Callable[[], float | None]  # is timed; returns the figure that the table shows, if any
    same: Mapping[str, float]  # what both sides of a row must have alike
    num_steps: int = 1  # of a run: of training, or tokens written to each row


class Side(NamedTuple):
    build: Callable[..., Work]  # of the settings
    needs: tuple[str, ...] = ()  # "package:name" is imported, and not counted as memory; or "AMX"


class Row(NamedTuple):
    """One line of the table: how many times as fast as `peer` is `ours`?"""

    label: str
    ours: str
    peer: str
    reach: float | None = None  # the ratio that is aimed at
    reach_memory: float | None = None  # the share of the peer's memory that is aimed at


class Workload(NamedTuple):
    sides: dict[str, Side]
    rows: list[Row]
    prepare: Callable[[Settings], None] | None = None  # writes what all sides read
    is_exact: bool = True  # the first figures of a row's sides agree; False where chance decides


class Timed(NamedTuple):
    seconds: list[float]  # one a round
    figures: list[float | None]  # what the work returned: first unasked to warm up, then each round
    memory: float  # MB at the peak, over what the imports took
    same: dict[str, float]


class DifferentWorkError(Exception):
    """The sides of a row cannot be compared."""


def load(name: str) -> Workload:
    return importlib.import_module(f"benchmarks.{name}").WORKLOAD


@contextlib.contextmanager
def prepared(prepare: Callable[[Settings], None] | None, settings: Settings) -> Iterator[Settings]:
    """The settings with a folder that holds what `prepare` writes."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(settings, folder=folder)
        if prepare is not None:
            torch.manual_seed(0)
            prepare(settings)
        yield settings


def measure(name: str, workload: Workload, settings: Settings) -> dict[str, Timed]:
    """Time the sides of a workload that can run here."""
    sides = [side for side in workload.sides if lacking(workload.sides[side]) is None]
    with prepared(workload.prepare, settings) as settings:
        processes = {}
        try:
            for side in sides:  # one after the other: building uses all cores
                processes[side] = process = _Process(name, side, settings)
                process.ask()
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(settings.rounds):
                for side, process in processes.items():
                    seconds[side].append(process.ask()["seconds"])
            answers = {side: process.ask("end") for side, process in processes.items()}
        finally:
            for process in processes.values():
                process.close()
    timed = {side: Timed(seconds[side], **answer) for side, answer in answers.items()}
    for row in workload.rows:
        if row.ours in timed and row.peer in timed:
            require_same_work(row, timed[row.ours], timed[row.peer], workload.is_exact)
    return timed


def require_same_work(row: Row, ours: Timed, peer: Timed, is_exact: bool) -> None:
    """Counts must be equal, and figures with a fraction to one part in a thousand."""
    a, b = dict(ours.same), dict(peer.same)
    if is_exact:
        a["first figure"], b["first figure"] = ours.figures[0] or 0.0, peer.figures[0] or 0.0
    for name in a.keys() | b.keys():
        x, y = a.get(name, math.nan), b.get(name, math.nan)
        if not math.isclose(x, y, rel_tol=0 if isinstance(x, int) else 1e-3):
            raise DifferentWorkError(
                f"{row.label}: {name} is {x} for {row.ours}, {y} for {row.peer}"
            )


def ratio(ours: Timed, peer: Timed) -> float:
    """The median of the rounds' ratios: above 1, ours is the faster one."""
    return statistics.median(a / b for a, b in zip(peer.seconds, ours.seconds))


def lacking(side: Side) -> str | None:
    """Why a side cannot run here."""
    for need in side.needs:
        if need == "AMX":  # other CPUs convert bf16 back and forth
            if not torch.cpu._is_amx_tile_supported():
                return "this CPU has no AMX"
        elif importlib.util.find_spec(package := re.split("[.:]", need)[0]) is None:
            return f"{package} is not installed"
    return None


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, in a process in which nothing has run yet."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def repeat(run: Callable[[], Any], settings: Settings, at_most: float = 10.0) -> list[float]:
    """Seconds of so many rounds, or of as many as begin within `at_most` seconds."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < settings.rounds and sum(seconds) < at_most):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return seconds


def begin(settings: Settings) -> None:
    """What all processes have in common, before memory and time count."""
    import torch._dynamo  # transformers does, and minift at its first step or load

    # First, for other threads take it over when they start. On all sides: no merit of ours.
    torch.set_flush_denormal(True)
    torch.set_num_threads(settings.threads)


class _Process:
    """A side in a fresh process that runs its work once for each line it is sent."""

    def __init__(self, name: str, side: str, settings: Settings) -> None:
        self.name = f"{name}: {side}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runner", name, side, json.dumps(vars(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(settings.threads),
                "RAYON_NUM_THREADS": "1",  # tokenizers
                "TOKENIZERS_PARALLELISM": "false",
                "TRANSFORMERS_VERBOSITY": "error",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
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


def _serve(name: str, side: str, settings: Settings) -> None:
    from benchmarks.peers import prepare_torchvision

    begin(settings)
    build, needs = load(name).sides[side]
    for need in needs:
        if need != "AMX":
            prepare_torchvision()
            pkgutil.resolve_name(need)
    forget_peak()
    before = peak_memory()
    torch.manual_seed(0)
    work = build(settings)
    figures = []
    for line in sys.stdin:
        if line.strip() == "end":
            end = {"figures": figures, "memory": peak_memory() - before, "same": work.same}
            print(json.dumps(end), flush=True)
            return
        started = time.perf_counter()
        figures.append(work.run())
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


def forget_peak() -> None:
    """Let the peak be what is used now: imports leave less behind than they take (Linux)."""
    with contextlib.suppress(OSError):  # then the peak of the imports counts as what they left
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """MB that this process has had at most."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts in bytes


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], Settings(**json.loads(sys.argv[3])))
