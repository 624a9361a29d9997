"""Run the frozen part of a network once, not once an epoch.

A frozen prefix is a fixed function: no weight of it moves, and in eval mode no dropout and no
batch statistic either. What it makes of a data set can therefore be kept, and training starts at
the first stage that learns. This is feature extraction with the extraction taken out of the loop
(Donahue et al. 2014 did it with a whole network); fold, cut in two, is still the same fold.

It buys time with memory: N rows of flow, for instance 4 bytes * 128 tokens * 768 = 393 kB a text.
And it rules out augmentation, since each row is seen once. Results may differ from uncached
training in the last bits, where a kernel adds up in another order for another batch size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minift.stages import Model, flow_rows, join_flows, trim_flow


@dataclass(frozen=True)
class CachedTrunk:
    """What stands between the frozen and the learning part, for every row of a data set.

    A training step is then `model.forward_from(batch["flow"], start=cached.start)`.
    """

    flow: Any  # of N rows, on the CPU
    targets: dict[str, Tensor]  # the data set without the model's inputs: labels, ...
    start: int  # the stage that the flow enters
    num_rows: int  # N

    def __len__(self) -> int:
        return self.num_rows

    def take(self, rows: Tensor, device: torch.device | str = "cpu") -> dict[str, Any]:
        """Return the batch {"flow": ..., "labels": ...} of some rows; `rows` is (R,) int64."""
        batch = {name: target[rows].to(device) for name, target in self.targets.items()}
        flow = trim_flow(flow_rows(self.flow, rows))  # to the longest of these rows, not of all
        return {"flow": _flow_to(flow, device), **batch}


def cache_trunk(
    model: Model,
    data: Mapping[str, Tensor] | Iterable[Mapping[str, Tensor]],
    *,
    batch_size: int = 64,
) -> CachedTrunk:
    """Run the frozen stages over a data set and keep what they put out.

    Parameters
    ----------
    model : with `num_frozen` > 0. It stays where it is; rows travel to it in batches.
    data : a data set (name -> tensor of N rows), or an iterable of such batches, in order, texts
        padded to one length.
    batch_size : rows at a time, where `data` is a data set.

    Raises
    ------
    ValueError
        If no stage is frozen, the head reads a frozen stage, or `data` has none of the model's
        inputs.
    """
    start = model.trunk.num_frozen
    if start == 0:
        raise ValueError("model must have frozen stages to cache, got num_frozen = 0")
    frozen = list(model.trunk.stages)[:start]
    tapped = [name for name in frozen if name in getattr(model.head, "taps", ())]
    if tapped:
        raise ValueError(f"model must not be cached above {tapped}, which its head reads")

    device = next(model.parameters()).device
    flows: list[Any] = []
    targets: dict[str, list[Tensor]] = {}
    num_rows = 0
    for batch in _batches(data, batch_size) if isinstance(data, Mapping) else data:
        inputs = {name: batch[name].to(device) for name in model.input_names if name in batch}
        if not inputs:
            raise ValueError(f"data must hold some of {model.input_names}, got {sorted(batch)}")
        # Frozen stages are in eval mode already. no_grad and not inference_mode, whose tensors
        # could not enter the backward pass of a training step.
        with torch.no_grad():
            flow = model.trunk(model.prepare(**inputs), stop=start)
        flows.append(_flow_to(flow, "cpu"))
        for name in batch.keys() - inputs.keys():
            targets.setdefault(name, []).append(batch[name].cpu())
        num_rows += len(next(iter(inputs.values())))
    if not flows:
        raise ValueError("data must hold at least one row")
    joined = {name: torch.cat(pieces) for name, pieces in targets.items()}
    return CachedTrunk(join_flows(flows), joined, start, num_rows)


def _batches(dataset: Mapping[str, Tensor], batch_size: int) -> Iterator[dict[str, Tensor]]:
    pieces = {name: column.split(batch_size) for name, column in dataset.items()}
    for columns in zip(*pieces.values(), strict=True):
        yield dict(zip(pieces, columns))


def _flow_to(flow: Any, device: torch.device | str) -> Any:
    """Move every tensor of a flow."""
    if isinstance(flow, Tensor):
        return flow.to(device)
    moved = {k: v.to(device) for k, v in flow._asdict().items() if isinstance(v, Tensor)}
    return flow._replace(**moved)
