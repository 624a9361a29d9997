"""Measure what is asked for, print the table, and write it with every number behind it.

table     minift beside the tools that people use
profile   where the time of minift's steps goes, and the share of the machine's peak
growth    how seconds and memory grow with length, batch, width, vocabulary and corpus
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import growth, profile, report
from benchmarks.report import Part, Study
from benchmarks.runner import WORKLOADS, Settings, load, measure, ratio
from minift.recipes.report import format_table
from minift.training.files import write_text


def beside_others(name: str, settings: Settings) -> Part:
    """The rows of a workload, minift beside its peers."""
    workload = load(name)
    timed = measure(name, workload, settings)
    ratios = [
        {**row._asdict(), "ratio": ratio(timed[row.ours], timed[row.peer])}
        for row in workload.rows
        if row.ours in timed and row.peer in timed
    ]
    sides = {side: one._asdict() for side, one in timed.items()}
    return Part(
        rows=report.lines(workload, timed),
        notes=report.left_out(workload),
        numbers={"rows": ratios, "sides": sides},
    )


STUDIES = {
    "table": Study(WORKLOADS, report.COLUMNS, report.NOTE, beside_others),
    "profile": Study(WORKLOADS, profile.COLUMNS, profile.NOTE, profile.part),
    "growth": Study(growth.NAMES, growth.COLUMNS, growth.NOTE, growth.part),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", nargs="?", choices=STUDIES, default="table")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts of it (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default: 2)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.add_argument("--data-dir", help="folder of real texts, see benchmarks/texts.py")
    parser.add_argument("--out", type=Path, metavar="NAME", help="default: runs/benchmarks")
    args = parser.parse_args()
    study = STUDIES[args.study]
    names = args.only or study.names
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    if unknown := sorted(set(names) - set(study.names)):
        parser.error(f"--only must be out of {', '.join(study.names)}, got {', '.join(unknown)}")
    out = args.out or Path("runs", "benchmarks" if args.study == "table" else args.study)
    settings = Settings(args.rounds, args.threads, args.quick, args.data_dir)
    about = f"{report.machine()}; {args.threads} threads, {args.rounds} rounds"
    about += ", SMALL SIZES" if args.quick else ""
    rows: list[Any] = []
    notes: list[str] = []
    numbers: dict[str, Any] = {}
    for name in names:
        print(f"{name} ...", flush=True)
        part = study.part(name, settings)
        rows += part.rows
        notes += [note for note in part.notes if note not in notes]
        numbers[name] = part.numbers
        # After each one, so that a run that is stopped leaves what it has.
        out.parent.mkdir(parents=True, exist_ok=True)
        everything = {"machine": about, "settings": asdict(settings), "workloads": numbers}
        write_text(out.with_suffix(".json"), json.dumps(everything, indent=1) + "\n")
        parts = [about, study.note, report.markdown(study.columns, rows), *notes]
        write_text(out.with_suffix(".md"), "\n\n".join(parts) + "\n")
    print(about, study.note, format_table(study.columns, rows), *notes, sep="\n")


if __name__ == "__main__":
    main()
