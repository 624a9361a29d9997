"""T5: an encoder and a decoder; every task is text in, text out.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer". Pre-norm with RMSNorm, no biases, and no position embedding: each attention score gets
a learned number that depends on the distance between query and key only.

Shapes: B batch, S encoder length, T decoder length, C model width, H heads, V vocabulary.
The flow passes all encoder stages, then all decoder stages, so that "the lowest k stages" has a
meaning here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minift.models.dropout import Dropout
from minift.models.generation import Sampling, check_generates, sample
from minift.models.heads import ClassifyHead, LanguageModelHead, SpanHead, SpanLogits, head_of
from minift.models.layers import (
    Attention,
    FeedForward,
    KeyValueCache,
    Residual,
    RMSNorm,
    attend_mask,
    reset_norms_and_biases,
    used_length,
)
from minift.stages import Model, Staged


@dataclass(frozen=True)
class T5Config:
    vocab_size: int = 32128
    hidden_size: int = 512
    num_layers: int = 6  # encoder blocks
    num_decoder_layers: int | None = None  # None: as many as the encoder has
    num_heads: int = 8
    head_size: int | None = None  # None: hidden_size / num_heads
    intermediate_size: int = 2048
    max_positions: int = 512  # where texts are cut; relative positions have no end of their own
    num_buckets: int = 32  # distances are told apart by these many numbers a head
    max_distance: int = 128  # all distances from here on share the last bucket
    activation: str = "relu"  # v1.1: gelu_new, gated
    is_gated: bool = False
    is_tied: bool = True  # the output matrix is the token embedding (v1.0)
    is_output_scaled: bool | None = None  # by 1/sqrt(C), before that matrix; None: if it is tied
    dropout: float = 0.1
    norm_eps: float = 1e-6
    start_id: int = 0  # the decoder's first input is the padding token

    def __post_init__(self) -> None:
        if not 0 <= self.start_id < self.vocab_size:
            raise ValueError(f"start_id must be in 0..{self.vocab_size - 1}, got {self.start_id}")


MICRO = T5Config(
    vocab_size=2048,
    hidden_size=128,
    num_layers=2,
    num_heads=4,
    intermediate_size=256,
    max_positions=128,
    dropout=0.0,  # a short run on endless text does not overfit
)
PRESETS = {
    "t5-micro": MICRO,
    "t5-mini": replace(MICRO, vocab_size=395),  # comes with weights, and so many words
    "t5-small": T5Config(),
    "t5-base": T5Config(hidden_size=768, num_layers=12, num_heads=12, intermediate_size=3072),
    "t5-v1.1-small": T5Config(
        num_layers=8,
        num_heads=6,
        head_size=64,
        intermediate_size=1024,
        activation="gelu_new",
        is_gated=True,
        is_tied=False,
    ),
}


class Texts(NamedTuple):
    """What enters: input_ids (B, S) and attention_mask, bool or None; decoder_input_ids (B, T)."""

    input_ids: Tensor
    attention_mask: Tensor | None
    decoder_input_ids: Tensor


class EncodedDecoded(NamedTuple):
    """What flows between stages: the encoder's side, then the decoder's.

    memory (B, S, C) is what the encoder makes of the input; hidden (B, T, C) is the decoder's side,
    untouched until its first block. Each side's lowest block makes the position bias that the
    blocks above it use, (1, H, S, S) and (1, H, T, T): the same for every row of a batch.
    """

    memory: Tensor
    attention_mask: Tensor | None
    hidden: Tensor
    encoder_bias: Tensor | None = None
    decoder_bias: Tensor | None = None
    cache: KeyValueCache | None = None

    @property
    def shared(self) -> tuple[str, ...]:
        """The fields without a batch dimension."""
        return ("encoder_bias", "decoder_bias")

    def trimmed(self) -> EncodedDecoded:
        """Without the positions at the input's end that are padding in every row."""
        if self.attention_mask is None:
            return self
        S, bias = used_length(self.attention_mask), self.encoder_bias
        return self._replace(
            memory=self.memory[:, :S],
            attention_mask=self.attention_mask[:, :S],
            encoder_bias=None if bias is None else bias[:, :, :S, :S],
        )

    def feature(self) -> Tensor:
        """One vector an input, (B, C): the decoder's last position."""
        return self.hidden[:, -1]


