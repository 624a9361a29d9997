"""Checkpoints: a folder with configuration, weights, tokenizer, and where they come from.

    config.json      family, configuration, head, classes, lineage (recipe, seed, data, parent)
    model.pt         weights by name; read with weights_only, so that no code can hide in it
    tokenizer.json   and vocabulary files, where the model reads text

A model's weights mean something only together with the tokenizer they were trained with: another
one's ids would fit into the embedding and say something else. So the folder keeps the tokenizer's
fingerprint, and a model refuses a tokenizer that is not its own.

Other people's checkpoints are read by the same functions (minift/interop): a folder in the Hugging
Face layout, a file of ResNet weights. They know no fingerprints: there only the sizes are checked.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minift.interop.files import read_json
from minift.interop.huggingface import (
    architecture_of,
    class_names,
    is_huggingface,
    load_folder,
    save_folder,
)
from minift.interop.resnet import load_resnet
from minift.models.registry import CONFIGS, build_model, build_with_weights, checked_fields
from minift.shipped import shipped_folder, shipped_names
from minift.stages import Model
from minift.tokenizers import Tokenizer
from minift.tokenizers import load_tokenizer as _load_tokenizer
from minift.training.files import file_digest, load_tensors, save_tensors, write_text

FORMAT = "minift 1"
MAX_PADDING = 1024  # others' vocabularies are padded to a multiple of 8, 64, ... at most of this


def save(
    model: Model,
    folder: str | Path,
    tokenizer: Tokenizer | None = None,
    layout: str = "minift",
    *,
    classes: list[str] | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint folder; every file appears whole or not at all.

    Parameters
    ----------
    tokenizer : the one the model was trained with; it is written beside the weights.
    layout : "minift", or "huggingface": a folder that transformers' `AutoModel...` and
        `AutoTokenizer` open (BERT, GPT-2, T5), and `load` too. It has no place for `lineage`.
    classes : the names of the head's classes, in the order of the logits.
    lineage : how the weights came about: recipe, seed, data, parent (plain JSON values).

    Raises
    ------
    ValueError : the tokenizer is not the model's own, or is left out where the folder holds
        another one; there are more or fewer classes than the head has; the layout is unknown, or
        it has no such family, head or kind of tokenizer.
    TypeError : the lineage is not plain. In all of these cases nothing is written.
    """
    if layout == "huggingface":
        architecture_of(model)  # raises where the layout has none, before anything is written
    elif layout != "minift":
        raise ValueError(f"layout must be 'minift' or 'huggingface', got {layout!r}")
    folder = Path(folder)
    num_named = model.num_classes
    if num_named is not None and model.head_name == "segment":
        num_named -= 1  # the background has no name
    if None not in (classes, num_named) and len(classes or ()) != num_named:
        raise ValueError(f"classes must be {num_named} names, as the head has, got {classes}")
    lineage = json.loads(json.dumps(dict(lineage or {})))
    with torch.device("meta"):
        plain = build_model(model.family, model.config, model.head_name, model.num_classes)
    if beside := sorted(model.state_dict().keys() ^ plain.state_dict().keys()):
        raise ValueError(
            f"model must have the weights of its configuration alone, {beside[0]!r} differs; is "
            "there LoRA to be merged (merge_lora)?"
        )
    if tokenizer is not None:
        require_tokenizer(model, tokenizer)
        model.tokenizer_id = tokenizer.fingerprint
    elif (folder / "tokenizer.json").exists():  # it would be taken for the new model's
        _require_same(model.tokenizer_id or "unknown", _load_tokenizer(folder), f"{folder}: model")
    if layout == "huggingface":
        if tokenizer is not None:
            tokenizer.save(folder, layout="huggingface")
        save_folder(model, folder, classes=classes, token_ids=_token_ids(tokenizer))
        return
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(folder)
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    save_tensors(folder / "model.pt", weights)
    description = {
        "format": FORMAT,
        "family": model.family,
        "config": asdict(model.config),
        "head": model.head_name,
        "num_classes": model.num_classes,
        "classes": classes,
        "tokenizer": model.tokenizer_id,
        # Last to be written, and with a hash: a save that broke off over an older checkpoint
        # leaves weights that do not belong to this file, and `load` will see it.
        "weights": file_digest(folder / "model.pt"),
        "lineage": lineage,
    }
    write_text(folder / "config.json", json.dumps(description, indent=2) + "\n")


def load(source: str | Path, *, head: str | None = None, num_classes: int | None = None) -> Model:
    """Load a model from a checkpoint, in eval mode.

    Parameters
    ----------
    source : a folder, ours or in the Hugging Face layout, or a file of ResNet weights with
        torchvision's or timm's names (.pth, .pt, .safetensors); or a name of
        `list_models(pretrained=True)`, for the weights that come with minift. A folder or file of
        that name goes first, because it is the reader's own; `create_model(name, pretrained=True)`
        always takes the shipped weights.
    head, num_classes : another head than the saved one, put on fresh; None means as saved. A head
        of the same name and number of classes keeps its weights.

    Raises
    ------
    ValueError naming the file and what is wrong with it; nothing is half loaded.

    Warns
    -----
    UserWarning : part of another's checkpoint is missing and starts afresh: a head, a pooler.
    """
    folder = _located(source)
    if folder.is_file() or is_huggingface(folder):
        read = load_resnet if folder.is_file() else load_folder
        model, report = read(folder, head=head, num_classes=num_classes)
        if report.missing:
            warnings.warn(f"fresh weights: {report.summary()}", stacklevel=2)
        return model
    description = read_description(folder)
    path = folder / "config.json"
    family = description["family"]
    if family not in list(CONFIGS):  # a list, in which anything that JSON holds can be looked up
        raise ValueError(f"{path}: family must be one of {list(CONFIGS)}, got {family!r}")
    try:
        config = CONFIGS[family](**checked_fields(family, description["config"]))
        with torch.device("meta"):  # shapes without memory, until they are known to fit
            shapes = build_model(family, config, description["head"], description["num_classes"])
    except (TypeError, ValueError, RuntimeError) as error:  # torch's: too large for the memory
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None
    if file_digest(folder / "model.pt") != description["weights"]:
        raise ValueError(f"{folder / 'model.pt'} is damaged or does not belong to {path}")
    weights = load_tensors(folder / "model.pt")
    _require_fit(weights, dict(shapes.state_dict()), folder / "model.pt")
    model = build_with_weights(family, config, shapes.head_name, shapes.num_classes, weights)
    model.tokenizer_id = description["tokenizer"]
    head = head or model.head_name
    if head != model.head_name or num_classes not in (None, model.num_classes):
        model.reset_head(head, num_classes)
    return model.eval()


