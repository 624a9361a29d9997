"""Run a study's grid in parallel processes, and keep each finished cell at once.

A cell's result is a file of its own, written whole by the process that computed it. Its name is a
digest of all that the result depends on: the settings, the cell with its seed, the ingredient, the
code that computes it, and the processor. So a study that was killed goes on where it was, and
neither a changed setting nor a changed line of that code is answered with an old number.

Every cell is computed by one thread whose generator was seeded for it: sums are then added up in
the same order, and the numbers do not depend on how many processes there are.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from minift.studies.study import Cell, Ingredient, Study
from minift.training.files import write_text
from minift.training.precision import num_cores, processor

LIBRARY = Path(__file__).parents[1]


class CellError(RuntimeError):
    """A cell or an ingredient raised an error; the message names it, the cause is the error."""


class Task(NamedTuple):
    """A piece of work for one process: a cell, or an ingredient of cells."""

    name: str
    work: Callable[[], Any]  # returns plain JSON values
    about: dict[str, Any]  # kept beside what it returns
    path: Path  # of the record that is kept
    needs: Task | None = None  # to be done before


def cell_tasks(study: Study, settings: Any, seeds: Sequence[int], out: Path) -> list[Task]:
    """A task for each cell and seed; equal ingredients are one task."""
    code = code_digest(study.run)
    ingredients: dict[Path, Task] = {}
    tasks = []
    for seed in seeds:
        for cell in study.cells(settings):
            cell = {**cell, "seed": seed}
            needed = None
            if study.needs is not None:
                needed = _ingredient_task(study.needs(settings, cell), out)
                needed = ingredients.setdefault(needed.path, needed)
            folder = None if needed is None else needed.path.parent
            key = _digest([code, asdict(settings), cell, None if folder is None else folder.name])
            path = out / study.name / "cells" / f"{key}.json"
            work = partial(study.run, settings, cell, folder)
            tasks.append(Task(_named(study.name, cell), work, cell, path, needed))
    return tasks


def _ingredient_task(ingredient: Ingredient, out: Path) -> Task:
    make, arguments = ingredient.make, ingredient.arguments
    name = make.__name__.replace("_", "-")
    key = _digest([code_digest(make), arguments])
    folder = out / "ingredients" / f"{name}-{key}"
    work = partial(_make, make, folder, arguments)
    return Task(_named(name, arguments), work, arguments, folder / "record.json")


def _make(make: Callable[..., Any], folder: Path, arguments: dict[str, Any]) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    return make(folder, **arguments)


def measure(
    study: Study,
    out: Path,
    *,
    is_quick: bool = False,
    seeds: Sequence[int],
    workers: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Compute the cells that are not kept yet, and return every number with what it depends on.

    Parameters
    ----------
    out : folder of the studies; records go to `out`/NAME/cells and `out`/ingredients.
    seeds : each cell of the grid is run with each of them.
    workers : processes; 1 computes in this one.
    progress : whether to show a bar on standard error.

    Returns
    -------
    Plain JSON values: cells (each with its rows and seconds), ingredients, settings, seeds,
    versions, seconds.

    Raises
    ------
    CellError : a cell failed; those that were finished are kept, the others given up.
    """
    started = time.perf_counter()
    settings = study.quick if is_quick else study.settings
    tasks = cell_tasks(study, settings, seeds, out)
    todo = [task for task in tasks if not task.path.exists()]
    needed = {task.needs.path: task.needs for task in todo if task.needs is not None}
    first = [task for path, task in needed.items() if not path.exists()]
    workers = min(workers, len(first) + len(todo))
    run = _run_here if workers <= 1 else partial(_run_in_parallel, workers=workers)
    bar = tqdm(total=len(first) + len(todo), desc=study.name, unit="run", disable=not progress)
    with bar:
        for _ in run(first + todo):
            bar.update()

    records = [_read(task) for task in tasks]
    made = {task.needs.path: task.needs for task in tasks if task.needs is not None}
    return {
        "form": "quick" if is_quick else "full",
        "settings": asdict(settings),
        "seeds": list(seeds),
        "versions": versions(study),
        "workers": workers,
        "num_kept": len(tasks) - len(todo),  # cells that an earlier run had finished
        "seconds": time.perf_counter() - started,
        "cells": [
            {"cell": record["about"], "rows": _rows(record), "seconds": record["seconds"]}
            for record in records
        ],
        "ingredients": [
            {"name": path.parent.name.rpartition("-")[0], **_read(task)}
            for path, task in made.items()
            if path.exists()
        ],
    }


