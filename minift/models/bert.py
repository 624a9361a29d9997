"""BERT: a transformer encoder that reads in both directions, pretrained by filling in blanks.

Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding". Input is one sentence or a pair, `[CLS] a [SEP] b [SEP]`; the pooler turns the top
hidden state of [CLS] into one vector for the whole input.

Shapes: B batch, T length, C model width, V vocabulary.
Pretraining tasks are in minift/objectives, tokenizers in minift/tokenizers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minift.models.dropout import Dropout
from minift.models.heads import (
    ClassifyHead,
    MaskedLMHead,
    PretrainHead,
    SpanHead,
    TagHead,
    head_of,
)
from minift.models.layers import (
    Attention,
    FeedForward,
    Residual,
    attend_mask,
    check_length,
    reset_normal,
    used_length,
)
from minift.stages import Model, Staged


@dataclass(frozen=True)
class BertConfig:
    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 512
    type_vocab_size: int = 2  # segments: the first sentence, the second sentence
    pad_id: int | None = None  # this token's vector takes no gradient as input; None: all do
    activation: str = "gelu"
    dropout: float = 0.1  # after the embedding and in each residual branch
    attention_dropout: float = 0.0  # the paper has 0.1; see layers.Attention for what it costs
    norm_eps: float = 1e-12
    init_std: float = 0.02

    def __post_init__(self) -> None:
        if self.pad_id is not None and not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(f"pad_id must be in 0..{self.vocab_size - 1}, got {self.pad_id}")


MICRO = BertConfig(
    vocab_size=2048,
    hidden_size=128,
    num_layers=3,
    num_heads=4,
    intermediate_size=256,
    max_positions=128,
    dropout=0.0,  # a short run on endless text does not overfit
    init_std=0.06,  # 0.02 suits a width of 768; here it takes twice the steps to start learning
)
PRESETS = {  # layers, width: the sizes of Turc et al. 2019, and two smaller ones for two cores
    "bert-micro": MICRO,
    # Comes with weights, and with a word list as long as this. (Turc's mini is 4 layers of 256.)
    "bert-mini": replace(MICRO, vocab_size=367),
    "bert-tiny": BertConfig(hidden_size=128, num_layers=2, num_heads=2, intermediate_size=512),
    "bert-small": BertConfig(hidden_size=512, num_layers=4, num_heads=8, intermediate_size=2048),
    "bert-medium": BertConfig(hidden_size=512, num_layers=8, num_heads=8, intermediate_size=2048),
    "bert-base": BertConfig(),
    "bert-large": BertConfig(hidden_size=1024, num_layers=24, num_heads=16, intermediate_size=4096),
}


class Tokens(NamedTuple):
    """What enters: ids and segments are (B, T) int64, the mask is (B, T) bool or None."""

    input_ids: Tensor
    attention_mask: Tensor | None
    token_type_ids: Tensor | None
    reads: Tensor | None = None


class Encoded(NamedTuple):
    """What flows between stages: hidden (B, T, C); pooled (B, C) is None below the pooler.

    reads (B, M) int64 are the positions that anybody reads above the top block, [CLS] first, which
    then computes no others: its hidden is (B, M, C). None means all of them.
    """

    hidden: Tensor
    attention_mask: Tensor | None
    pooled: Tensor | None = None
    reads: Tensor | None = None

    def trimmed(self) -> Encoded:
        """Without the positions at the end that are padding in every row."""
        if self.attention_mask is None or self.reads is not None:
            return self
        T = used_length(self.attention_mask)
        return self._replace(hidden=self.hidden[:, :T], attention_mask=self.attention_mask[:, :T])

    def feature(self) -> Tensor:
        """One vector an input, (B, C): the pooler's."""
        assert self.pooled is not None, "only the pooler's output has a feature"
        return self.pooled


