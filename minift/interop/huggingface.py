"""A folder in the Hugging Face layout: config.json, weights, and what our models make of them.

`load_folder` builds our model from their configuration, gives each of its weights the value of the
same meaning and says what was left over; `save_folder` is the way back. What belongs to one family
(its names, settings and heads) is in that family's file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from minift.interop.bert import BertFamily
from minift.interop.files import (
    WEIGHT_FILES,
    read_json,
    read_weights,
    weights_file,
    write_safetensors,
)
from minift.interop.gpt2 import GPT2Family
from minift.interop.names import Family, NameMap, Report, State, match
from minift.interop.t5 import T5Family
from minift.models.registry import CONFIGS, build_model, build_with_weights
from minift.stages import Model
from minift.training.files import write_text

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (BertFamily(), GPT2Family(), T5Family())
}
HEADS_WITH_CLASSES = ("classify", "tag")


def load_folder(
    folder: str | Path, *, head: str | None = None, num_classes: int | None = None
) -> tuple[Model, Report]:
    """Load a model from a folder in the Hugging Face layout, in eval mode.

    Parameters
    ----------
    head, num_classes : None means as the checkpoint has it: the head of the class that wrote it, or
        no head. Another head takes what the checkpoint holds for it; what it does not is fresh,
        and stands in the report as missing.

    Returns
    -------
    model, report : the report has our names as matched and missing, theirs as unexpected. Weights
        of a .safetensors file are mapped: another file may take its name, as all here is written,
        but it must not be changed in place while the model lives.

    Raises
    ------
    ValueError naming the file, and the setting or weight, for anything that does not fit; nothing
    is half loaded.
    """
    folder = Path(folder)
    path = folder / "config.json"
    theirs = read_json(path)
    family = family_of(theirs, path)
    source = weights_file(folder)
    state = read_weights(source)
    settings = family.read_config(theirs, state, path)
    try:
        config = CONFIGS[family.family](**settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    names = family.name_map(config)
    state = family.unpack(state, names)
    # Each layer has weights: so a made-up number of them is not built first.
    num_layers = max(config.num_layers, getattr(config, "num_decoder_layers", None) or 0)
    if num_layers > len(state):
        raise ValueError(f"{path}: asks for {num_layers} layers, {source} has {len(state)} weights")
    saved_head = family.saved_head(theirs, state)
    saved_classes = _num_classes(theirs, state, names, saved_head)
    head = saved_head if head is None else head
    if head == saved_head:
        num_classes = num_classes or saved_classes
    # Classes of another task or number are other classes: that head starts afresh.
    has_classes = head in HEADS_WITH_CLASSES
    use_head = not has_classes or (head, num_classes) == (saved_head, saved_classes)
    try:
        with torch.device("meta"):  # shapes without memory, until they are known to fit
            shapes = build_model(family.family, config, head, num_classes)
    # torch's own: a size that no number holds.
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None
    values, report = match(
        shapes.state_dict(keep_vars=True),
        state,
        names,
        source=f"{source}",
        optional=family.optional,
        use_head=use_head,
    )
    model = build_with_weights(family.family, config, head, num_classes, values)
    return model.eval(), report


def save_folder(
    model: Model,
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    token_ids: dict[str, int | None] | None = None,
) -> None:
    """Write config.json and model.safetensors as the reference library reads them.

    Parameters
    ----------
    classes : the names of the head's classes, in the order of the logits.
    token_ids : "pad_token_id", "bos_token_id", "eos_token_id", where the tokenizer has them.

    Raises
    ------
    ValueError : the layout has no such family or head, or the classes are not as many as the
        head's. Nothing is written then.
    """
    family, architecture = architecture_of(model)
    if classes is not None and len(classes) != model.num_classes:
        raise ValueError(f"classes must be {model.num_classes} names, got {list(classes)}")
    theirs: dict[str, Any] = {
        "architectures": [architecture],
        "model_type": family.model_type,
        **family.write_config(model.config),
        **(token_ids or {}),
    }
    if model.num_classes is not None:
        labels = list(classes or (f"LABEL_{number}" for number in range(model.num_classes)))
        theirs["id2label"] = {str(number): label for number, label in enumerate(labels)}
        theirs["label2id"] = {label: number for number, label in enumerate(labels)}
    names = family.name_map(model.config)
    state: State = {}
    seen: set[int] = set()
    for name, weight in model.state_dict(keep_vars=True).items():
        if id(weight) not in seen:  # a tied weight is written once, under its lowest name
            seen.add(id(weight))
            state[names.theirs(name)[0]] = weight.detach()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", family.pack(state))
    write_text(folder / "config.json", json.dumps(theirs, indent=2) + "\n")


def architecture_of(model: Model) -> tuple[Family, str]:
    """The family of a model and their class for it; ValueError if the layout has none."""
    by_family = {family.family: family for family in FAMILIES.values()}
    if model.family not in by_family:
        known = ", ".join(by_family)
        raise ValueError(f"the huggingface layout is for {known}, got a {model.family} model")
    family = by_family[model.family]
    for name, head in family.architectures.items():
        if head == model.head_name:
            return family, name
    heads = ", ".join(dict.fromkeys(f"{head}" for head in family.architectures.values()))
    raise ValueError(
        f"the huggingface layout has for {model.family} the heads {heads}, got {model.head_name!r}"
    )


def family_of(theirs: dict[str, Any], path: Path) -> Family:
    """The family of a config.json; ValueError if we have none of that kind."""
    model_type = theirs.get("model_type")
    if model_type is None:  # older files do not say
        written_by = theirs.get("architectures")
        found = [f for f in FAMILIES.values() for name in f.architectures if [name] == written_by]
        if found:
            return found[0]
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ValueError(
            f'{path}: "model_type" must be one of {", ".join(FAMILIES)}, got {model_type!r}'
        )
    return FAMILIES[model_type]


def is_huggingface(folder: str | Path) -> bool:
    """Whether a folder is in this layout rather than in our own."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        return False
    try:
        description = read_json(path)
    except ValueError:
        return any((Path(folder) / name).is_file() for name in WEIGHT_FILES)
    return "format" not in description and bool({"model_type", "architectures"} & set(description))


def class_names(theirs: dict[str, Any]) -> list[str] | None:
    """The names of a head's classes, in the order of the logits; None where config.json is silent.

    The placeholders LABEL_0, LABEL_1, ... are no names.
    """
    labels = theirs.get("id2label")
    if not isinstance(labels, dict) or not labels:
        return None
    names = [labels.get(str(number)) for number in range(len(labels))]
    if not all(isinstance(name, str) for name in names):
        return None
    return None if names == [f"LABEL_{n}" for n in range(len(names))] else names  # type: ignore[return-value]


def _num_classes(
    theirs: dict[str, Any], state: State, names: NameMap, head: str | None
) -> int | None:
    """How many classes the saved head has: by its weights, or else by config.json."""
    if head not in HEADS_WITH_CLASSES:
        return None
    for name in names.theirs("head.classifier.weight"):
        if name in state and state[name].ndim == 2:
            return len(state[name])
    labels = theirs.get("id2label")
    return len(labels) if isinstance(labels, dict) and labels else 2
