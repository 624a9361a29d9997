"""What transfer gives on real pictures and texts: the figures at the end of the README.

    python -m benchmarks.real_files --data-dir F --bert FOLDER [--only digits reviews] [--quick]

digits       ResNet-20 from Fashion-MNIST to 500 MNIST digits
reviews      BERT-micro and skip-gram vectors from 5.5 MB of Wikipedia to SST-2
paraphrases  a public BERT (--bert) to MRPC with nothing, the lower half or all of it frozen
sentiment    the same to SST-2, with the labels and epochs of the longer reviews

Each has its control from scratch. A run is a command of train_cv.py or train_nlp.py with one
thread, as one would type it; results.json has F, BERT and runs in place of --data-dir, --bert and
--work. A finished run is kept there at once, so that work that was stopped goes on; it is known by
its commands and by the weights that it started from, but not by the code: after a change of minift
ask for all of them --again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import minift
from benchmarks import report
from minift.interop.files import weights_file
from minift.models.bert import BertConfig
from minift.recipes import cli
from minift.recipes.report import format_table
from minift.training.files import file_digest

ROOT = Path(__file__).parents[1]
GROUPS = ("digits", "reviews", "paraphrases", "sentiment")
COLUMNS: report.Columns = {
    **{"group": str, "method": str, "seeds": str},
    # Figures, by the names that the scripts print.
    **dict.fromkeys(("mlm_accuracy", "nsp_accuracy", "accuracy", "majority", "f1", "trained"),
                    "{:.1%}".format),
    "seconds": "{:,.0f}".format,
}  # fmt: skip
QUICK = {  # flags said again behind a command: the last one counts
    "train_cv.py pretrain": "--num-train 128 --epochs 1",
    "train_cv.py finetune": "--num-train 32 --epochs 1",
    "train_cv.py evaluate": "--num-test 50",
    "train_nlp.py pretrain": "--num-train 40 --num-steps 5",
    "train_nlp.py finetune": "--num-train 32 --epochs 1",
}
FIGURE = re.compile(r"\b(\w+) (-?\d+\.\d{4})\b(?: \(majority (\d\.\d{4})\))?")
TRAINED = re.compile(r"^(\d+\.\d)% of the weights were trained$", re.MULTILINE)
SECONDS = re.compile(r"^(\d+) seconds; saved in ", re.MULTILINE)
Record = dict[str, Any]  # a run's fields, figures, what it printed, and the machine


class Run(NamedTuple):
    """Commands, one after the other; of a figure that several print the last one counts."""

    group: str
    method: str
    seed: int
    folder: str  # --out
    commands: list[str]
    weights: str | None = None  # sha256 of those of --bert

    @property
    def is_pretraining(self) -> bool:
        return " pretrain " in self.commands[0]


def run_of(group: str, method: str, seed: int, command: str, test: str | None = None) -> Run:
    """`command`, and if `test` says on what, `evaluate` of what it has saved."""
    folder = f"runs/{group}-{re.sub('[^a-z0-9]+', '-', method.lower())}-{seed}"
    script = "train_cv.py" if group == "digits" else "train_nlp.py"
    commands = [f"python {script} {command} --seed {seed} --no-progress --out {folder}"]
    if test is not None:
        commands.append(f"python {script} evaluate --from {folder} {test}")
    return Run(group, method, seed, folder, commands)


def digits() -> list[Run]:
    clothes = "--data fashion-mnist --data-dir F/fashion-mnist"
    numbers = "--data mnist --data-dir F/mnist"
    pretrain = f"pretrain --model resnet20 {clothes} --epochs 2"
    source = run_of("digits", "pretraining", 0, pretrain, clothes)
    pretrained, fresh = f"--from {source.folder}", "--model resnet20"
    few = f"{numbers} --num-train 500 --lr 4e-3"
    return [source] + [
        run_of("digits", method, seed, f"finetune {start} {few} --epochs {epochs}", numbers)
        for method, start, epochs in (
            ("fine-tuned, 2 epochs", pretrained, 2),
            ("scratch, 2 epochs", fresh, 2),
            ("fine-tuned, 12 epochs", pretrained, 12),
            ("scratch, 12 epochs", fresh, 12),
            ("frozen trunk, 12 epochs", f"{pretrained} --num-frozen 4", 12),
        )
        for seed in range(3)
    ]


def reviews() -> list[Run]:
    files = ("wikitext-2/test.txt", "wikitext-2/valid.txt", "enwiki-text8/enwiki_text8_style.txt")
    text = f"--text {' '.join(f'F/{file}' for file in files)} --num-steps 4000"
    bert = run_of("reviews", "BERT pretraining", 0, f"pretrain --model bert-micro {text}")
    words = run_of("reviews", "skip-gram pretraining", 0, f"pretrain --model skipgram {text}")
    pretrained = f"--from {bert.folder}"
    fresh = f"--model bert-micro --tokenizer-from {bert.folder}"
    vectors = f"--from {words.folder} --num-frozen 2"
    task = "--data F/sst2/train.tsv --validation F/sst2/dev.tsv"
    few = f"{task} --num-train 1000"
    longer = f"{few} --lr 1e-3 --epochs 10"
    return [bert, words] + [
        run_of("reviews", method, seed, f"finetune {flags}")
        for method, flags, num_seeds in (
            ("pretrained, 1,000 labels", f"{pretrained} {few}", 2),
            ("scratch, 1,000 labels", f"{fresh} {few}", 2),
            ("frozen vectors, 1,000 labels", f"{vectors} {few}", 2),
            ("pretrained, 1,000, 1e-3", f"{pretrained} {longer}", 2),
            ("scratch, 1,000, 1e-3", f"{fresh} {longer}", 2),
            ("pretrained, 1,000, 1e-3, fresh top", f"{pretrained} {longer} --num-reinit 1", 2),
            ("pretrained, all labels", f"{pretrained} {task}", 1),
            ("scratch, all labels", f"{fresh} {task}", 1),
            ("frozen vectors, all labels", f"{vectors} {task}", 1),
        )
        for seed in range(num_seeds)
    ]


def public_bert(
    group: str, folder: str, length: str, config: BertConfig, weights: str
) -> list[Run]:
    half, usual = config.num_layers // 2, asdict(BertConfig())
    own = [f"{name}={value}" for name, value in asdict(config).items() if value != usual[name]]
    task = f"--data F/{folder}/train.tsv --validation F/{folder}/dev.tsv"
    how = f"{task} {length} --batch-size 32 --lr 1e-4"
    return [
        run_of(group, method, 0, f"finetune {flags}")._replace(weights=weights)
        for method, flags in (
            ("nothing frozen", f"--from BERT {how} --num-frozen 0"),
            (f"embedding, {half} blocks frozen", f"--from BERT {how} --num-frozen {1 + half}"),
            # The embedding, the blocks and the pooler: the head alone learns.
            ("all frozen", f"--from BERT {how} --num-frozen {config.num_layers + 2}"),
            ("scratch", f"--tokenizer-from BERT --model bert-base --config {' '.join(own)} {how}"),
        )
    ]


def plan(groups: Sequence[str], bert: Path | None, is_quick: bool) -> list[Run]:
    """The runs of the groups, in the order of the table."""
    runs = (digits() if "digits" in groups else []) + (reviews() if "reviews" in groups else [])
    for group, folder, length in (
        ("paraphrases", "mrpc", "--epochs 3"),
        ("sentiment", "sst2", "--num-train 1000 --epochs 10"),
    ):
        if group in groups:
            if bert is None or (model := minift.load(bert)).family != "bert":
                raise ValueError(f"--bert must name the folder of a BERT, for {group}, got {bert}")
            weights = file_digest(weights_file(bert))
            runs += public_bert(group, folder, length, model.config, weights)
    return [run._replace(commands=[*map(shortened, run.commands)]) if is_quick else run
            for run in runs]  # fmt: skip


def shortened(command: str) -> str:
    return f"{command} {QUICK[' '.join(command.split()[1:3])]}"


def figures_of(printed: str) -> dict[str, float]:
    """The figures in what the scripts print, by name; shares are in [0, 1]."""
    figures = {}
    for name, value, majority in FIGURE.findall(printed):
        figures[name] = float(value)
        if majority:
            figures[name.replace("accuracy", "majority")] = float(majority)
    for share in TRAINED.findall(printed):
        figures["trained"] = round(float(share) / 100, 3)
    for seconds in SECONDS.findall(printed):
        figures["seconds"] = float(seconds)
    return figures


def execute(run: Run, places: dict[str, Path], started: list[subprocess.Popen[str]]) -> str:
    """Run the commands; what they print, without the machine's paths."""
    printed = ""
    for command in run.commands:
        _, script, *words = command.split()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / script), *(filled(word, places) for word in words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        out, errors = process.communicate()
        if process.returncode != 0:
            line = [f"status {process.returncode}", *errors.strip().split("\n")][-1]
            raise ChildProcessError(f"{run.folder} failed: {line}")
        printed += out
    for name, path in places.items():
        printed = printed.replace(str(path), name)
    return printed


def filled(word: str, places: dict[str, Path]) -> str:
    """F/mnist -> the folder mnist in --data-dir."""
    first, *rest = word.split("/")
    return str(places[first].joinpath(*rest)) if first in places else word


def measure(
    runs: Sequence[Run], places: dict[str, Path], workers: int, keep: Callable[[Run, str], None]
) -> None:
    """Do the runs side by side; ValueError if some failed."""
    started: list[subprocess.Popen[str]] = []
    pool = ThreadPoolExecutor(workers)
    num_failed = 0
    try:
        futures = {pool.submit(execute, run, places, started): run for run in runs}
        for future in as_completed(futures):
            try:
                keep(futures[future], future.result())
            except ChildProcessError as error:  # the others are done
                print(error, file=sys.stderr, flush=True)
                num_failed += 1
        if num_failed:
            raise ValueError(f"{num_failed} failed; the same command goes on with the rest")
    finally:  # if this is stopped, what is under way ends with it
        pool.shutdown(wait=False, cancel_futures=True)
        for process in started:
            process.kill()


def summary(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Means over the seeds."""
    alike: dict[tuple[str, str], list[dict[str, float]]] = {}
    for record in records:
        alike.setdefault((record["group"], record["method"]), []).append(record["figures"])
    return [
        {"group": group, "method": method, "seeds": len(found)}
        | {name: mean(figures[name] for figures in found) for name in found[0]}
        for (group, method), found in alike.items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-dir", type=Path, required=True, metavar="F", help="with mnist, "
                        "fashion-mnist, wikitext-2, enwiki-text8, sst2 and mrpc")  # fmt: skip
    parser.add_argument("--bert", type=Path, metavar="FOLDER", help="of a public BERT")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP")
    parser.add_argument("--out", type=Path, help="default: docs/results/real-files; quick: --work")
    parser.add_argument("--work", type=Path, help="of checkpoints (default: runs/real-files)")
    parser.add_argument("--workers", type=cli.at_least_one, default=2, help="default: 2")
    parser.add_argument("--quick", action="store_true", help="few rows, to see that all runs")
    parser.add_argument("--again", action="store_true", help="forget finished runs of the groups")
    args = parser.parse_args(argv)
    work = args.work or Path("runs", "real-files-quick" if args.quick else "real-files")
    out = args.out or (work if args.quick else Path("docs/results/real-files"))
    places = {"F": args.data_dir.resolve(), "runs": work.resolve()}
    if args.bert is not None:
        places["BERT"] = args.bert.resolve()
    runs = plan(args.only, args.bert, args.quick)
    planned, machine = {run.folder: run for run in runs}, report.machine()
    records: dict[str, Record] = {}
    path = out / "results.json"
    for record in json.loads(path.read_text("utf-8"))["runs"] if path.exists() else []:
        is_planned = planned.get(record["folder"]) == Run(*(record[name] for name in Run._fields))
        if record["group"] not in args.only or (is_planned and not args.again):
            figures = figures_of("\n".join(record["printed"]))
            records[record["folder"]] = {**record, "figures": figures}

    def description(folder: str) -> Path:
        """Of a checkpoint; the fingerprint of its weights is in it."""
        return Path(filled(f"{folder}/config.json", places))

    def in_order() -> list[Record]:
        kept = [records[folder] for folder in {**planned, **records} if folder in records]
        return sorted(kept, key=lambda record: GROUPS.index(record["group"]))

    def table() -> list[list[str]]:
        return [report.cells(COLUMNS, line) for line in summary(in_order())]

    def keep(run: Run, printed: str) -> None:
        told = {"figures": figures_of(printed), "machine": machine, "printed": printed.splitlines()}
        made = {"made": file_digest(description(run.folder))} if run.is_pretraining else {}
        records[run.folder] = {**run._asdict(), **told, **made}
        content = {"summary": summary(in_order()), "runs": in_order()}
        report.write(out, content, [report.markdown(COLUMNS, table())])
        print(f"{run.folder}: {told['figures']}", flush=True)

    # First what others start from, if it is not there; had they other weights, they are done again.
    groups = {run.group for run in runs if run.folder not in records}
    sources = [run for run in runs if run.is_pretraining and run.group in groups]
    lacking = [run for run in sources
               if run.folder not in records or not description(run.folder).exists()]  # fmt: skip
    before = {run.folder: records.get(run.folder, {}).get("made") for run in lacking}
    print(f"{len(lacking)} of {len(sources)} pretrainings to do", flush=True)
    measure(lacking, places, args.workers, keep)
    for run in lacking:
        if records[run.folder]["made"] != before[run.folder]:
            starters = [each for each in runs if f"from {run.folder} " in each.commands[0]]
            for each in starters:
                records.pop(each.folder, None)
    todo = [run for run in runs if run.folder not in records]
    print(f"{len(todo)} of {len(runs) - len(sources)} runs to do", flush=True)
    measure(todo, places, args.workers, keep)
    print(format_table([*COLUMNS], table()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with the commands under way
    cli.run(main, "benchmarks.real_files")
