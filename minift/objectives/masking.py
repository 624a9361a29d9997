"""Masked language modelling: hide some tokens and ask the model for them (Devlin et al. 2019, 3.1).

Of every row's tokens 15% are chosen, and the loss counts only these. Eight in ten of them become
[MASK]; but [MASK] never occurs after pretraining, so one in ten becomes a random token and one in
ten stays as it is: the model cannot tell which inputs to trust, and must represent all of them.

Shapes: B batch, T length.

Two choices differ from the paper's code: a random token is never a special one, and whole words
are chosen as 15% of the words (so that each token still has a chance of 15%) rather than until
15% of the tokens are covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Masked(NamedTuple):
    input_ids: Tensor  # (B, T), what the model sees
    labels: Tensor  # (B, T), the original token where one was chosen, -100 elsewhere


def mask_tokens(
    input_ids: Tensor,
    *,
    mask_id: int,
    special_ids: Sequence[int],
    vocab_size: int,
    generator: torch.Generator,
    mask_rate: float = 0.15,
    word_starts: Tensor | None = None,
) -> Masked:
    """Choose tokens to predict and corrupt them: 80% [MASK], 10% a random token, 10% kept.

    Parameters
    ----------
    input_ids : (B, T) int64.
    mask_id : the id of [MASK].
    special_ids : ids that are neither chosen nor drawn as random tokens ([PAD], [CLS], [SEP], ...).
    vocab_size : random tokens are drawn from 0..vocab_size-1.
    generator : lives on the device of `input_ids`.
    mask_rate : share of a row's ordinary tokens (or words) that is chosen, in (0, 1].
    word_starts : (B, T) bool, True on the first piece of each word: all pieces of a word are then
        chosen together. None chooses each token by itself.

    Notes
    -----
    The number chosen is not left to chance: it is the rate times the row's tokens, rounded, and at
    least one, so that short rows teach something too. Only a row of special tokens has none.
    """
    if not 0 < mask_rate <= 1:
        raise ValueError(f"mask_rate must be in (0, 1], got {mask_rate}")
    device = input_ids.device
    special = torch.tensor(sorted({*special_ids, mask_id}), device=device)
    vocabulary = torch.arange(vocab_size, device=device)
    ordinary = vocabulary[~torch.isin(vocabulary, special)]
    if len(ordinary) == 0:
        raise ValueError(f"special_ids must leave some of the {vocab_size} ids to draw from")

    chosen = _choose(~torch.isin(input_ids, special), word_starts, mask_rate, generator)
    fate = torch.rand(input_ids.shape, generator=generator, device=device)
    draw = torch.randint(len(ordinary), input_ids.shape, generator=generator, device=device)
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, input_ids)
    corrupted = torch.where(chosen & (fate >= 0.9), ordinary[draw], corrupted)
    return Masked(corrupted, labels=input_ids.masked_fill(~chosen, -100))


def _choose(
    maskable: Tensor, word_starts: Tensor | None, mask_rate: float, generator: torch.Generator
) -> Tensor:
    """Choose words (single tokens if word_starts is None) in each row; (B, T) bool in and out."""
    starts = maskable
    if word_starts is not None:
        # A word cut at the left edge, or behind a special token, starts with a later piece.
        after_special = ~F.pad(maskable[:, :-1], (1, 0))
        starts = maskable & (word_starts | after_special)
    count = (starts.sum(dim=1, keepdim=True) * mask_rate).round().clamp(min=1)  # (B, 1)

    # Give every start a random rank and choose the lowest; what is no start goes to the end.
    draw = torch.rand(starts.shape, generator=generator, device=starts.device)
    rank = draw.masked_fill(~starts, 2.0).argsort(dim=1).argsort(dim=1)
    chosen_starts = starts & (rank < count)

    # Every position looks back to the latest start, the first piece of its word.
    positions = torch.arange(starts.shape[1], device=starts.device)
    start_of = torch.where(starts, positions, 0).cummax(dim=1).values  # (B, T)
    return maskable & chosen_starts.gather(1, start_of)
