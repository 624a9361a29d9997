"""The contract all models share: a trunk is a list of stages, a model is a trunk and a head.

A network is a feature extractor (the trunk) plus a small decoder (the head). Said this way, the
moves of transfer learning are short sentences about stages: freeze the lowest k, re-initialise the
top n, give each its own learning rate, run the frozen part only once. `minift.transfer` writes each
of them down a single time, for every model, because it sees nothing but this file.

What flows between stages is one value: a tensor for pictures, a NamedTuple of tensors for
sequences. This file also says how such a flow is cut into rows and joined again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Staged(nn.Module):
    """A trunk: named stages, bottom first; calling it is a fold over them.

    Every stage is a module that maps the flow to the next flow and has `reset_parameters()`, which
    draws that stage's weights anew. A parameter that two stages use belongs to the lowest.

    Parameters
    ----------
    stages : name -> module, bottom first.

    Examples
    --------
    >>> trunk = Staged({"bottom": nn.Linear(4, 8), "top": nn.Linear(8, 2)})
    >>> trunk.num_frozen = 1
    >>> [p.requires_grad for p in trunk.parameters()]
    [False, False, True, True]
    """

    def __init__(self, stages: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, stage in stages.items():
            if not callable(getattr(stage, "reset_parameters", None)):
                raise TypeError(f"stage {name!r} must have reset_parameters()")
        self.stages = nn.ModuleDict(dict(stages))
        self._num_frozen = 0

    def __len__(self) -> int:
        return len(self.stages)

    def forward(self, flow: Any, start: int = 0, stop: int | None = None) -> Any:
        """Run stages start..stop-1; running the first k and then the rest equals running all."""
        for stage in list(self.stages.values())[start:stop]:
            flow = stage(flow)
        return flow

    def outputs(self, flow: Any, start: int = 0) -> dict[str, Any]:
        """Run like `forward`, and keep what every stage put out: stage name -> flow."""
        kept = {}
        for name, stage in list(self.stages.items())[start:]:
            kept[name] = flow = stage(flow)
        return kept

    @property
    def num_frozen(self) -> int:
        """How many of the lowest stages are frozen; the only freezing state there is.

        Frozen means two things: no gradient, and eval mode, also after `train()`. A frozen
        BatchNorm left in train mode would go on moving its running mean and variance, and a frozen
        dropout would go on dropping, so that the "fixed" features change from batch to batch.
        """
        return self._num_frozen

    @num_frozen.setter
    def num_frozen(self, count: int) -> None:
        if not 0 <= count <= len(self):
            raise ValueError(
                f"num_frozen must be in 0..{len(self)} (the number of stages), got {count}"
            )
        self._num_frozen = count
        # From the top down, so that a parameter two stages use ends as the lowest of them has it.
        for index, stage in reversed(list(enumerate(self.stages.values()))):
            for parameter in stage.parameters():
                parameter.requires_grad_(index >= count)
                if index < count:
                    # None, not zero: an optimizer that decays weights skips only None.
                    parameter.grad = None
        self.train(self.training)

    def train(self, mode: bool = True) -> Staged:
        super().train(mode)
        for stage in list(self.stages.values())[: self._num_frozen]:
            stage.eval()
        return self

    def reset_parameters(self) -> None:
        """Draw every stage's weights anew, bottom first."""
        for stage in self.stages.values():
            stage.reset_parameters()  # type: ignore[operator]


class Model(nn.Module):
    """A trunk and a head. A family subclasses it to say how inputs enter and which heads there are.

    Attributes: `trunk` (Staged), `head` (reads the top of the trunk), `config` (frozen dataclass),
    and what the head is: `head_name` and `num_classes` (None where it has none). `tokenizer_id` is
    the fingerprint of the only tokenizer whose ids mean something to this model; None = not known.
    A head that reads several stages names them in `head.taps`; it is then called with a list.
    """

    family: str = ""  # the name of the subclass in checkpoints
    input_names: tuple[str, ...] = ()

    def __init__(
        self, config: Any, trunk: Staged, head: str | None = None, num_classes: int | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.trunk = trunk
        self.trunk.reset_parameters()
        self.tokenizer_id: str | None = None
        self.reset_head(head, num_classes)

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        """Return a fresh head; ValueError if the family has none of that name."""
        raise NotImplementedError

    def reset_head(self, name: str | None, num_classes: int | None = None) -> None:
        """Put a fresh head on, on the trunk's device; None takes it off. The trunk stays."""
        if name is None and num_classes is not None:
            raise ValueError(f"num_classes must be None without a head, got {num_classes}")
        head = nn.Identity() if name is None else self.make_head(name, num_classes)
        self.head = head.to(next(self.trunk.parameters()).device).train(self.training)
        self.head_name, self.num_classes = name, num_classes

    def prepare(self, *inputs: Tensor | None, **named_inputs: Tensor | None) -> Any:
        """Pack the model's inputs into the flow that enters the bottom stage."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor | None, **named_inputs: Tensor | None) -> Any:
        """Return what the head makes of the trunk's features."""
        return self.forward_from(self.prepare(*inputs, **named_inputs))

    def forward_from(self, flow: Any, start: int = 0) -> Any:
        """Like `forward`, but `flow` enters at stage `start`: the rest, then the head."""
        taps: Sequence[str] = getattr(self.head, "taps", ())
        if not taps:
            return self.head(self.trunk(flow, start=start))
        skipped = set(list(self.trunk.stages)[:start]) & set(taps)
        if skipped:
            raise ValueError(f"the head reads {sorted(skipped)}, which lie below stage {start}")
        outputs = self.trunk.outputs(flow, start=start)
        return self.head([outputs[name] for name in taps])

    def head_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters of the head alone; one tied to the trunk belongs to the trunk."""
        in_trunk = {id(parameter) for parameter in self.trunk.parameters()}
        for name, parameter in self.head.named_parameters():
            if id(parameter) not in in_trunk:
                yield name, parameter


def flow_rows(flow: Any, rows: Tensor) -> Any:
    """Take rows, (R,) int64, of a flow's batch; fields named in `flow.shared` stay whole."""
    if isinstance(flow, Tensor):
        return flow[rows]
    return flow._replace(
        **{
            name: value[rows]
            for name, value in flow._asdict().items()
            if isinstance(value, Tensor) and name not in getattr(flow, "shared", ())
        }
    )


def trim_flow(flow: Any) -> Any:
    """Cut off what is padding in every row: a flow that has padding says how, as `trimmed()`."""
    return flow.trimmed() if hasattr(flow, "trimmed") else flow


def join_flows(flows: Sequence[Any]) -> Any:
    """Join flows of several batches along the batch dimension; the reverse of `flow_rows`."""
    first = flows[0]
    if isinstance(first, Tensor):
        return torch.cat(list(flows))
    return first._replace(
        **{
            name: torch.cat([getattr(flow, name) for flow in flows])
            for name, value in first._asdict().items()
            if isinstance(value, Tensor) and name not in getattr(first, "shared", ())
        }
    )
