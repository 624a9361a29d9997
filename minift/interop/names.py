"""Two names for one weight: pairs of patterns, ours beside theirs, read in both directions.

    ("trunk.stages.block{}.feed_forward.norm", "bert.encoder.layer.{}.output.LayerNorm")

A pattern names a module, and with it all its weights, or a single weight; `{}` is a number. Where a
weight of ours has several names (a tied matrix, older spellings), the first pair is the one that is
written, and all are read.

A family says with such pairs, and a few tables, how its checkpoints look (bert.py, gpt2.py, t5.py);
`match` finds a value for each of a model's weights, and reports what was left over on either side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minift.models.registry import CONFIGS, can_be

State = dict[str, Tensor]


class NameMap:
    """Pairs (ours, theirs) of patterns.

    Examples
    --------
    >>> names = NameMap([("trunk.stages.block{}.attention", "layer.{}.attn")])
    >>> names.theirs("trunk.stages.block3.attention.query.weight")
    ['layer.3.attn.query.weight']
    >>> names.ours("layer.3.attn.query.weight")
    ['trunk.stages.block3.attention.query.weight']
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)

    def theirs(self, name: str) -> list[str]:
        """Their names for a weight of ours, the one that is written first."""
        return [new for ours, theirs in self.pairs if (new := _translated(name, ours, theirs))]

    def ours(self, name: str) -> list[str]:
        """Our names for a weight of theirs; in several heads one name may mean several weights."""
        return [new for ours, theirs in self.pairs if (new := _translated(name, theirs, ours))]


def _translated(name: str, old: str, new: str) -> str | None:
    pattern = re.escape(old).replace(r"\{\}", "([0-9]+)")
    found = re.fullmatch(rf"{pattern}(\..*)?", name)
    if found is None:
        return None
    *numbers, rest = found.groups(default="")
    return new.format(*numbers) + rest


@dataclass(frozen=True)
class Report:
    """Which weights were found: every name of either side is in exactly one list."""

    source: str
    matched: list[str] = field(default_factory=list)  # our names: the file's values
    missing: list[str] = field(default_factory=list)  # our names: fresh weights
    unexpected: list[str] = field(default_factory=list)  # their names: not used

    def summary(self) -> str:
        """One line of counts, with the first few names of what did not match."""
        parts = [f"{self.source}: matched {len(self.matched)}"]
        for word, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                parts.append(f"{word} {len(names)}: {shown}")
        return "; ".join(parts)


def match(
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    names: NameMap,
    *,
    source: str,
    optional: Sequence[str] = (),
    use_head: bool = True,
    sizes_from: str = "config.json",
) -> tuple[State, Report]:
    """Find the value of each of a model's weights in a checkpoint.

    Parameters
    ----------
    own : the model's `state_dict(keep_vars=True)`, in which tied weights are one object; only the
        shapes are read, so it may be on the meta device.
    state : their names -> tensors.
    source : the file, for messages.
    optional : patterns of trunk weights that may be missing.
    use_head : False leaves the head fresh, whatever the file has.
    sizes_from : what says the model's sizes, for messages.

    Returns
    -------
    values : our names -> tensors of `state`.
    report : what is missing (the head, or an optional part) and what was not used.

    Raises
    ------
    ValueError : a trunk weight is missing, has another shape or kind of numbers, or there is one
        that the model has no place for; two names of one weight have different values.
    """
    values: State = {}
    used: set[str] = set()
    first_of: dict[int, str] = {}  # id of a weight -> the first of our names for it
    for name, weight in own.items():
        if name.startswith("head.") and not use_head:
            continue
        for theirs in names.theirs(name):
            if theirs not in state:
                continue
            value = state[theirs]
            if value.shape != weight.shape:
                raise ValueError(
                    f"{source}: {theirs!r} must be {tuple(weight.shape)} by {sizes_from}, "
                    f"got {tuple(value.shape)}"
                )
            if weight.is_floating_point() and not value.is_floating_point():
                raise ValueError(f"{source}: {theirs!r} is of {value.dtype}, not {weight.dtype}")
            first = first_of.setdefault(id(weight), name)
            known = values.setdefault(first, value)
            # A tensor with a NaN is not equal to itself.
            if known is not value and not torch.equal(known, value):
                raise ValueError(
                    f"{source}: {theirs!r} must be the same tensor as "
                    f"{names.theirs(first)[0]!r}, to which this model ties it"
                )
            used.add(theirs)
    values |= {name: values[first_of[id(own[name])]] for name in own if id(own[name]) in first_of}
    report = Report(
        source,
        matched=list(values),
        missing=[name for name in own if name not in values],
        unexpected=[name for name in state if name not in used],
    )
    _require_trunk(report, names, optional, sizes_from)
    return values, report


