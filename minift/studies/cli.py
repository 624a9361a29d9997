"""The command `study` of both scripts, the same in each: run studies, judge them, print.

python train_cv.py study frozen --quick    what an earlier run finished is not computed again
python train_cv.py study all               one after the other
python train_cv.py study list              names and claims
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from minift.recipes.cli import at_least_one, require_cpu
from minift.recipes.report import format_table
from minift.studies.page import FINDING_COLUMNS, finding_cells, read_measured, write_results
from minift.studies.runner import CellError, forget, measure, num_cores
from minift.studies.study import Study
from minift.studies.verdict import verdict_of
from minift.training.loop import NonFiniteLossError


def study_flags() -> argparse.ArgumentParser:
    """The flags of `study`: a parent for the command's parser."""
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("name", help="a study, all, or list")
    # No defaults for what may stand before the command as well; see `recipes.cli.shared_flags`.
    flags.add_argument("--quick", action="store_true", default=argparse.SUPPRESS,
                       help="in small, under 2 minutes; in full it may take 30")  # fmt: skip
    flags.add_argument("--seeds", type=at_least_one, default=argparse.SUPPRESS,
                       help="how many, from --seed on (default: by the study)")  # fmt: skip
    flags.add_argument("--workers", type=at_least_one, default=num_cores(),
                       help="processes, of one thread each (default: one a core)")  # fmt: skip
    kept = flags.add_mutually_exclusive_group()
    kept.add_argument("--again", action="store_true", help="forget finished runs")
    kept.add_argument("--redraw", action="store_true",
                      help="only judge and draw anew what results.json holds")  # fmt: skip
    return flags


def study_command(studies: Sequence[Study], program: str) -> Callable[[argparse.Namespace], None]:
    """The function of the command: (parsed flags) -> None."""

    def study(args: argparse.Namespace) -> None:
        require_cpu(args)
        if args.precision not in ("auto", "fp32"):
            raise ValueError(
                f"--precision must be left out: a study runs in fp32, got {args.precision}"
            )
        if args.name == "list":
            for each in studies:
                print(f"{each.name}\n    {each.claim}")
            return
        chosen = list(studies) if args.name == "all" else [find(studies, args.name)]
        if args.again:
            # All of them first: an ingredient that two of them share is made once.
            for each in chosen:
                forget(each, args.out, is_quick=args.quick, seeds=seeds_of(each, args))
        for each in chosen:
            run_one(each, args, program)

    return study


def run_one(study: Study, args: argparse.Namespace, program: str) -> None:
    """Run a study, write what it found, and print its verdict."""
    folder = study_folder(args.out, study, args.quick)
    if args.redraw:
        measured = read_measured(folder)
    else:
        seeds = seeds_of(study, args)
        try:
            measured = measure(
                study,
                args.out,
                is_quick=args.quick,
                seeds=seeds,
                workers=args.workers,
                progress=args.progress,
            )
        except CellError as error:
            if isinstance(error.__cause__, (OSError, NonFiniteLossError)):  # a full disk; a rate
                raise ValueError(str(error)) from error
            raise
        quick = " --quick" if args.quick else ""
        first = f" --seed {args.seed}" if args.seed else ""
        measured["command"] = (
            f"python {program} study {study.name}{quick} --seeds {len(seeds)}{first}"
        )
    findings = write_results(study, measured, folder)
    print(f"{study.name}: {study.claim}")
    print(format_table(FINDING_COLUMNS, [finding_cells(finding) for finding in findings]))
    print(f"{verdict_of(findings)} at this scale; {measured['seconds']:.0f} seconds, "
          f"{measured['num_kept']} of {len(measured['cells'])} runs kept from before; "
          f"the page is {folder / 'report.html'}")  # fmt: skip


def study_folder(out: Path, study: Study, is_quick: bool) -> Path:
    """Where the page is; that of the small form beside, so that it never replaces the full one."""
    return out / study.name / "quick" if is_quick else out / study.name


def seeds_of(study: Study, args: argparse.Namespace) -> list[int]:
    number = args.seeds or (study.quick_seeds if args.quick else study.seeds)
    return list(range(args.seed, args.seed + number))


def find(studies: Sequence[Study], name: str) -> Study:
    """The study of that name; ValueError, with the names there are, for another."""
    names = [study.name for study in studies]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}" if near else f"there are {', '.join(names)}, all and list"
        raise ValueError(f"study {name!r} is unknown; {hint}")
    return studies[names.index(name)]
