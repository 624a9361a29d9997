"""GPT: a transformer decoder that reads left to right, pretrained by predicting the next token.

Radford et al. 2018, 2019. Pre-norm blocks, learned positions, and the token embedding used
backwards as the output matrix. A classifier reads the last real token, the only one that has seen
the whole text.

Shapes: B batch, T new positions, S all positions so far (T = S without a cache), C model width,
V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minift.models.dropout import Dropout
from minift.models.generation import Sampling, check_generates, sample
from minift.models.heads import ClassifyHead, LanguageModelHead, SpanHead, head_of
from minift.models.layers import (
    Attention,
    FeedForward,
    KeyValueCache,
    Residual,
    attend_mask,
    check_length,
    reset_normal,
    used_length,
)
from minift.stages import Model, Staged


@dataclass(frozen=True)
class GPTConfig:
    vocab_size: int = 50257
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 1024
    activation: str = "gelu_new"
    dropout: float = 0.1  # after the embedding and in each residual branch
    attention_dropout: float = 0.0  # the paper has 0.1; see layers.Attention for what it costs
    norm_eps: float = 1e-5
    init_std: float = 0.02


MICRO = GPTConfig(
    vocab_size=2048,
    hidden_size=128,
    num_layers=4,
    num_heads=4,
    intermediate_size=256,
    max_positions=128,
    dropout=0.0,  # a short run on endless text does not overfit
    init_std=0.06,  # 0.02 suits a width of 768; here it takes twice the steps to start learning
)
PRESETS = {
    "gpt-micro": MICRO,
    "gpt-mini": replace(MICRO, vocab_size=364),  # comes with weights, and so many words
    "gpt2": GPTConfig(),
    "gpt2-medium": GPTConfig(hidden_size=1024, num_layers=24, num_heads=16, intermediate_size=4096),
}


class Tokens(NamedTuple):
    """What enters: input_ids (B, T) int64; attention_mask (B, S) bool or None; a cache or None."""

    input_ids: Tensor
    attention_mask: Tensor | None
    cache: KeyValueCache | None = None


class Decoded(NamedTuple):
    """What flows between stages: hidden (B, T, C), with the mask and the cache handed on."""

    hidden: Tensor
    attention_mask: Tensor | None
    cache: KeyValueCache | None = None

    def trimmed(self) -> Decoded:
        """Without the positions at the end that are padding in every row."""
        if self.attention_mask is None:
            return self
        T = used_length(self.attention_mask)
        return self._replace(hidden=self.hidden[:, :T], attention_mask=self.attention_mask[:, :T])

    def feature(self) -> Tensor:
        """The last real token's vector, (B, C), whichever side the padding is on."""
        if self.attention_mask is None:
            return self.hidden[:, -1]
        positions = torch.arange(self.hidden.shape[1], device=self.hidden.device)
        last = (self.attention_mask * positions).argmax(dim=1)  # (B,)
        return self.hidden[torch.arange(len(last), device=last.device), last]