class T5(Model):
    """`T5(config, head=..., num_classes=...)`. Heads: "lm", "classify", "span", None (the flow)."""

    family = "t5"
    input_names = ("input_ids", "attention_mask", "decoder_input_ids")

    def __init__(
        self, config: T5Config, head: str | None = "lm", num_classes: int | None = None
    ) -> None:
        num_decoder_layers = config.num_decoder_layers or config.num_layers
        stages: dict[str, nn.Module] = {"embedding": T5Embedding(config)}
        for index in range(config.num_layers):
            stages[f"encoder{index}"] = T5EncoderBlock(
                config, is_lowest=index == 0, is_top=index == config.num_layers - 1
            )
        for index in range(num_decoder_layers):
            stages[f"decoder{index}"] = T5DecoderBlock(
                config, is_lowest=index == 0, is_top=index == num_decoder_layers - 1
            )
        super().__init__(config, Staged(stages), head, num_classes)

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        config = self.config
        embedding: Any = self.trunk.stages["embedding"]
        is_scaled = config.is_tied if config.is_output_scaled is None else config.is_output_scaled
        makers = {
            "lm": lambda: LanguageModelHead(
                config,
                embedding.tokens.weight if config.is_tied else None,
                scale=config.hidden_size**-0.5 if is_scaled else 1.0,
            ),
            "classify": lambda: ClassifyHead(config, num_classes),
            "span": lambda: EncoderSpanHead(config),
        }
        return head_of(makers, name, num_classes)

    def prepare(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
    ) -> Texts:
        """input_ids (B, S); decoder_input_ids (B, T), None = the start token alone."""
        if decoder_input_ids is None:
            decoder_input_ids = input_ids.new_full((len(input_ids), 1), self.config.start_id)
        return Texts(input_ids, attention_mask, decoder_input_ids)

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
        """Answer texts: (B, S) int64 -> (B, N), N <= max_new_tokens, without the start token.

        The encoder runs once. After a row's eos_id only eos_id follows. temperature 0 is greedy.
        `use_cache=False` runs the decoder over all its positions at every step: the same tokens.
        """
        check_generates(self.head_name)
        sampling = Sampling(temperature, top_k, top_p, generator)
        sampling.check()
        num_encoder_stages = 1 + self.config.num_layers
        embedding: Any = self.trunk.stages["embedding"]
        cache = KeyValueCache(max_new_tokens) if use_cache else None
        start = input_ids.new_full((len(input_ids), 1), self.config.start_id)
        was_training = self.training
        self.eval()
        try:
            encoded = self.trunk(self.prepare(input_ids, attention_mask), stop=num_encoder_stages)

            def next_logits(ids: Tensor) -> Tensor:
                """ids (B, t): the start token and the chosen; the cache knows all but the last."""
                new_ids = ids[:, cache.length :] if cache is not None else ids
                hidden = embedding.embed(new_ids)
                flow = self.trunk(
                    encoded._replace(hidden=hidden, cache=cache), start=num_encoder_stages
                )
                if cache is not None:
                    cache.length += new_ids.shape[1]
                return self.head(flow._replace(hidden=flow.hidden[:, -1:]))[:, -1]  # (B, V)

            ids = sample(next_logits, start, max_new_tokens, sampling, eos_id)
        finally:
            self.train(was_training)
        return ids[:, 1:]


class EncoderSpanHead(SpanHead):
    """Points into the input, so it reads the encoder's side; the decoder's has other positions."""

    def forward(self, flow: EncodedDecoded) -> SpanLogits:
        return super().forward(flow._replace(hidden=flow.memory))


