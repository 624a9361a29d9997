"""Turning next-token logits into text: greedy, temperature, top-k, top-p.

top-k: Fan et al. 2018; top-p, the nucleus: Holtzman et al. 2020. This file does not know models: a
model hands in a function from all ids so far to the logits of the next one, and keeps its cache.

Shapes: B batch, T length so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Sampling(NamedTuple):
    """How the next token is chosen. temperature 0 is greedy; None switches a cut off."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    generator: torch.Generator | None = None

    def check(self) -> None:
        if not self.temperature >= 0:  # so said, it refuses NaN as well
            raise ValueError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")

    def choose(self, logits: Tensor) -> Tensor:
        """Logits (B, V) -> ids (B,)."""
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        logits = logits.float() / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            kept, ids = logits.topk(self.top_k)  # (B, k) each: k also where there are ties
            logits = torch.full_like(logits, -torch.inf).scatter(-1, ids, kept)
        if self.top_p is not None and self.top_p < 1:
            logits = keep_nucleus(logits, self.top_p)
        probabilities = logits.softmax(dim=-1)
        return torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]


def keep_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Set all but the likeliest tokens whose probabilities together reach top_p to -inf; (B, V)."""
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # what the likelier tokens hold already
    ordered = ordered.masked_fill(before >= top_p, -torch.inf)  # the likeliest always stays
    return torch.empty_like(logits).scatter_(-1, order, ordered)


def sample(
    next_logits: Callable[[Tensor], Tensor],
    ids: Tensor,
    max_new_tokens: int,
    sampling: Sampling,
    eos_id: int | None,
) -> Tensor:
    """Append up to max_new_tokens tokens to ids (B, T); stop when every row has had its eos_id.

    A row that has ended is filled with eos_id while others go on.
    """
    sampling.check()
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be at least 0, got {max_new_tokens}")
    has_ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    for _ in range(max_new_tokens):
        chosen = sampling.choose(next_logits(ids))  # (B,)
        if eos_id is not None:
            chosen = torch.where(has_ended, eos_id, chosen)
            has_ended |= chosen == eos_id
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        if has_ended.all():
            break
    return ids


def check_generates(head_name: str | None) -> None:
    """Only a language model's head has a next token to give."""
    if head_name != "lm":
        raise ValueError(f"head must be 'lm' to generate, got {head_name!r}")
