"""Make the weights that come with minift again, and hold them against the shipped ones.

    python -m minift.recipes.shipped                 all five
    python -m minift.recipes.shipped word2vec        one of them
    python -m minift.recipes.shipped --write         and put them in the place of the shipped ones

They are the models that the two stories pretrain, at seed 0, each by one thread. With the
processor, the torch and the Python that a model's config.json names, its files are the same to the
last byte. Another processor adds up in another order: the scores are then alike, and the bytes are
not. Without --write, the exit status is 1 if a file differs.

Weights are kept in half precision, which takes half the space, and scored as they are kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from minift.checkpoint import read_description, save
from minift.data.shapes import SHAPES_CLASSES, shapes
from minift.recipes import story_cv, story_nlp
from minift.recipes.cli import run
from minift.recipes.finetuning import score
from minift.recipes.report import format_table
from minift.recipes.story_models import (
    Learnt,
    learn_shapes,
    learn_world,
    world_corpus,
    world_scores,
)
from minift.shipped import WEIGHTS, read_sums, write_sums
from minift.stages import Model
from minift.training.files import file_digest, write_bytes
from minift.training.precision import num_cores, processor

PICTURES, TEXTS = story_cv.StorySettings(), story_nlp.StorySettings()
WORLD_STEPS = {
    "word2vec": TEXTS.word2vec_steps,
    "bert-mini": TEXTS.bert_steps,
    "gpt-mini": TEXTS.gpt_steps,
    "t5-mini": TEXTS.t5_steps,
}
NAMES = ("resnet-tiny", *WORLD_STEPS)
SEED = 0
EQUAL = "equal"
PROGRAM = "python -m minift.recipes.shipped"


def make(name: str, out: Path) -> float:
    """Train a model, write its checkpoint folder `out`/name, and return the seconds that took."""
    started = time.perf_counter()
    torch.set_num_threads(1)  # of a process of its own; several add up in another order
    is_resnet = name == "resnet-tiny"
    learnt = make_resnet() if is_resnet else make_text(name)
    save(
        learnt.model.half(),
        out / name,
        learnt.tokenizer,
        classes=list(SHAPES_CLASSES["source"]) if is_resnet else None,
        lineage={
            "recipe": f"{PROGRAM} {name}",
            "seed": SEED,
            "data": f"shapes:source, {PICTURES.num_source:,} pictures"
            if is_resnet
            else f"world, {TEXTS.num_documents:,} documents",
            "parent": None,
            # Without "loss", the sum of the others.
            "scores": {k: round(v, 4) for k, v in learnt.scores.items() if k != "loss"},
            **machine(),
        },
    )
    return time.perf_counter() - started


def make_resnet() -> Learnt:
    """The trunk of the pictures' story, with its head for the ten source shapes."""
    test = shapes("source", PICTURES.num_test, seed=2 * SEED + 1)
    learnt = learn_shapes(
        "resnet-tiny",
        PICTURES.num_source,
        PICTURES.source_epochs,
        test,
        seed=SEED,
        precision="fp32",
        progress=False,
    )
    return replace(learnt, scores=score(rounded(learnt.model), test, "fp32"))


def make_text(name: str) -> Learnt:
    """A model of the texts' story, with the head that it was pretrained with."""
    corpus = world_corpus(TEXTS.num_documents, SEED)
    learnt = learn_world(
        name, corpus, WORLD_STEPS[name], seed=SEED, precision="fp32", progress=False
    )
    assert learnt.tokenizer is not None
    scores = world_scores(rounded(learnt.model), learnt.tokenizer, corpus.held_out)
    return replace(learnt, scores=scores)


def rounded(model: Model) -> Model:
    """The same model with weights as half precision holds them."""
    return model.half().float()


def machine() -> dict[str, str]:
    """What the last bits of the weights hang on."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": f"{processor()}, {torch.backends.cpu.get_cpu_capability()}",
    }


def compare_files(names: Sequence[str], out: Path) -> list[list[str]]:
    """A row for each file that was made or is shipped: its name, its bytes, and whether equal."""
    shipped = {file: it for file, it in read_sums(WEIGHTS).items() if file.split("/")[0] in names}
    made = {f"{name}/{path.name}": path for name in names for path in (out / name).iterdir()}
    rows = []
    for file in sorted({*shipped, *made}):
        if file not in made or file not in shipped:
            rows.append([file, "", "not shipped" if file in made else "not made"])
            continue
        is_equal = file_digest(made[file]) == shipped[file]
        size = f"{made[file].stat().st_size:,}"
        rows.append([file, size, EQUAL if is_equal else "different"])
    return rows


def compare_facts(names: Sequence[str], out: Path) -> list[list[str]]:
    """A row for each score, and for what the last bits hang on: as made, as shipped."""
    rows = []
    for name in names:
        made, shipped = (_facts(folder / name) for folder in (out, WEIGHTS))
        rows += [[name, fact, value, shipped.get(fact, "")] for fact, value in made.items()]
    return rows


def _facts(folder: Path) -> dict[str, str]:
    if not folder.exists():
        return {}
    lineage = read_description(folder)["lineage"]
    scores = {fact: f"{value:.4f}" for fact, value in lineage["scores"].items()}
    return {**scores, **{fact: lineage[fact] for fact in machine()}}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"), help="folder to write to")
    parser.add_argument("--write", action="store_true", help="ship what was made, if it differs")
    args = parser.parse_args(argv)
    names = args.names or list(NAMES)
    for name in names:
        if name not in NAMES:
            parser.error(f"NAME must be one of {', '.join(NAMES)}, got {name!r}")

    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
    with ProcessPoolExecutor(min(num_cores(), len(names)), mp_context=context) as pool:
        for name, seconds in zip(names, pool.map(partial(make, out=args.out), names)):
            print(f"{name}: made in {seconds:.0f} seconds", flush=True)
    files = compare_files(names, args.out)
    print(f"\n{format_table(('file', 'bytes', 'made and shipped'), files)}")
    facts = compare_facts(names, args.out)
    print(f"\n{format_table(('model', 'score, machine', 'made', 'shipped'), facts)}")
    if args.write:
        for name in names:
            made = {path.name: path.read_bytes() for path in (args.out / name).iterdir()}
            for file, content in made.items():
                write_bytes(WEIGHTS / name / file, content)
            for path in (WEIGHTS / name).iterdir():
                if path.name not in made:
                    path.unlink()
        write_sums(WEIGHTS)
    elif any(verdict != EQUAL for *_, verdict in files):
        is_same = all(made == shipped for _, fact, made, shipped in facts if fact in machine())
        print(
            "\nBytes differ on the machine that the shipped files are from: the code has changed."
            if is_same
            else "\nAnother processor or version rounds otherwise, so that bytes may differ; the "
            "scores should be alike."
        )
        sys.exit(1)


if __name__ == "__main__":
    run(main, PROGRAM)