class T5Embedding(nn.Module):
    """One table of tokens for the encoder and the decoder."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = Dropout(config.dropout)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.tokens.weight, std=1.0)

    def embed(self, ids: Tensor) -> Tensor:
        return self.dropout(self.tokens(ids))

    def forward(self, texts: Texts) -> EncodedDecoded:
        return EncodedDecoded(
            memory=self.embed(texts.input_ids),
            attention_mask=texts.attention_mask,
            hidden=self.embed(texts.decoder_input_ids),
        )


class T5EncoderBlock(nn.Module):
    """Self-attention over the input, then feed-forward. The lowest makes the position bias, the top
    carries the encoder's final norm and dropout."""

    def __init__(self, config: T5Config, *, is_lowest: bool, is_top: bool) -> None:
        super().__init__()
        self.config = config
        self.attention = attention_branch(config)
        self.feed_forward = feed_forward_branch(config)
        self.position_bias = PositionBias(config, is_causal=False) if is_lowest else None
        self.final_norm = final_norm(config) if is_top else nn.Identity()

    def reset_parameters(self) -> None:
        reset_t5(self, self.config)

    def forward(self, flow: EncodedDecoded) -> EncodedDecoded:
        S = flow.memory.shape[1]
        bias = flow.encoder_bias if self.position_bias is None else self.position_bias(S, S)
        attn_mask = hide_padding(bias, flow.attention_mask)
        memory = self.feed_forward(self.attention(flow.memory, attn_mask=attn_mask))
        return flow._replace(memory=self.final_norm(memory), encoder_bias=bias)


class T5DecoderBlock(nn.Module):
    """Causal self-attention, then attention to the encoder's memory, then feed-forward."""

    def __init__(self, config: T5Config, *, is_lowest: bool, is_top: bool) -> None:
        super().__init__()
        self.config = config
        self.attention = attention_branch(config)
        self.cross_attention = attention_branch(config)
        self.feed_forward = feed_forward_branch(config)
        self.position_bias = PositionBias(config, is_causal=True) if is_lowest else None
        self.final_norm = final_norm(config) if is_top else nn.Identity()

    def reset_parameters(self) -> None:
        reset_t5(self, self.config)

    def forward(self, flow: EncodedDecoded) -> EncodedDecoded:
        T = flow.hidden.shape[1]
        length = T + (flow.cache.length if flow.cache is not None else 0)
        bias = flow.decoder_bias if self.position_bias is None else self.position_bias(T, length)
        hidden = self.attention(flow.hidden, attn_mask=bias, cache=flow.cache)
        memory_mask = attend_mask(flow.attention_mask, T, is_causal=False)
        hidden = self.cross_attention(hidden, flow.memory, attn_mask=memory_mask, cache=flow.cache)
        hidden = self.final_norm(self.feed_forward(hidden))
        return flow._replace(hidden=hidden, decoder_bias=bias)


