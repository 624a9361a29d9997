"""Measure what is asked for, print the table, and write it with every number behind it:
OUT/tables.md and OUT/results.json.

table     minift beside the tools that people use
profile   where the time of minift's steps goes, and the share of the machine's peak
growth    how seconds and memory grow with length, batch, width, vocabulary and corpus
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import growth, profile, report
from benchmarks.report import Part, Study
from benchmarks.runner import WORKLOADS, Settings, load, measure
from minift.recipes.report import format_table


def beside_others(name: str, settings: Settings) -> Part:
    """The rows of a workload, minift beside its peers."""
    workload = load(name)
    timed = measure(name, workload, settings)
    return Part(
        rows=report.lines(workload, timed),
        notes=report.left_out(workload),
        measured={"sides": {side: one._asdict() for side, one in timed.items()}},
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
    parser.add_argument("--out", type=Path, help="folder (default: runs/benchmarks, ...)")
    args = parser.parse_args()
    study = STUDIES[args.study]
    names = args.only or study.names
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    if unknown := sorted(set(names) - set(study.names)):
        parser.error(f"--only must be out of {', '.join(study.names)}, got {', '.join(unknown)}")
    out = args.out or Path("runs", "benchmarks" if args.study == "table" else args.study)
    if out.is_file():
        parser.error(f"--out must be a folder, got the file {out}")
    settings = Settings(args.rounds, args.threads, args.quick, args.data_dir)
    results: dict[str, Any] = {
        "machine": report.machine(),
        "texts": "documentation" if args.data_dir is None else "of --data-dir",
        "threads": args.threads,
        "rounds": args.rounds,
        "is_quick": args.quick,
        "workloads": {},
    }
    about = f"{results['machine']}; {args.threads} threads, {args.rounds} rounds"
    about += ", SMALL SIZES" if args.quick else ""
    table: list[list[str]] = []
    notes: list[str] = []
    for name in names:
        print(f"{name} ...", flush=True)
        part = study.part(name, settings)
        table += [report.cells(study.columns, row) for row in part.rows]
        notes += [note for note in part.notes if note not in notes]
        results["workloads"][name] = {"rows": part.rows, **part.measured}
        # After each one, so that a run that is stopped leaves what it has.
        markdown = report.markdown(study.columns, table)
        report.write(out, results, [about, study.note, markdown, *notes])
    print(about, study.note, format_table(list(study.columns), table), *notes, sep="\n")


if __name__ == "__main__":
    main()
