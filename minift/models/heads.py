"""Heads of the sequence models: the small decoder on top of the trunk, one a task.

A head reads the trunk's last flow: `flow.hidden` (B, T, C), a vector a token, and `flow.feature()`
(B, C), a vector an input, which each model defines: BERT the pooler's, GPT the last real token's,
T5 the decoder's last.

Shapes: B batch, T length, C model width, V vocabulary, K classes, M selected positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minift.models.dropout import Dropout
from minift.models.layers import ACTIVATIONS, reset_normal


class ClassifyHead(nn.Module):
    """Classes of a whole input: dropout, then one linear layer. Returns logits (B, K)."""

    def __init__(self, config: Any, num_classes: int | None, *, bias: bool = True) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, checked_classes(num_classes), bias=bias)
        reset_normal(self, std=0.02)

    def forward(self, flow: Any) -> Tensor:
        return self.classifier(self.dropout(flow.feature()))


class TagHead(nn.Module):
    """A class for each token, as in named-entity recognition. Returns logits (B, T, K)."""

    def __init__(self, config: Any, num_classes: int | None) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, checked_classes(num_classes))
        reset_normal(self, std=0.02)

    def forward(self, flow: Any) -> Tensor:
        return self.classifier(self.dropout(flow.hidden))


class SpanLogits(NamedTuple):
    """Where the answer starts and where it ends: logits over positions, (B, T) each."""

    start: Tensor
    end: Tensor


class SpanHead(nn.Module):
    """The answer's first and last token (Devlin et al. 2019, section 4.2)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.start_and_end = nn.Linear(config.hidden_size, 2)
        reset_normal(self, std=0.02)

    def forward(self, flow: Any) -> SpanLogits:
        start, end = self.start_and_end(flow.hidden).unbind(-1)  # (B, T) each
        return SpanLogits(start, end)


class MaskedLMHead(nn.Module):
    """Which word stood here: a transform, then the token embedding used backwards (tied).

    The output matrix *is* the token embedding, so it belongs to the trunk's lowest stage, and
    freezing that stage freezes this matrix too; transform and bias are the head's own.
    """

    def __init__(self, config: Any, embedding_weight: nn.Parameter) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        reset_normal(self, config.init_std)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, device="meta")
        self.decoder.weight = embedding_weight
        self.decoder.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, flow: Any, selected: Tensor | None = None) -> Tensor:
        """Return logits (B, T, V), or (M, V) at the M positions where `selected` (B, T) is True.

        Only 15% of the positions carry a label: the other 85% of this widest product of the network
        would be computed for nothing.
        """
        hidden = flow.hidden if selected is None else flow.hidden[selected]
        return self.decoder(self.norm(self.activation(self.dense(hidden))))


class PretrainLogits(NamedTuple):
    """What BERT is pretrained on: mlm (B, T, V) or (M, V), and nsp (B, 2)."""

    mlm: Tensor
    nsp: Tensor


class PretrainHead(nn.Module):
    """Masked words and next sentence at once (Devlin et al. 2019, section 3.1)."""

    def __init__(self, config: Any, embedding_weight: nn.Parameter) -> None:
        super().__init__()
        self.mlm = MaskedLMHead(config, embedding_weight)
        self.nsp = nn.Linear(config.hidden_size, 2)
        reset_normal(self.nsp, config.init_std)

    def forward(self, flow: Any, selected: Tensor | None = None) -> PretrainLogits:
        return PretrainLogits(self.mlm(flow, selected), self.nsp(flow.feature()))


class LanguageModelHead(nn.Module):
    """The next word at each position: the token embedding used backwards, no bias.

    embedding_weight None makes an untied matrix of its own (T5 v1.1). `scale` multiplies the hidden
    state first: 1/sqrt(C) in the tied T5, whose embedding has a standard deviation of 1.
    """

    def __init__(
        self, config: Any, embedding_weight: nn.Parameter | None, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.decoder = nn.Linear(
            config.hidden_size,
            config.vocab_size,
            bias=False,
            device="meta" if embedding_weight is not None else None,
        )
        if embedding_weight is not None:
            self.decoder.weight = embedding_weight
        else:
            # Too large a start saturates the softmax, and its gradients are so small that they are
            # denormal numbers, which a CPU is slow with.
            nn.init.normal_(self.decoder.weight, std=config.hidden_size**-0.5)

    def forward(self, flow: Any, selected: Tensor | None = None) -> Tensor:
        """Return logits (B, T, V), or (M, V) at the M positions where `selected` (B, T) is True."""
        hidden = flow.hidden if selected is None else flow.hidden[selected]
        return self.decoder(hidden * self.scale if self.scale != 1.0 else hidden)


def head_of(
    makers: Mapping[str, Callable[[], nn.Module]], name: str, num_classes: int | None
) -> nn.Module:
    """Make the head of that name."""
    if name not in makers:
        raise ValueError(f"head must be one of {sorted(makers)} or None, got {name!r}")
    if num_classes is not None and name not in ("classify", "tag"):
        raise ValueError(f"num_classes must be None for head {name!r}, got {num_classes}")
    return makers[name]()


def checked_classes(num_classes: int | None) -> int:
    if num_classes is None or num_classes < 1:
        raise ValueError(f"num_classes must be at least 1 for this head, got {num_classes}")
    return num_classes