class Bert(Model):
    """`Bert(config, head=..., num_classes=...)`.

    Heads: "pretrain" (MLM + NSP), "mlm", "classify", "tag", "span", None (the trunk's flow).
    """

    family = "bert"
    input_names = ("input_ids", "attention_mask", "token_type_ids")

    def __init__(
        self, config: BertConfig, head: str | None = "classify", num_classes: int | None = None
    ) -> None:
        stages: dict[str, nn.Module] = {"embedding": BertEmbedding(config)}
        for index in range(config.num_layers):
            stages[f"block{index}"] = BertBlock(config, is_top=index == config.num_layers - 1)
        stages["pooler"] = BertPooler(config)
        super().__init__(config, Staged(stages), head, num_classes)

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        config = self.config
        embedding: Any = self.trunk.stages["embedding"]
        makers = {
            "pretrain": lambda: PretrainHead(config, embedding.tokens.weight),
            "mlm": lambda: MaskedLMHead(config, embedding.tokens.weight),
            "classify": lambda: ClassifyHead(config, num_classes),
            "tag": lambda: TagHead(config, num_classes),
            "span": lambda: SpanHead(config),
        }
        return head_of(makers, name, num_classes)

    def prepare(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        reads: Tensor | None = None,
    ) -> Tokens:
        """input_ids (B, T); attention_mask (B, T), True = real; token_type_ids (B, T) in 0, 1;
        reads (B, M) as in `Encoded`."""
        return Tokens(input_ids, attention_mask, token_type_ids, reads)

    def forward_from(self, flow: Any, start: int = 0) -> Any:
        if self.head_name == "classify":  # it reads [CLS] alone
            B = flow[0].shape[0]
            flow = flow._replace(reads=flow[0].new_zeros(B, 1, dtype=torch.int64))
        return super().forward_from(flow, start)


class BertEmbedding(nn.Module):
    """LayerNorm(token + position + segment)  (section 3, figure 2)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.init_std = config.init_std
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_id)
        self.positions = nn.Embedding(config.max_positions, config.hidden_size)
        self.segments = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.dropout = Dropout(config.dropout)

    def reset_parameters(self) -> None:
        reset_normal(self, self.init_std)

    def forward(self, tokens: Tokens) -> Encoded:
        T = tokens.input_ids.shape[1]
        check_length(T, self.positions.num_embeddings)
        segments = tokens.token_type_ids
        if segments is None:
            segments = torch.zeros_like(tokens.input_ids)
        embedded = (
            self.tokens(tokens.input_ids) + self.positions.weight[:T] + self.segments(segments)
        )
        hidden = self.dropout(self.norm(embedded))  # (B, T, C)
        return Encoded(hidden, tokens.attention_mask, reads=tokens.reads)


class BertBlock(nn.Module):
    """Self-attention, then feed-forward, each with its norm after the sum (post-norm)."""

    def __init__(self, config: BertConfig, *, is_top: bool = False) -> None:
        super().__init__()
        self.init_std = config.init_std
        self.is_top = is_top
        self.attention = Residual(
            Attention(
                hidden_size=config.hidden_size,
                num_heads=config.num_heads,
                dropout=config.attention_dropout,
            ),
            nn.LayerNorm(config.hidden_size, eps=config.norm_eps),
            norm_first=False,
            dropout=config.dropout,
        )
        self.feed_forward = Residual(
            FeedForward(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                activation=config.activation,
            ),
            nn.LayerNorm(config.hidden_size, eps=config.norm_eps),
            norm_first=False,
            dropout=config.dropout,
        )

    def reset_parameters(self) -> None:
        reset_normal(self, self.init_std)

    def forward(self, flow: Encoded) -> Encoded:
        T = flow.hidden.shape[1]
        attn_mask = attend_mask(flow.attention_mask, T, is_causal=False)
        queries = flow.hidden
        if self.is_top and flow.reads is not None:
            # The others are still read from, as keys and values, but nobody asks what they become:
            # in pretraining that saves most of a block, in classifying nearly all of it.
            queries = queries.take_along_dim(flow.reads[:, :, None], dim=1)  # (B, M, C)
        hidden = self.attention(queries, flow.hidden, attn_mask=attn_mask)
        return flow._replace(hidden=self.feed_forward(hidden))


class BertPooler(nn.Module):
    """tanh(W h_[CLS] + b): the whole input as one vector."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.init_std = config.init_std
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def reset_parameters(self) -> None:
        reset_normal(self, self.init_std)

    def forward(self, flow: Encoded) -> Encoded:
        return flow._replace(pooled=torch.tanh(self.dense(flow.hidden[:, 0])))