class GPT(Model):
    """`GPT(config, head=..., num_classes=...)`.

    Heads: "lm" (tied), "classify", "span", None (the flow).
    """

    family = "gpt"
    input_names = ("input_ids", "attention_mask")

    def __init__(
        self, config: GPTConfig, head: str | None = "lm", num_classes: int | None = None
    ) -> None:
        stages: dict[str, nn.Module] = {"embedding": GPTEmbedding(config)}
        for index in range(config.num_layers):
            is_top = index == config.num_layers - 1
            stages[f"block{index}"] = GPTBlock(config, has_final_norm=is_top)
        super().__init__(config, Staged(stages), head, num_classes)

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        embedding: Any = self.trunk.stages["embedding"]
        makers = {
            "lm": lambda: LanguageModelHead(self.config, embedding.tokens.weight),
            # Radford et al. 2018, equation 3: a matrix alone.
            "classify": lambda: ClassifyHead(self.config, num_classes, bias=False),
            # Where the question stands before its context, each token of this has read it.
            "span": lambda: SpanHead(self.config),
        }
        return head_of(makers, name, num_classes)

    def prepare(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tokens:
        """input_ids (B, T); attention_mask (B, S), True = a real token, padding on either side."""
        return Tokens(input_ids, attention_mask, cache)

    @torch.no_grad()  # not inference_mode: its ids could not be trained on
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        eos_id: int | None = None,
        use_cache: bool = True,
    ) -> Tensor:
        """Continue prompts: (B, T) int64 -> (B, T + N) with N <= max_new_tokens.

        Prompts of different lengths are padded on the LEFT, so that each continues at its right
        end. After a row's eos_id only eos_id follows. temperature 0 is greedy. `use_cache=False`
        computes every position again at every step: the same tokens, slower.
        """
        check_generates(self.head_name)
        B, T = input_ids.shape
        if T == 0:
            raise ValueError("input_ids must hold at least one token to go on from, got none")
        sampling = Sampling(temperature, top_k, top_p, generator)
        sampling.check()
        num_read = T + max_new_tokens - 1  # the last token is only written
        if num_read > self.config.max_positions:
            raise ValueError(
                f"input_ids and max_new_tokens must need at most {self.config.max_positions} "
                f"positions (max_positions), got {T} tokens and {max_new_tokens} new ones"
            )
        if attention_mask is not None and not attention_mask[:, -1].all():
            raise ValueError("attention_mask must end in real tokens: pad prompts on the left")
        cache = KeyValueCache(num_read) if use_cache else None
        mask = attention_mask

        def next_logits(ids: Tensor) -> Tensor:
            """ids (B, t) are all tokens so far; the cache knows all but the last few of them."""
            nonlocal mask
            if mask is not None:
                grown = ids.shape[1] - mask.shape[1]
                mask = torch.cat([mask, mask.new_ones(B, grown)], dim=1)
            new_ids = ids[:, cache.length :] if cache is not None else ids
            flow = self.trunk(self.prepare(new_ids, mask, cache))
            if cache is not None:
                cache.length += new_ids.shape[1]
            return self.head(flow._replace(hidden=flow.hidden[:, -1:]))[:, -1]  # (B, V)

        was_training = self.training
        self.eval()
        try:
            return sample(next_logits, input_ids, max_new_tokens, sampling, eos_id)
        finally:
            self.train(was_training)


class GPTEmbedding(nn.Module):
    """token + position; positions count real tokens only, so that left padding shifts nothing."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.init_std = config.init_std
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_positions, config.hidden_size)
        self.dropout = Dropout(config.dropout)

    def reset_parameters(self) -> None:
        reset_normal(self, self.init_std)

    def forward(self, tokens: Tokens) -> Decoded:
        T = tokens.input_ids.shape[1]
        past = tokens.cache.length if tokens.cache is not None else 0
        check_length(past + T, self.positions.num_embeddings)
        if tokens.attention_mask is None:
            positions = self.positions.weight[past : past + T]  # (T, C)
        else:
            position_ids = (tokens.attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)  # (B, S)
            positions = self.positions(position_ids[:, past:])  # (B, T, C)
        hidden = self.dropout(self.tokens(tokens.input_ids) + positions)
        return Decoded(hidden, tokens.attention_mask, tokens.cache)


class GPTBlock(nn.Module):
    """Norm, causal self-attention, norm, feed-forward, each around a residual path.

    The top block carries the model's final norm as well: pre-norm leaves the residual path itself
    unnormalised, and "re-initialise the top block" should mean all that stands there.
    """

    def __init__(self, config: GPTConfig, *, has_final_norm: bool) -> None:
        super().__init__()
        self.config = config
        self.attention = Residual(
            Attention(
                hidden_size=config.hidden_size,
                num_heads=config.num_heads,
                dropout=config.attention_dropout,
            ),
            nn.LayerNorm(config.hidden_size, eps=config.norm_eps),
            norm_first=True,
            dropout=config.dropout,
        )
        self.feed_forward = Residual(
            FeedForward(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                activation=config.activation,
            ),
            nn.LayerNorm(config.hidden_size, eps=config.norm_eps),
            norm_first=True,
            dropout=config.dropout,
        )
        self.final_norm = (
            nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
            if has_final_norm
            else nn.Identity()
        )

    def reset_parameters(self) -> None:
        """As BERT's, but what writes to the residual path starts smaller: 2L branches add up."""
        reset_normal(self, self.config.init_std)
        residual_std = self.config.init_std / (2 * self.config.num_layers) ** 0.5
        attention: Any = self.attention.sublayer
        feed_forward: Any = self.feed_forward.sublayer
        nn.init.normal_(attention.output.weight, std=residual_std)
        nn.init.normal_(feed_forward.contract.weight, std=residual_std)

    def forward(self, flow: Decoded) -> Decoded:
        T = flow.hidden.shape[1]
        hidden = self.attention(
            flow.hidden,
            attn_mask=attend_mask(flow.attention_mask, T, is_causal=True),
            is_causal=T > 1,  # one new query with a cache may see all that is stored
            cache=flow.cache,
        )
        return flow._replace(hidden=self.final_norm(self.feed_forward(hidden)))
