"""Models by name: one table from names to families and sizes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from minift.models import bert, gpt, resnet, t5, word2vec
from minift.shipped import read_shipped, shipped_names
from minift.stages import Model

FAMILIES: dict[str, type[Model]] = {
    family.family: family
    for family in (resnet.ResNet, word2vec.Word2Vec, bert.Bert, gpt.GPT, t5.T5)
}
CONFIGS: dict[str, type] = {
    "resnet": resnet.ResNetConfig,
    "word2vec": word2vec.Word2VecConfig,
    "bert": bert.BertConfig,
    "gpt": gpt.GPTConfig,
    "t5": t5.T5Config,
}
PRESETS: dict[str, tuple[str, Any]] = {
    name: (family, config)
    for family, module in (
        ("resnet", resnet),
        ("word2vec", word2vec),
        ("bert", bert),
        ("gpt", gpt),
        ("t5", t5),
    )
    for name, config in module.PRESETS.items()
}


def list_models(pretrained: bool = False) -> list[str]:
    """Return the names that `create_model` knows; `pretrained`: those that come with weights."""
    names = shipped_names() if pretrained else PRESETS
    return [name for name in PRESETS if name in names]


def create_model(
    name: str,
    *,
    pretrained: bool = False,
    head: str | None = "classify",
    num_classes: int | None = None,
    **config: Any,
) -> Model:
    """Make a model by its name, with fresh weights or with those that come with minift.

    Parameters
    ----------
    name : one of `list_models()`.
    pretrained : take the weights that come with minift; `list_models(pretrained=True)` names the
        models that have some. The model is the one that the name gives without them: as many words
        as its tokenizer (`load_tokenizer(name)`) has, and sizes for two cores; `bert-mini` is
        smaller than the published model of that name. It comes in eval mode, as from `load`.
    head : the task; which names there are depends on the family. None is the trunk alone. With
        `pretrained`, the head that the model was pretrained with keeps its weights, and any other
        starts afresh.
    num_classes : for heads that have classes. With `pretrained` and the head of pretraining, None
        is as many as that has.
    config : fields of the family's configuration that differ from the named size. With
        `pretrained`, only `dropout` and `attention_dropout` may: the weights are made for the
        others.

    Raises
    ------
    ValueError : an unknown name (the nearest ones are named), field, head or number of classes; a
        field's value that cannot be one, or that the weights are not made for; `pretrained` for a
        name without weights (those that have some are named), or a file of weights is damaged.

    Examples
    --------
    >>> model = create_model("bert-micro", head="classify", num_classes=2, vocab_size=1000)
    >>> list(model.trunk.stages)
    ['embedding', 'block0', 'block1', 'block2', 'pooler']
    >>> create_model("resnet-tiny", pretrained=True).num_classes
    10
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=3, cutoff=0.4)
        hint = f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(PRESETS)}"
        raise ValueError(f"model {name!r} is unknown; {hint}")
    family, preset = PRESETS[name]
    sizes = replace(preset, **checked_fields(family, config))
    if pretrained:
        return _with_shipped_weights(name, sizes, head, num_classes)
    return build_model(family, sizes, head, num_classes)


def _with_shipped_weights(
    name: str, config: Any, head: str | None, num_classes: int | None
) -> Model:
    names = list_models(pretrained=True)
    if name not in names:
        raise ValueError(
            f"pretrained must be False for {name!r}: no weights come with it, but with "
            f"{', '.join(names)}; or pretrain it with train_cv.py or train_nlp.py and load the "
            "folder"
        )
    family, own = PRESETS[name]
    for field in fields(own):
        value, asked = getattr(own, field.name), getattr(config, field.name)
        if asked != value and field.name not in ("dropout", "attention_dropout"):
            raise ValueError(
                f"{field.name} must be {value!r}, as the weights of {name!r} have it, got {asked!r}"
            )
    description, weights = read_shipped(name)
    if head == description["head"] and num_classes is None:
        num_classes = description["num_classes"]
    if (head, num_classes) != (description["head"], description["num_classes"]):
        weights = {key: value for key, value in weights.items() if key.startswith("trunk.")}
    model = build_with_weights(family, config, head, num_classes, weights)
    model.tokenizer_id = description["tokenizer"]
    return model.eval()


def build_model(family: str, config: Any, head: str | None, num_classes: int | None) -> Model:
    """Make a model of a family from its configuration."""
    model_class: Any = FAMILIES[family]
    return model_class(config, head=head, num_classes=num_classes)


def build_with_weights(
    family: str,
    config: Any,
    head: str | None,
    num_classes: int | None,
    values: Mapping[str, Tensor],
) -> Model:
    """Make a model whose weights are the tensors of `values`, by name; of the right shapes.

    They become the trunk's weights themselves, without a copy, so that of a mapped file nothing is
    read before it is used, and no number is drawn only to be overwritten. A stage or head that
    `values` has not, or not all of, draws its own.
    """
    with torch.device("meta"):  # shapes without memory
        model = build_model(family, config, None, None)
    values = {
        name: value.float().contiguous() if value.is_floating_point() else value
        for name, value in values.items()
    }
    model.load_state_dict(_part(values, "trunk."), strict=False, assign=True)
    for name, stage in model.trunk.stages.items():
        if any(weight.is_meta for weight in stage.state_dict().values()):
            stage.to_empty(device="cpu")
            stage.reset_parameters()  # type: ignore[operator]
            stage.load_state_dict(_part(values, f"trunk.stages.{name}.", cut=True), strict=False)
    model.reset_head(head, num_classes)  # tied to the weights that the trunk has now
    own = {f"head.{name}" for name, _ in model.head_parameters()}
    model.load_state_dict({k: v for k, v in values.items() if k in own}, strict=False)
    return model


def _part(values: Mapping[str, Tensor], prefix: str, cut: bool = False) -> dict[str, Tensor]:
    begin = len(prefix) if cut else 0
    return {name[begin:]: value for name, value in values.items() if name.startswith(prefix)}


def checked_fields(family: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return `config` if the family's configuration can have all of it; ValueError if not."""
    annotations = {field.name: str(field.type) for field in fields(CONFIGS[family])}
    for name, value in config.items():
        if name not in annotations:
            known = [*annotations]
            raise ValueError(f"{family} has no configuration field {name!r}; it has {known}")
        if not can_be(name, annotations[name], value):
            raise ValueError(f"{name} must be a valid {annotations[name]}, got {value!r}")
    return config


def can_be(name: str, annotation: str, value: Any) -> bool:
    """Whether a field can have a value: one of its type; a number above 0, or 0 in some fields."""
    kinds = re.findall(r"^\w+|(?<=\| )\w+", annotation)  # "int | None" allows two
    kind = type(value).__name__
    kind = {"NoneType": "None", "list": "tuple"}.get(kind, kind)  # JSON has no tuples
    if kind not in kinds and not (kind == "int" and "float" in kinds):
        return False
    if kind not in ("int", "float"):
        return True
    return value > 0 or (value == 0 and ("float" in kinds or name.endswith("_id")))