def forget(study: Study, out: Path, *, is_quick: bool, seeds: Sequence[int]) -> None:
    """Delete what is kept of these cells, and of their ingredients."""
    settings = study.quick if is_quick else study.settings
    for task in cell_tasks(study, settings, seeds, out):
        for each in (task, task.needs):
            if each is not None:
                each.path.unlink(missing_ok=True)


def versions(study: Study) -> dict[str, Any]:
    """On what the numbers were computed."""
    return {
        "code": code_digest(study.run),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": num_cores(),
    }


@cache
def code_digest(function: Callable[..., Any]) -> str:
    """Changes with the code that computes a study's figures, with torch, and with the processor."""
    texts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in code_files(function)]
    return _digest([torch.__version__, processor(), *texts])


def code_files(function: Callable[..., Any]) -> list[Path]:
    """All of minift below the studies, this file, and that of `function` with what it uses beside.

    Other studies, and the files that judge and draw, compute no figure.
    """
    package = function.__module__.rpartition(".")[0]
    found, new = set(), {function.__module__}
    while new:
        found |= new
        parts = [part for name in new for part in vars(sys.modules[name]).values()]
        used = {getattr(part, "__module__", None) or "" for part in parts}
        new = {name for name in used if package and name.startswith(f"{package}.")} - found
    files = [Path(str(sys.modules[name].__file__)) for name in found]
    studies = LIBRARY / "studies"
    below = [path for path in LIBRARY.rglob("*.py") if not path.is_relative_to(studies)]
    return sorted([Path(__file__), *files, *below])


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _named(name: str, about: Cell) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in about.items())])


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    result = record["result"]
    rows = result if isinstance(result, list) else [result]
    return [{**record["about"], **row} for row in rows]


def _read(task: Task) -> dict[str, Any]:
    return json.loads(task.path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- in this process, or in several


def _do(task: Task) -> None:
    """Do the work, and write its record last."""
    started = time.perf_counter()
    torch.manual_seed(task.about.get("seed", 0))
    result = task.work()
    record = {"about": task.about, "result": result, "seconds": time.perf_counter() - started}
    # NaN is not JSON, and no number that a mean could be taken of.
    write_text(task.path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def _run_here(tasks: Sequence[Task]) -> Iterator[Task]:
    """Do the tasks in turn; ingredients stand before the cells that need them."""
    with _one_thread():
        for task in tasks:
            try:
                _do(task)
            except Exception as error:
                raise _failed(task, error) from error
            yield task


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in the processes of `_run_in_parallel`; afterwards the caller's threads and generator."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(num_threads)


def _run_in_parallel(tasks: Sequence[Task], workers: int) -> Iterator[Task]:
    """Do each task as soon as a process is free and the task's ingredient is there."""
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
    end_of_line, line = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_process, initargs=(end_of_line,)
    )
    running: dict[Future[None], Task] = {}
    missing = {task.path for task in tasks}

    def start(ready: Callable[[Task], bool]) -> None:
        running.update({pool.submit(_do, task): task for task in tasks if ready(task)})

    try:
        start(lambda task: task.needs is None or task.needs.path not in missing)
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done = running[future]
                error = future.exception()
                if error is not None and not isinstance(error, BrokenProcessPool):
                    raise _failed(done, error) from error
                future.result()
                del running[future]
                start(lambda task, done=done: task.needs is done)  # type: ignore[misc]
                yield done
    except BrokenProcessPool:
        raise ChildProcessError(
            f"a process ended in the middle of one of {len(running)} runs, as happens when memory "
            "runs out; what was finished is kept, and fewer --workers need less"
        ) from None
    finally:
        if running:  # given up: what is under way ends at once
            line.close()
        pool.shutdown(cancel_futures=True)
        line.close()


def _start_process(end_of_line: Connection) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    # The main process is interrupted by the same key, and ends the others itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_line, args=(end_of_line,), daemon=True).start()


def _end_with_line(end_of_line: Connection) -> None:
    """End this process once the other end of the line is closed: by the main process, which gives
    up the rest, or by the system, because the main process was killed."""
    try:
        end_of_line.recv()
    except EOFError:
        os._exit(1)


def _failed(task: Task, error: BaseException) -> CellError:
    return CellError(f"{task.name} failed: {type(error).__name__}: {error}")
