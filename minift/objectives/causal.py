"""Causal language modelling: every token is the label of the one before it (Radford et al. 2018).

Nothing is hidden from the input; the attention mask of the model hides the future instead, so
that one pass over T tokens is T - 1 predictions. T5's decoder learns in the same way, but there
the labels are given and the inputs are made from them, shifted to the other side.

Shapes: B batch, T length, N blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def lm_blocks(ids: Sequence[int] | Tensor, block_size: int) -> Tensor:
    """Cut a stream of token ids into (N, block_size) int64; a shorter rest at the end is lost."""
    stream = torch.as_tensor(ids, dtype=torch.int64)
    if not 2 <= block_size <= len(stream):
        raise ValueError(
            f"block_size must be in 2..{len(stream)} (the tokens there are), got {block_size}"
        )
    num_blocks = len(stream) // block_size
    return stream[: num_blocks * block_size].view(num_blocks, block_size)


def shift_labels(input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Return the label of each position, the token after it: labels[:, t] = input_ids[:, t + 1].

    input_ids is (B, T) int64, attention_mask (B, T) bool, True on real tokens; None means all are.
    The label is -100 at the last position, which has no next token, and where the position or its
    next token is padding. Padding cannot be told by its id: GPT-2's is its end of text, which the
    model must learn to write.
    """
    labels = torch.full_like(input_ids, -100)
    labels[:, :-1] = input_ids[:, 1:]
    if attention_mask is not None:
        labels[:, :-1].masked_fill_(~(attention_mask[:, :-1] & attention_mask[:, 1:]), -100)
    return labels


def shift_right(labels: Tensor, start_id: int) -> Tensor:
    """Return the decoder's inputs for (B, T) labels: `start_id`, then all labels but the last.

    T5 starts with its padding id. Labels of -100 become `start_id` too: they are padding, and no
    embedding has a row -100.
    """
    inputs = torch.full_like(labels, start_id)
    inputs[:, 1:] = labels[:, :-1]
    return inputs.masked_fill(inputs == -100, start_id)
