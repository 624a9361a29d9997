"""Run the workloads and print the table; with --out also as JSON."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
from pathlib import Path

from benchmarks.runner import Settings, load, measure, ratio
from minift.recipes.report import format_table
from minift.training.files import write_text

WORKLOADS = ("bert", "gpt", "generation", "t5", "resnet", "frozen", "adam", "tokens", "loading")
PEERS = ("torch", "transformers", "timm", "torchvision", "tokenizers", "gensim", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default: 2)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.add_argument("--data-dir", help="folder with real text, see benchmarks/tokens.py")
    parser.add_argument("--out", type=Path, help="a JSON file for every number")
    args = parser.parse_args()
    settings = Settings(args.rounds, args.threads, args.quick, args.data_dir)
    print(machine())
    table, every = [], {}
    for name in args.only:
        timed = measure(name, settings)
        every[name] = {side: result._asdict() for side, result in timed.items()}
        for row in load(name).rows:
            ours, peer = timed[row.ours], timed[row.peer]
            table.append(
                (
                    row.label,
                    row.peer,
                    f"{statistics.median(ours.seconds):.3f}",
                    f"{statistics.median(peer.seconds):.3f}",
                    f"{ratio(peer, ours):.2f}",
                    "" if row.reach is None else f"{row.reach}",
                    f"{ours.memory:.0f} / {peer.memory:.0f}",
                )
            )
        print(f"{name}: done", flush=True)
        if args.out:
            report = {"machine": machine(), "settings": vars(settings), "results": every}
            write_text(args.out, json.dumps(report, indent=1) + "\n")
    header = ("work", "beside", "ours s", "theirs s", "ratio", "aim", "MB ours / theirs")
    print(format_table(header, table))


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    flags = [flag for flag in ("amx_bf16", "avx512f", "avx2") if flag in text]
    versions = []
    for package in PEERS:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    cpu = f"{model[1] if model else platform.processor()} ({' '.join(flags)})"
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, " + ", ".join(
        versions
    )


if __name__ == "__main__":
    main()