def _require_trunk(
    report: Report, names: NameMap, optional: Sequence[str], sizes_from: str
) -> None:
    for name in report.missing:
        if name.startswith("trunk.") and not any(_translated(name, part, "x") for part in optional):
            theirs = names.theirs(name)[0]
            raise ValueError(f"{report.source} lacks {theirs!r}, the model's {name!r}")
    for name in report.unexpected:
        for ours in names.ours(name):
            if ours.startswith("trunk.") and ours not in report.matched:
                raise ValueError(
                    f"{report.source} has {name!r}, for which {sizes_from} leaves no place"
                )


class Family:
    """How the checkpoints of one family look; a subclass fills the tables in."""

    family: str  # our name of the family
    model_type: str  # theirs, in config.json
    prefix: str = ""  # of the trunk's names; a checkpoint of the trunk alone leaves it out
    fields: Mapping[str, str]  # a setting in config.json -> our configuration's field
    defaults: Mapping[str, Any] = {}  # our fields, where silence in config.json means another value
    fixed: Mapping[str, Any] = {}  # a setting in config.json -> the one value that we compute
    architectures: Mapping[str, str | None]  # their class -> our head; the first one is written
    optional: Sequence[str] = ()  # patterns of trunk weights that some checkpoints do not have

    def name_map(self, config: Any) -> NameMap:
        """The pairs of names for a model of this configuration."""
        raise NotImplementedError

    def unpack(self, state: State, names: NameMap) -> State:
        """Give their weights the names and shapes that the map speaks of."""

        def full(name: str) -> str:
            is_trunk = any(ours.startswith("trunk.") for ours in names.ours(self.prefix + name))
            return self.prefix + name if is_trunk else name

        return {full(name): value for name, value in state.items()}

    def pack(self, state: State) -> State:
        """The reverse of `unpack`."""
        return state

    def read_config(self, theirs: Mapping[str, Any], state: State, path: Path) -> dict[str, Any]:
        """config.json -> fields of our configuration; ValueError names file and setting."""
        for name, value in self.fixed.items():
            if theirs.get(name, value) != value:
                raise ValueError(f"{path}: {name} must be {value!r}, got {theirs[name]!r}")
        annotations = {field.name: str(field.type) for field in fields(CONFIGS[self.family])}
        ours = dict(self.defaults)
        for name, field_name in self.fields.items():
            if name not in theirs:
                continue
            value = theirs[name]
            value = ACTIVATION_NAMES.get(value, value) if isinstance(value, str) else value
            if not can_be(field_name, annotations[field_name], value):
                raise ValueError(
                    f"{path}: {name} must be a valid {annotations[field_name]}, got {value!r}"
                )
            ours[field_name] = value
        return ours

    def write_config(self, config: Any) -> dict[str, Any]:
        """The reverse of `read_config`."""
        return {name: getattr(config, field) for name, field in self.fields.items()}

    def saved_head(self, theirs: Mapping[str, Any], state: State) -> str | None:
        """The head that a checkpoint comes with, by the class that wrote it."""
        architectures = theirs.get("architectures")
        written_by = architectures[0] if isinstance(architectures, list) and architectures else None
        return self.architectures.get(written_by) if isinstance(written_by, str) else None


ACTIVATION_NAMES = {"gelu_pytorch_tanh": "gelu_new", "gelu_fast": "gelu_new", "swish": "silu"}