class PositionBias(nn.Module):
    """A number for each head and each bucket of distances, added to the scores (section 2.1).

    Half of the buckets (a quarter to each side in the encoder) are exact distances; the others grow
    logarithmically up to max_distance. In the decoder the bias also hides later positions: -inf.
    """

    def __init__(self, config: T5Config, *, is_causal: bool) -> None:
        super().__init__()
        if not 4 <= config.num_buckets < 2 * config.max_distance:  # exact ones, and some beyond
            raise ValueError(
                f"num_buckets must be at least 4 and below twice max_distance, got "
                f"{config.num_buckets} and {config.max_distance}"
            )
        self.num_buckets = config.num_buckets
        self.max_distance = config.max_distance
        self.is_causal = is_causal
        self.table = nn.Embedding(config.num_buckets, config.num_heads)

    def forward(self, num_queries: int, num_keys: int) -> Tensor:
        """Return (1, H, T, S); the queries are the last num_queries of the num_keys positions."""
        keys = torch.arange(num_keys, device=self.table.weight.device)
        distance = keys - keys[num_keys - num_queries :, None]  # (T, S), negative: before
        bias = self.table(self.bucket(distance)).permute(2, 0, 1)[None]  # (1, H, T, S)
        return bias.masked_fill(distance > 0, -torch.inf) if self.is_causal else bias

    def bucket(self, distance: Tensor) -> Tensor:
        """Distances (key minus query, any shape) -> bucket numbers in 0..num_buckets-1."""
        if self.is_causal:
            num_buckets, side = self.num_buckets, torch.zeros_like(distance)
            steps = (-distance).clamp(min=0)
        else:
            num_buckets = self.num_buckets // 2
            side = torch.where(distance > 0, num_buckets, 0)
            steps = distance.abs()
        num_exact = num_buckets // 2
        growth = torch.log(steps.clamp(min=1).float() / num_exact) / math.log(
            self.max_distance / num_exact
        )
        far = num_exact + (growth * (num_buckets - num_exact)).long()
        return side + torch.where(steps < num_exact, steps, far.clamp(max=num_buckets - 1))


def attention_branch(config: T5Config) -> Residual:
    attention = Attention(
        hidden_size=config.hidden_size,
        num_heads=config.num_heads,
        head_size=config.head_size,
        bias=False,
        is_scaled=False,
    )
    norm = RMSNorm(config.hidden_size, config.norm_eps)
    return Residual(attention, norm, norm_first=True, dropout=config.dropout)


def feed_forward_branch(config: T5Config) -> Residual:
    feed_forward = FeedForward(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        activation=config.activation,
        is_gated=config.is_gated,
        bias=False,
        dropout=config.dropout,
    )
    norm = RMSNorm(config.hidden_size, config.norm_eps)
    return Residual(feed_forward, norm, norm_first=True, dropout=config.dropout)


def final_norm(config: T5Config) -> nn.Module:
    norm = RMSNorm(config.hidden_size, config.norm_eps)
    return nn.Sequential(norm, Dropout(config.dropout))


def hide_padding(bias: Tensor | None, attention_mask: Tensor | None) -> Tensor | None:
    """Hide padding in a position bias: (1, H, T, S) and (B, S) bool -> (B, H, T, S).

    The lowest finite number does it, and unlike -inf makes no NaN of a row of padding only.
    """
    if bias is None or attention_mask is None:
        return bias
    lowest = torch.finfo(bias.dtype).min
    return bias.masked_fill(~attention_mask.bool()[:, None, None, :], lowest)


def reset_t5(block: nn.Module, config: T5Config) -> None:
    """T5's initialisation: every product starts at unit variance, and the queries take over the
    1/sqrt(D) that T5's attention leaves out.

    | weight | standard deviation |
    |---|---|
    | query | (C D)^-1/2 |
    | key, value, feed-forward expand and gate, position bias | C^-1/2 |
    | attention output | (H D)^-1/2 |
    | feed-forward contract | F^-1/2 |
    """
    for part in block.modules():
        if isinstance(part, Attention):
            head_size = part.query.out_features // part.num_heads
            nn.init.normal_(part.query.weight, std=(config.hidden_size * head_size) ** -0.5)
            nn.init.normal_(part.key.weight, std=config.hidden_size**-0.5)
            nn.init.normal_(part.value.weight, std=config.hidden_size**-0.5)
            nn.init.normal_(part.output.weight, std=part.output.in_features**-0.5)
        elif isinstance(part, FeedForward):
            nn.init.normal_(part.expand.weight, std=config.hidden_size**-0.5)
            if part.gate is not None:
                nn.init.normal_(part.gate.weight, std=config.hidden_size**-0.5)
            nn.init.normal_(part.contract.weight, std=config.intermediate_size**-0.5)
        elif isinstance(part, PositionBias):
            nn.init.normal_(part.table.weight, std=config.hidden_size**-0.5)
    reset_norms_and_biases(block)
