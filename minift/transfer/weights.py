"""Copy the weights of one network into another, as far as they fit, and say what did not.

Pretrained weights rarely fit whole: the head has other classes, the names carry another prefix.
A silent `strict=False` is how a run trains from scratch without knowing; so the report is the
result, and every name of either side stands in exactly one of its lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Mismatch:
    """A tensor both sides have, of different shapes; the model kept its own."""

    name: str
    model_shape: tuple[int, ...]
    state_shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} (model {self.model_shape}, state {self.state_shape})"


@dataclass(frozen=True)
class CopyReport:
    """What `copy_matching` did, in names of the model except for `unexpected`."""

    copied: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # in the model only: as they were
    unexpected: list[str] = field(default_factory=list)  # in the state only, by its own name
    mismatched: list[Mismatch] = field(default_factory=list)

    def summary(self) -> str:
        """One line of counts, with the first few names of whatever was not copied."""
        parts = [f"copied {len(self.copied)}"]
        lists: dict[str, list[str]] = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mismatched": [str(mismatch) for mismatch in self.mismatched],
        }
        for word, names in lists.items():
            if names:
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                parts.append(f"{word} {len(names)}: {shown}")
        return "; ".join(parts)


def copy_matching(
    module: nn.Module, state: Mapping[str, Tensor], *, prefixes: Mapping[str, str] | None = None
) -> CopyReport:
    """Copy every tensor of `state` whose name and shape match, in place.

    Parameters
    ----------
    module : parameters and buffers are filled (BatchNorm's running statistics are weights too).
    state : name -> tensor, as `state_dict()` gives it.
    prefixes : how names of the state begin -> how the module's begin, the longest that fits
        counting; {"bert.": "trunk."} renames, {"": "trunk."} adds. None leaves names as they are.

    Returns
    -------
    CopyReport
        A tensor tied under several names counts as copied under all once one of them is found.

    Raises
    ------
    ValueError
        If a value is not a tensor, or two names of the state claim one tensor with different
        values. Nothing has been copied then.

    Examples
    --------
    >>> old, new = nn.Linear(4, 10), nn.Linear(4, 3)
    >>> copy_matching(new, old.state_dict()).summary()
    'copied 0; mismatched 2: weight (model (3, 4), state (10, 4)), bias (model (3,), state (10,))'
    """
    own = module.state_dict(keep_vars=True)  # the tensors themselves, so that tied ones are one
    report = CopyReport()
    sources: dict[int, tuple[str, Tensor]] = {}  # id of one of our tensors -> what it will get
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"state must map names to tensors, got {type(value).__name__} for {name!r} "
                f"(is the state dict inside it?)"
            )
        target_name = _rename(name, prefixes or {})
        target = own.get(target_name)
        if target is None:
            report.unexpected.append(name)
        elif target.shape != value.shape:
            report.mismatched.append(Mismatch(target_name, (*target.shape,), (*value.shape,)))
        else:
            first_name, first_value = sources.setdefault(id(target), (name, value))
            if first_name != name and not torch.equal(first_value, value):
                raise ValueError(
                    f"state must hold one value for {target_name!r}, got two in {first_name!r} "
                    f"and {name!r}"
                )

    with torch.no_grad():
        for name, target in own.items():
            if id(target) in sources:
                target.copy_(sources[id(target)][1])
                report.copied.append(name)
    settled = {*report.copied, *(mismatch.name for mismatch in report.mismatched)}
    report.missing.extend(name for name in own if name not in settled)
    return report


def _rename(name: str, prefixes: Mapping[str, str]) -> str:
    longest = max((old for old in prefixes if name.startswith(old)), key=len, default=None)
    return name if longest is None else prefixes[longest] + name[len(longest) :]
