"""Draw the pictures of the lab course, from the weights that come with minift and the full studies.

    pip install '.[plots]'
    python docs/draw.py                     all of them, into docs/course/pictures
    python docs/draw.py words attention     some

The same files come out of the same weights and results. The pages of the stories, of `show` and of
the studies have charts of their own, which need no matplotlib: a Markdown page can only show files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import minift
from minift.data.shapes import SHAPES_CLASSES, SHAPES_DOMAINS, shapes
from minift.data.world import world_documents
from minift.data.world_words import KINDS
from minift.models.attention_maps import attention_maps, telling_heads
from minift.optim import step_scale
from minift.recipes.filters import filter_pictures, first_filters
from minift.recipes.pictures import contact_sheet, encode_png
from minift.recipes.projection import pca
from minift.studies.page import read_measured, results_of
from minift.studies.results import Results
from minift.tokenizers import ByteBPE, Unigram, WordPiece, WordVocab
from minift.training.files import replacing, write_bytes

DOCS = Path(__file__).parent
FOLDER = DOCS / "course" / "pictures"
RESULTS = DOCS / "results"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
SENTENCE = "mara has a sparrow , that is , mara has a bird ."


def results(study: str) -> Results:
    return results_of(read_measured(RESULTS / study))


# ------------------------------------------------------------------------- of pixels: PNG files


def enlarged(image: torch.Tensor, factor: int) -> torch.Tensor:
    return image.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def filters() -> torch.Tensor:
    trained = minift.create_model("resnet-tiny", pretrained=True)
    torch.manual_seed(0)
    fresh = minift.create_model("resnet-tiny", num_classes=10)
    both = torch.cat([filter_pictures(first_filters(model)) for model in (trained, fresh)])
    return enlarged(contact_sheet(both, columns=16, gap=1), 12)


def source_and_targets() -> torch.Tensor:
    rows = []
    for domain in SHAPES_DOMAINS:
        drawn = shapes(domain, 200, seed=0)
        firsts = [
            int((drawn["labels"] == label).nonzero()[0])
            for label in range(len(SHAPES_CLASSES[domain]))
        ]
        rows.append(drawn["images"][(firsts * 10)[:10]])
    return enlarged(contact_sheet(torch.cat(rows), columns=10), 2)


# ------------------------------------------------------------------- of lines and letters: SVG


def step_scales(figure: Any) -> None:
    axes = figure.subplots()
    steps = range(1, 10_001)
    axes.plot(steps, [step_scale(t) for t in steps], color=COLOURS[1], label="without correction")
    axes.axhline(1, color=COLOURS[0], linestyle="--", label="with correction")
    axes.set(xscale="log", xlabel="step", ylabel="length of a step", ylim=(0, None))
    axes.legend()


def words(figure: Any) -> None:
    axes = figure.subplots()
    model, tokenizer = minift.load("word2vec"), minift.load_tokenizer("word2vec")
    named = [(kind, word) for kind, members in KINDS.items() for word in members]
    ids = torch.tensor([tokenizer.token_to_id(word) for _, word in named])
    found = pca(model.vectors[ids])
    for number, kind in enumerate(KINDS):
        rows = [row for row, (of, _) in enumerate(named) if of == kind]
        points = found.points[rows]
        axes.scatter(points[:, 0], points[:, 1], s=12, color=COLOURS[number], label=kind)
    for (_, word), (x, y) in zip(named, found.points.tolist()):
        axes.annotate(word, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=8)
    first, second = found.shares.tolist()
    axes.set(xlabel=f"first component ({first:.0%})", ylabel=f"second component ({second:.0%})")
    axes.legend()


def attention(figure: Any) -> None:
    model, tokenizer = minift.load("bert-mini"), minift.load_tokenizer("bert-mini")
    batch = tokenizer([SENTENCE])
    maps = {name: layer[0] for name, layer in attention_maps(model, **batch).items()}
    tokens = [tokenizer.vocab[i] for i in batch["input_ids"][0].tolist()]
    heads = telling_heads(maps, tokens)[:2]
    for axes, head in zip(figure.subplots(1, len(heads), squeeze=False)[0], heads):
        axes.imshow(head.weights.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=8)
        axes.set_yticks(range(len(tokens)), tokens, fontsize=8)
        axes.set_title(f"{head.name}\n{head.share:.0%} on {head.habit}", fontsize=9)


def tokens(figure: Any) -> None:
    axes = figure.subplots()
    corpus = [sentence for document in world_documents(200, seed=0) for sentence in document]
    kinds = (WordVocab, WordPiece, ByteBPE, Unigram)
    for row, kind in enumerate(kinds):
        tokenizer = kind.train(corpus, vocab_size=300)
        left = 0.0
        for token_id in tokenizer.encode("the sparrows sang wonderfully", special_tokens=False):
            token = tokenizer.vocab[token_id]
            width = 0.6 + 0.42 * len(token)
            axes.barh(row, width - 0.2, 0.6, left, color=COLOURS[5], alpha=0.35)
            axes.text(left + width / 2 - 0.1, row, token, ha="center", va="center", fontsize=8,
                      family="monospace", parse_math=False)  # fmt: skip
            left += width
    axes.set_yticks(range(len(kinds)), [kind.__name__ for kind in kinds])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_frame_on(False)


def lines(axes: Any, of: Results, figure: str, x: str, by: str, labels: dict[str, Any]) -> None:
    """A line a level of `by`, with the standard deviation over the seeds."""
    drawn = of.lines(figure, x=x, by=by)
    for number, (name, points) in enumerate(drawn["series"].items()):
        xs, ys = zip(*points)
        axes.errorbar(xs, ys, drawn["spread"][name], fmt=".-", color=COLOURS[number], label=name,
                      capsize=2)  # fmt: skip
    axes.set(**labels)
    axes.legend()


def bars(axes: Any, of: Results, figure: str, by: str, labels: dict[str, Any], chance: str) -> None:
    """A bar a level of `by`, with the standard deviation over the seeds; a line at chance."""
    drawn = of.bars(figure, by=by)
    names = list(drawn["values"])
    axes.barh(names, drawn["values"].values(), xerr=list(drawn["spread"].values()),
              color=COLOURS[0], alpha=0.7, capsize=2)  # fmt: skip
    axes.axvline(of.summary(chance).mean, color=COLOURS[7], linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set(**labels)


def target_size(figure: Any) -> None:
    axes = figure.subplots()
    found = results("target-size")
    labels = {"xscale": "log", "xlabel": "pictures of the target", "ylabel": "accuracy"}
    lines(axes, found, "accuracy", "size", "method", labels)


def frozen(figure: Any) -> None:
    labels = {"xlabel": "accuracy of the old head on the source, after training"}
    bars(figure.subplots(), results("frozen"), "source_accuracy", "way", labels, "source_chance")


def convergence(figure: Any) -> None:
    labels = {"xlabel": "steps", "ylabel": "accuracy"}
    lines(figure.subplots(), results("convergence"), "score", "step", "method", labels)


def domains(figure: Any) -> None:
    labels = {"xlabel": "frozen stages, from the bottom", "ylabel": "accuracy"}
    lines(figure.subplots(), results("domains"), "accuracy", "num_frozen", "domain", labels)


def other_tasks(figure: Any) -> None:
    found = results("other-tasks")
    fewest = Results(found.where(size=min(found.levels("size"))).rows)
    left, right = figure.subplots(1, 2, sharey=True)
    bars(left, fewest, "mean_iou", "method", {"xlabel": "masks: mean IoU"}, "background")
    bars(right, fewest, "box_iou", "method", {"xlabel": "boxes: IoU"}, "mean_box")


def objectives(figure: Any) -> None:
    axes = figure.subplots()
    found = results("objectives")
    tasks, ways = found.levels("task"), found.levels("objective")
    means = [[found.summary("accuracy", task=t, objective=o).mean for t in tasks] for o in ways]
    axes.imshow(means, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_yticks(range(len(ways)), ways)
    for row, values in enumerate(means):
        for column, value in enumerate(values):
            colour = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)


def tuning(figure: Any) -> None:
    labels = {"xlabel": "accuracy"}
    bars(figure.subplots(), results("tuning"), "accuracy", "method", labels, "majority")


PICTURES: dict[str, Callable[[], torch.Tensor]] = {
    "filters": filters,
    "source-and-targets": source_and_targets,
}
DRAWINGS: dict[str, Callable[[Any], None]] = {
    "frozen": frozen,
    "convergence": convergence,
    "domains": domains,
    "other-tasks": other_tasks,
    "target-size": target_size,
    "words": words,
    "tokens": tokens,
    "attention": attention,
    "objectives": objectives,
    "tuning": tuning,
    "step-scale": step_scales,
}
SIZES = {  # inches; others are 7 by 4
    "words": (8, 7),
    "attention": (9, 5),
    "tokens": (8, 2.6),
    "objectives": (8, 5),
}


def save(name: str, folder: Path) -> Path:
    """Draw one picture into the folder, and return its path."""
    if name in PICTURES:
        path = folder / f"{name}.png"
        write_bytes(path, encode_png(PICTURES[name]()))
        return path
    import matplotlib
    from matplotlib.figure import Figure

    # Letters stay letters; names within the file, and its date, would differ from run to run.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure = Figure(SIZES.get(name, (7, 4)), layout="constrained")
        DRAWINGS[name](figure)
        path = folder / f"{name}.svg"
        with replacing(path) as file:
            figure.savefig(file, format="svg", metadata={"Date": None})
    return path


def main(argv: list[str] | None = None) -> None:
    names = [*PICTURES, *DRAWINGS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    chosen = parser.parse_args(argv).names
    for name in chosen:
        if name not in names:
            parser.error(f"NAME must be one of {', '.join(names)}, got {name!r}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in chosen or names:
        print(save(name, FOLDER))


if __name__ == "__main__":
    try:
        main()
    except (ImportError, ValueError) as error:
        sys.exit(f"draw.py: {error}")
