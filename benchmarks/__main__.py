"""Run the workloads, print the table, and write it with every number behind it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.runner import Settings, load, measure, ratio
from minift.recipes.report import format_table
from minift.training.files import write_text

WORKLOADS = (
    *("bert", "gpt", "generation", "t5", "resnet", "frozen"),
    *("word2vec", "adam", "tokens", "loading"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=WORKLOADS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default: 2)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.add_argument("--data-dir", help="folder of real texts, see benchmarks/texts.py")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), metavar="NAME")
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    settings = Settings(args.rounds, args.threads, args.quick, args.data_dir)
    about = f"{report.machine()}; {args.threads} threads, {args.rounds} rounds"
    about += ", SMALL SIZES" if args.quick else ""
    rows: list[Any] = []
    notes: list[str] = []
    numbers: dict[str, Any] = {}
    for name in args.only:
        print(f"{name} ...", flush=True)
        workload = load(name)
        timed = measure(name, workload, settings)
        rows += report.lines(workload, timed)
        notes += report.left_out(workload)
        ratios = [
            {**row._asdict(), "ratio": ratio(timed[row.ours], timed[row.peer])}
            for row in workload.rows
            if row.ours in timed and row.peer in timed
        ]
        sides = {side: one._asdict() for side, one in timed.items()}
        numbers[name] = {"rows": ratios, "sides": sides}
        # After each one, so that a run that is stopped leaves what it has.
        args.out.parent.mkdir(parents=True, exist_ok=True)
        everything = {"machine": about, "settings": asdict(settings), "workloads": numbers}
        write_text(args.out.with_suffix(".json"), json.dumps(everything, indent=1) + "\n")
        parts = [about, report.NOTE, report.markdown(rows), *notes]
        write_text(args.out.with_suffix(".md"), "\n\n".join(parts) + "\n")
    print(about, report.NOTE, format_table(report.COLUMNS, rows), *notes, sep="\n")


if __name__ == "__main__":
    main()
