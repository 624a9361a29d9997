"""Span corruption: cut short runs out of a text and ask for them (Raffel et al. 2020, 3.3.4).

Their figure 2, with the sentinels of 3.1.4:

    text     Thank you for inviting me to your party last week
    inputs   Thank you <X> me to your party <Y> week </s>
    targets  <X> for inviting <Y> last </s>

Every run is replaced by one sentinel, so inputs are shorter than the text, and the targets hold
only what was lost: a step costs less than one that writes the whole text out again.

As in the authors' code, how many tokens and how many spans are cut follows from the length alone.
Texts of one length therefore give inputs of one length and targets of one length: no padding.
And here a text always begins with a kept run and ends with a cut one.

Shape: T length of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Corrupted(NamedTuple):
    inputs: list[int]  # for the encoder
    targets: list[int]  # for the decoder


def corrupt_spans(
    ids: Sequence[int] | Tensor,
    *,
    sentinel_ids: Sequence[int],
    eos_id: int,
    generator: torch.Generator,
    noise_rate: float = 0.15,
    mean_span: float = 3.0,
) -> Corrupted:
    """Move random spans from the inputs to the targets, a sentinel marking each in both.

    Parameters
    ----------
    ids : T token ids of at least two tokens, without end of sequence.
    sentinel_ids : in order of use; T5's run downwards from the end of its vocabulary.
    eos_id : closes inputs and targets.
    generator, noise_rate, mean_span : see `span_mask`.

    Raises
    ------
    ValueError
        If there are more spans than sentinels: cut the text into shorter pieces.
    """
    ids = ids.tolist() if isinstance(ids, Tensor) else ids
    is_noise = span_mask(len(ids), generator, noise_rate, mean_span)
    is_start = is_noise.clone()
    is_start[1:] &= ~is_noise[:-1]
    num_spans = int(is_start.sum())
    if num_spans > len(sentinel_ids):
        raise ValueError(
            f"sentinel_ids must hold one id for each of the {num_spans} spans in {len(ids)} "
            f"tokens, got {len(sentinel_ids)}"
        )

    inputs: list[int] = []
    targets: list[int] = []
    sentinels = iter(sentinel_ids)
    for token, noise, start in zip(ids, is_noise.tolist(), is_start.tolist()):
        if start:
            sentinel = next(sentinels)
            inputs.append(sentinel)
            targets.append(sentinel)
        (targets if noise else inputs).append(token)
    return Corrupted([*inputs, eos_id], [*targets, eos_id])


def span_mask(
    length: int, generator: torch.Generator, noise_rate: float = 0.15, mean_span: float = 3.0
) -> Tensor:
    """Return (T,) bool, True on the tokens to cut; T = `length` is at least 2.

    noise_rate * T tokens are cut, rounded, at least one, never all, in spans of mean_span tokens
    on average. `generator` is on the CPU.
    """
    if length < 2:
        raise ValueError(f"length must be at least 2, a token to keep and one to cut, got {length}")
    if not 0 < noise_rate < 1:
        raise ValueError(f"noise_rate must be in (0, 1), got {noise_rate}")
    if mean_span < 1:
        raise ValueError(f"mean_span must be at least 1 token, got {mean_span}")
    num_noise = min(max(round(length * noise_rate), 1), length - 1)
    num_kept = length - num_noise
    num_spans = min(max(round(num_noise / mean_span), 1), num_noise, num_kept)

    kept_runs = _random_partition(num_kept, num_spans, generator)
    noise_runs = _random_partition(num_noise, num_spans, generator)
    runs = torch.stack([kept_runs, noise_runs], dim=1).flatten()  # kept, noise, kept, noise, ...
    return torch.tensor([False, True]).repeat(num_spans).repeat_interleave(runs)


def _random_partition(total: int, num_parts: int, generator: torch.Generator) -> Tensor:
    """Split `total` into `num_parts` positive parts, every way to do so equally likely."""
    cuts = torch.randperm(total - 1, generator=generator)[: num_parts - 1].sort().values + 1
    return torch.diff(cuts, prepend=torch.tensor([0]), append=torch.tensor([total]))