def load_tokenizer(source: str | Path) -> Tokenizer:
    """Load the tokenizer of a checkpoint; ValueError if it is not the one of its model.

    `source` is a folder or a shipped name, as for `load`.
    """
    folder = _located(source)
    tokenizer = _load_tokenizer(folder)
    path = folder / "config.json"
    if path.exists():
        description = read_description(folder)
        _require_same(description["tokenizer"], tokenizer, f"{source}")
        rows = description.get("vocab_size", description.get("config", {}).get("vocab_size"))
        # More tokens than rows fit nowhere; far fewer mean that a part of them was lost.
        if isinstance(rows, int) and not 0 <= rows - tokenizer.vocab_size < MAX_PADDING:
            raise ValueError(
                f"{path}: vocab_size is {rows}, the tokenizer beside it has "
                f"{tokenizer.vocab_size} tokens"
            )
    return tokenizer


def require_tokenizer(model: Model, tokenizer: Tokenizer) -> None:
    """ValueError unless `tokenizer` is the model's own (or the model does not know its own yet)."""
    _require_same(model.tokenizer_id, tokenizer, f"this {model.family} model")
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ValueError(
            f"tokenizer has {tokenizer.vocab_size} tokens, more than the model's vocab_size "
            f"{model.config.vocab_size}"
        )


def read_description(folder: str | Path) -> dict[str, Any]:
    """Return what config.json of a checkpoint folder says, with all the keys that `save` writes.

    Of a file, or of a folder in the Hugging Face layout: what is known of the classes and the
    tokenizer. A shipped name is as good as its folder.
    """
    folder = _located(folder)
    if folder.is_file():
        return {"classes": None, "tokenizer": None}
    path = folder / "config.json"
    if is_huggingface(folder):
        theirs = read_json(path)
        return {
            "classes": class_names(theirs),
            "tokenizer": None,
            "vocab_size": theirs.get("vocab_size"),
        }
    if not path.exists():
        raise ValueError(f"{folder} is no checkpoint folder: it has no config.json")
    description = read_json(path)
    if description.get("format") != FORMAT:
        raise ValueError(f'{path}: "format" must be {FORMAT!r}; this checkpoint is of another kind')
    missing = {"family", "config", "head", "num_classes", "tokenizer", "weights"} - set(description)
    if missing:
        raise ValueError(f"{path} lacks {sorted(missing)}")
    if not isinstance(description["config"], dict):
        raise ValueError(f'{path}: "config" must be fields by name, got {description["config"]!r}')
    return description


def _located(source: str | Path) -> Path:
    """The folder or file of a source, which may also be a shipped name."""
    path = Path(source)
    if path.exists() or str(source) not in shipped_names():
        return path
    return shipped_folder(str(source))


def _token_ids(tokenizer: Tokenizer | None) -> dict[str, int | None]:
    """What config.json of the Hugging Face layout says of the tokenizer."""
    if tokenizer is None:
        return {}
    return {"pad_token_id": tokenizer.pad_id, "eos_token_id": tokenizer.eos_id}


def _require_same(own: str | None, tokenizer: Tokenizer, owner: str) -> None:
    if own is not None and own != tokenizer.fingerprint:
        raise ValueError(
            f"tokenizer {tokenizer.fingerprint} ({tokenizer.kind}, {tokenizer.vocab_size} tokens) "
            f"is not the one {owner} was trained with ({own}); its ids would mean other words"
        )


def _require_fit(weights: Any, expected: dict[str, Tensor], path: Path) -> None:
    if not isinstance(weights, dict):
        raise ValueError(f"{path} must hold tensors by name, got {type(weights).__name__}")
    for name, shape in expected.items():
        if name not in weights:
            raise ValueError(f"{path} lacks {name!r}, which the configuration asks for")
        value = weights[name]
        if not isinstance(value, Tensor):
            raise ValueError(f"{path}: {name!r} must be a tensor, got {type(value).__name__}")
        if value.shape != shape.shape:
            raise ValueError(
                f"{path}: {name!r} must be {tuple(shape.shape)} by the configuration, "
                f"got {tuple(value.shape)}"
            )
        if value.is_floating_point() != shape.is_floating_point() or value.is_complex():
            raise ValueError(f"{path}: {name!r} must be like {shape.dtype}, got {value.dtype}")
    for name in weights:
        if name not in expected:
            raise ValueError(f"{path} has {name!r}, which the configuration does not ask for")
