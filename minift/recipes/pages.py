"""What `show --page` writes: examples as a model sees them, and what a trained model makes of them.

The scripts load; here the pages are put together, from the pictures of `figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from minift.data.batches import num_examples, take
from minift.recipes.figures import add_attention, add_confusion, add_filters, add_word_map
from minift.recipes.finetuning import predict
from minift.recipes.pictures import outline_boxes, overlay_mask
from minift.recipes.report import Report
from minift.recipes.sources import Pictures
from minift.recipes.text_commands import Task, token_vectors
from minift.stages import Model
from minift.tokenizers import Tokenizer

MAX_WORDS = 40  # on a map


def check_page(path: Path) -> None:
    """ValueError if a page cannot have that name."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--page must be a file that ends in .html, got {str(path)!r}")


def picture_page(
    title: str,
    train: Pictures,
    model: Model | None = None,
    test: Pictures | None = None,
    precision: str = "auto",
) -> Report:
    """Five pictures with their masks and boxes, a ResNet's filters, and what it says to others.

    test : pictures with what the model's head names, for a confusion table, or for masks or boxes
        beside the true ones; None: none of these.
    """
    report = Report(title, "five examples, and what a network makes of them")
    five = take(train.dataset, torch.arange(min(5, num_examples(train.dataset))))
    report.section("The examples", "What each row of the data set holds.")
    names = [train.classes[label] for label in five["labels"].tolist()]
    report.pictures(five["images"], names, caption="The pictures and their labels.")
    add_marked(report, five, five, names, "as the data has them")
    if model is None:
        return report
    report.section("The network", "What it has learnt at the bottom, and what it says at the top.")
    add_filters(report, model)
    if test is None:
        return report
    predicted = predict(model, test.dataset, precision)
    if model.head_name == "classify":
        add_confusion(report, {"the network": predicted}, test.dataset["labels"], test.classes)
        return report
    few = take(test.dataset, torch.arange(min(5, num_examples(test.dataset))))
    truth = {"segment": "masks", "locate": "boxes"}[str(model.head_name)]
    names = [test.classes[label] for label in few["labels"].tolist()]
    add_marked(report, few, {truth: few[truth]}, names, "the truth, on test pictures")
    add_marked(report, few, {truth: predicted[: len(names)]}, names, "what the network says")
    return report


def add_marked(
    report: Report,
    pictures: Mapping[str, Tensor],
    marks: Mapping[str, Tensor],
    names: Sequence[str],
    caption: str,
) -> None:
    """Pictures with masks laid over them and boxes drawn around; nothing where there are none."""
    images = pictures["images"]
    if "masks" in marks:
        images = overlay_mask(images, marks["masks"])
    if "boxes" in marks:
        images = outline_boxes(images, marks["boxes"])
    found = " and ".join(name for name in ("masks", "boxes") if name in marks)
    if found:
        report.pictures(images, names, caption=f"The {found}: {caption}.")


def text_page(
    title: str,
    five: Task,
    model: Model,
    tokenizer: Tokenizer,
    test: Task | None = None,
    precision: str = "auto",
) -> Report:
    """Five texts as tokens, where the model looks in one of them, a map of their words.

    test : rows whose classes the model's head names, for a confusion table; None: no table.
    """
    report = Report(title, "five examples, and what a model makes of them")
    report.section("The examples", "What the model is given: tokens, each a row of its embedding.")
    rows = [real_tokens(five.dataset, row) for row in range(min(5, num_examples(five.dataset)))]
    texts = {}
    for number, row in enumerate(rows):
        label = "" if five.classes is None else five.classes[int(five.dataset["labels"][number])]
        name = f"example {number}" + (f", {label}" if label else "")
        texts[name] = [tokenizer.vocab[i] for i in row["input_ids"].tolist()]
    report.tokens(texts)
    report.section("The model", "Where it looks, and where its words stand.")
    add_attention(report, model, tokenizer, min(rows, key=lambda row: len(row["input_ids"])))
    ids = dict.fromkeys(i for row in rows for i in row["input_ids"].tolist())
    words = [tokenizer.vocab[i] for i in ids if i not in tokenizer.special_ids][:MAX_WORDS]
    if len(words) > 2:  # three points make a plane
        vectors = token_vectors(model, tokenizer)
        add_word_map(report, vectors, tokenizer, {"words of these examples": words})
    if test is not None and test.classes is not None:
        predicted = predict(model, test.dataset, precision)
        add_confusion(report, {"the model": predicted}, test.dataset["labels"], test.classes)
    return report


def real_tokens(dataset: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    """One row of what a model reads, (T,) each, without padding."""
    inputs = {name: values[row] for name, values in dataset.items()}
    is_real = inputs.get("attention_mask")
    if is_real is None:
        return inputs
    return {
        name: values[is_real.bool()] if values.shape == is_real.shape else values
        for name, values in inputs.items()
    }
