"""The pictures that teach: each function adds one to a page, with a caption on how to read it.

The stories and the `show` commands put the same pictures on their pages. What is computed for one
is said where it is computed: `filters`, `projection`, `models.attention_maps`, `optim.step_scale`,
`training.metrics.confusion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from minift.models.attention_maps import attention_maps, telling_heads
from minift.models.resnet import ResNet
from minift.optim import step_scale
from minift.recipes.filters import filter_pictures, first_filters
from minift.recipes.pictures import contact_sheet
from minift.recipes.projection import pca
from minift.recipes.report import Report
from minift.stages import Model
from minift.tokenizers import ByteBPE, Tokenizer, Unigram, WordPiece, WordVocab
from minift.training.metrics import confusion

LONGEST_MAP = 40  # tokens along the side of an attention map


def add_filters(report: Report, model: Model, seed: int = 0) -> None:
    """A ResNet's first filters, and beside them as many that are drawn at random."""
    filters = first_filters(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random = first_filters(ResNet(model.config, head=None))
    sheets = [contact_sheet(filter_pictures(f), columns=8, gap=1) for f in (filters, random)]
    width = sheets[0].shape[2]
    report.pictures(
        torch.stack(sheets),
        ["trained", "random"],
        scale=max(1, 330 // width),
        caption=f"The {len(filters)} filters of the first layer. Random ones are noise. Among "
        "trained ones look for edges (light beside dark), for blobs of one colour, and for "
        "filters with a colour on one side and its opposite on the other.",
    )


def add_confusion(
    report: Report,
    predictions: Mapping[str, Tensor],
    labels: Tensor,
    classes: Sequence[str],
) -> None:
    """For each method, (N,) predictions: of each true class, what share was taken for which."""
    tables = {}
    for method, predicted in predictions.items():
        counts = torch.from_numpy(confusion(predicted, labels, len(classes)))
        tables[method] = (100 * counts / counts.sum(dim=1, keepdim=True).clamp(min=1)).tolist()
    report.heat_map(
        tables,
        classes,
        classes,
        caption="What is taken for what, in per cent of each true class, a row. Right answers are "
        "on the diagonal; a deep shade elsewhere is a confusion, and a column of them a class "
        "that is predicted too often.",
        row_label="true",
        column_label="predicted",
        spec=".0f",
        limit=100.0,
    )


def add_attention(
    report: Report, model: Model, tokenizer: Tokenizer, row: Mapping[str, Tensor]
) -> None:
    """Where a model's heads look in one text, if any has a habit.

    row : the model's inputs, (T,) each and without padding.
    """
    device = next(model.parameters()).device
    inputs = {
        name: row[name][None, :LONGEST_MAP].to(device) for name in model.input_names if name in row
    }
    maps = {name: layer[0].cpu() for name, layer in attention_maps(model, **inputs).items()}
    tokens = [tokenizer.vocab[i] for i in inputs["input_ids"][0].tolist()]
    heads = telling_heads(maps, tokens)
    if not heads:
        return
    report.heat_map(
        {f"{head.name}: {head.share:.0%} on {head.habit}": head.weights.tolist() for head in heads},
        tokens,
        tokens,
        caption="Each row is a token; its shades are what it reads, together 100%. Of all heads "
        "these have most of the habit that is named above them. A line beside the diagonal is a "
        "neighbour; deep shades further away join words that belong together.",
        row_label="token",
        column_label="reads",
        limit=1.0,
    )


def add_word_map(
    report: Report, vectors: Tensor, tokenizer: Tokenizer, groups: Mapping[str, Sequence[str]]
) -> None:
    """The vectors (V, C) of words, projected onto a plane; groups is name -> words of `vocab`."""
    words = [word for group in groups.values() for word in group]
    ids = torch.tensor([tokenizer.token_to_id(word) for word in words])
    found = pca(vectors[ids].float().cpu())
    places = iter(found.points.tolist())
    first, second = found.shares.tolist()
    report.scatter(
        {name: {word: tuple(next(places)) for word in group} for name, group in groups.items()},
        f"first component, {first:.0%} of the variance \N{RIGHTWARDS ARROW}",
        f"\N{UPWARDS ARROW} second component, {second:.0%}",
        caption="The words' vectors, seen from the side on which they spread most. Words that are "
        "used alike stand together, though nobody said what they mean. What is near here may be "
        "far apart in the dimensions that are not seen.",
    )


def add_step_scale(report: Report, num_steps: int) -> None:
    """How much too long Adam's steps are without the bias correction, and where a run ends."""
    steps = sorted({*range(1, 100), *(round(1.1**k) for k in range(97))})  # to 10,000
    report.lines(
        {"without correction": [(float(t), step_scale(t)) for t in steps]},
        "step",
        "length of a step, with correction = 1",
        caption="Adam's averages start at zero. Without the correction for that, its first steps "
        f"are too long, most at step 12: {step_scale(12):.1f} times. A fine-tuning of {num_steps} "
        f"steps ends while they still are {step_scale(num_steps):.1f} times too long; a "
        "pretraining has thousands of steps to forget it.",
        baseline={"with correction": 1.0},
        log_x=True,
    )


def add_tokens(report: Report, text: str, corpus: Sequence[str], vocab_size: int = 400) -> None:
    """One text, cut by each kind of tokenizer, all trained on `corpus` to one size at most."""
    rows = {
        kind.__name__: [t.vocab[i] for i in t.encode(text)]
        for kind in (WordVocab, WordPiece, ByteBPE, Unigram)
        for t in [kind.train(corpus, vocab_size=vocab_size)]
    }
    report.tokens(
        rows,
        caption=f"The same text for four tokenizers, each with {vocab_size} tokens at most. Whole "
        "words lose what they do not know ([UNK]); pieces spell it. ## says that a piece goes on "
        "with a word, \N{LATIN CAPITAL LETTER G WITH DOT ABOVE} and "
        "\N{LOWER ONE EIGHTH BLOCK} that a space stands before it.",
    )
