"""One attention, one feed-forward, one residual block: what BERT, GPT and T5 are all built from.

Vaswani et al. 2017, "Attention Is All You Need", section 3. What differs between the three models
is a few visible arguments: where the norm stands, LayerNorm or RMSNorm, causal or not, with or
without cross-attention, the activation, gated or not.

Shapes: B batch, T query length, S key length (T differs from S in cross-attention and with a
cache), C model width, H heads, D width of one head, F feed-forward width.
Masks are bool and True = may be attended to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.models.dropout import Dropout, dropout

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),  # GPT-2's and T5 v1.1's
    "silu": F.silu,
}


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2): positions read from other positions.

    Parameters
    ----------
    head_size : width D of one head; None means hidden_size / num_heads (T5 chooses it freely).
    is_scaled : divide the scores by sqrt(D). T5 does not; its query weights start smaller instead.
    dropout : probability with which an attention weight is dropped. It takes the fast kernel away
        on CPU, which is why the configurations here keep it at 0 and drop in the residual branch.
    """

    def __init__(
        self,
        *,
        hidden_size: int,
        num_heads: int,
        head_size: int | None = None,
        bias: bool = True,
        is_scaled: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if head_size is None and hidden_size % num_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_heads, got {hidden_size} and {num_heads}"
            )
        inner_size = num_heads * (head_size or hidden_size // num_heads)
        self.num_heads = num_heads
        self.scale = (inner_size // num_heads) ** -0.5 if is_scaled else 1.0
        self.dropout = dropout
        self.query = nn.Linear(hidden_size, inner_size, bias=bias)
        self.key = nn.Linear(hidden_size, inner_size, bias=bias)
        self.value = nn.Linear(hidden_size, inner_size, bias=bias)
        self.output = nn.Linear(inner_size, hidden_size, bias=bias)

    def forward(
        self,
        hidden: Tensor,
        memory: Tensor | None = None,
        *,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """softmax(Q K^T / sqrt(D) + bias) V  (Vaswani et al. 2017, eq. 1).

        hidden is (B, T, C); memory is what is read from, (B, S, C), None means hidden itself.
        attn_mask is broadcastable to (B, H, T, S): bool, True = attend, or a float bias to add.
        is_causal hides later positions where there is no attn_mask. Returns (B, T, C).
        """
        B, T, _ = hidden.shape
        query = self.queries(hidden)
        if memory is None:
            key, value = self.keys_and_values(hidden)
            if cache is not None:
                key, value = cache.extend(self, key, value)
        elif cache is not None:
            key, value = cache.once(self, lambda: self.keys_and_values(memory))
        else:
            key, value = self.keys_and_values(memory)
        S = key.shape[2]
        if is_causal and attn_mask is None and S > T:
            # The kernel's own triangle begins at the first key, but the queries are the last T of
            # the S positions: the others are in the cache.
            attn_mask = torch.ones(T, S, dtype=torch.bool, device=hidden.device).tril(S - T)
        mixed = attend(
            query,
            key,
            value,
            attn_mask=attn_mask,
            dropout_rate=self.dropout if self.training else 0.0,
            is_causal=is_causal and attn_mask is None,
            scale=self.scale,
        )  # (B, H, T, D)
        return self.output(mixed.transpose(1, 2).reshape(B, T, -1))  # (B, T, C)

    def queries(self, hidden: Tensor) -> Tensor:
        """What each position asks for, (B, T, C) -> (B, H, T, D)."""
        B, T, _ = hidden.shape
        return self.query(hidden).view(B, T, self.num_heads, -1).transpose(1, 2)  # (B, H, T, D)

    def keys_and_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """What can be read, from memory (B, S, C): keys and values, each (B, H, S, D)."""
        B, S, _ = memory.shape
        key = self.key(memory).view(B, S, self.num_heads, -1).transpose(1, 2)  # (B, H, S, D)
        value = self.value(memory).view(B, S, self.num_heads, -1).transpose(1, 2)
        return key, value


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    attn_mask: Tensor | None,
    dropout_rate: float,
    is_causal: bool,
    scale: float,
) -> Tensor:
    """softmax(Q K^T * scale + bias) V; query (B, H, T, D), key and value (B, H, S, D).

    torch's fused kernel does it, except where that was measured to be slow on a CPU. With dropout
    it writes the scores out just the same, and draws them one by one. In bf16 its backward pass
    takes 5 times as long as the formula at length 50, 2.8 times at 128, and is the faster one from
    512 on.
    """
    S = key.shape[2]
    is_slow_backward = query.dtype is torch.bfloat16 and S <= 256 and torch.is_grad_enabled()
    if query.device.type != "cpu" or not (dropout_rate or is_slow_backward):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_rate, is_causal=is_causal, scale=scale
        )
    weights = attention_weights(query, key, attn_mask=attn_mask, is_causal=is_causal, scale=scale)
    return dropout(weights, dropout_rate).to(value.dtype) @ value


def attention_weights(
    query: Tensor, key: Tensor, *, attn_mask: Tensor | None, is_causal: bool, scale: float
) -> Tensor:
    """softmax(Q K^T * scale + bias): how much of each key a query reads, (B, H, T, S)."""
    T, S = query.shape[2], key.shape[2]
    scores = (query * scale) @ key.transpose(2, 3)  # (B, H, T, S)
    if is_causal:
        attn_mask = torch.ones(T, S, dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        # Not -inf: a query that may see nothing, in a row of padding only, would become NaN here,
        # and with it every gradient. The kernel knows that case.
        scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1)


class FeedForward(nn.Module):
    """Two layers at each position (section 3.3); gated: act(x W1) * (x W2) W3 (Shazeer 2020)."""

    def __init__(
        self,
        *,
        hidden_size: int,
        intermediate_size: int,
        activation: str = "gelu",
        is_gated: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
        self.activation = ACTIVATIONS[activation]
        self.expand = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.gate = nn.Linear(hidden_size, intermediate_size, bias=bias) if is_gated else None
        self.contract = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C), through width F."""
        inner = self.activation(self.expand(hidden))  # (B, T, F)
        if self.gate is not None:
            inner = inner * self.gate(hidden)
        return self.contract(self.dropout(inner))


class Residual(nn.Module):
    """A sub-layer with its norm and its way around: norm first (GPT, T5) or norm last (BERT).

    Post-norm, LayerNorm(x + f(x)), is the 2017 form. Pre-norm, x + f(LayerNorm(x)), leaves a clean
    path from the top to the bottom, trains without warm-up (Xiong et al. 2020) and needs one more
    norm after the last block.
    """

    def __init__(
        self, sublayer: nn.Module, norm: nn.Module, *, norm_first: bool, dropout: float
    ) -> None:
        super().__init__()
        self.sublayer = sublayer
        self.norm = norm
        self.norm_first = norm_first
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, *args: Tensor | None, **options: object) -> Tensor:
        if self.norm_first:
            return hidden + self.dropout(self.sublayer(self.norm(hidden), *args, **options))
        return self.norm(hidden + self.dropout(self.sublayer(hidden, *args, **options)))


class RMSNorm(nn.Module):
    """x / rms(x) * weight (Zhang & Sennrich 2019): LayerNorm without centring and without bias."""

    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        return F.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


class KeyValueCache:
    """Keys and values that attention layers have computed for the positions so far.

    One buffer a layer, allocated at its first use for `max_length` positions and then written in
    place, so that a new token costs one position's work. `length` counts the positions stored; the
    model adds to it after each pass through all layers.
    """

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.length = 0
        self._stored: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the (B, H, T, D) of new positions; return all positions' (B, H, length + T, D)."""
        if layer not in self._stored:
            B, H, _, D = key.shape
            self._stored[layer] = (
                key.new_empty(B, H, self.max_length, D),
                value.new_empty(B, H, self.max_length, D),
            )
        stop = self.length + key.shape[2]
        keys, values = self._stored[layer]
        keys[:, :, self.length : stop] = key
        values[:, :, self.length : stop] = value
        return keys[:, :, :stop], values[:, :, :stop]

    def once(
        self, layer: nn.Module, compute: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Cross-attention reads the same memory at every step: compute at the first, then keep."""
        if layer not in self._stored:
            self._stored[layer] = compute()
        return self._stored[layer]


def attend_mask(
    attention_mask: Tensor | None, num_queries: int, *, is_causal: bool
) -> Tensor | None:
    """Turn a padding mask into one for attention scores.

    attention_mask is (B, S) bool, True = a real token, None = no padding; the queries are the last
    `num_queries` of the S positions. Returns bool (B, 1, T or 1, S), or None where nothing is
    hidden by padding (then `is_causal` alone says it). Under a causal mask a padded query may see
    itself: with padding on the left it would else see nothing, and a softmax over nothing is not a
    number.
    """
    if attention_mask is None:
        return None
    mask = attention_mask.bool()[:, None, None, :]  # (B, 1, 1, S)
    if not is_causal or num_queries == 1:
        return mask
    S = attention_mask.shape[1]
    positions = torch.arange(S, device=attention_mask.device)
    queries = positions[-num_queries:, None]  # (T, 1)
    return (mask & (positions <= queries)) | (positions == queries)  # (B, 1, T, S)


def used_length(attention_mask: Tensor) -> int:
    """Where the last column of a padding mask (B, S) that any row uses ends."""
    used = attention_mask.any(dim=0).nonzero()
    return int(used.max()) + 1 if len(used) else 1


def check_length(length: int, max_positions: int) -> None:
    """A learned position embedding ends somewhere: say so before the lookup fails obscurely."""
    if length > max_positions:
        raise ValueError(
            f"input_ids must be at most {max_positions} long (max_positions), got {length}; "
            "truncate the text or make the model with more positions"
        )


def reset_norms_and_biases(module: nn.Module) -> None:
    """Norm weights 1, every bias 0, in all of `module`: what all models here start from."""
    for part in module.modules():
        if isinstance(part, (nn.LayerNorm, RMSNorm)):
            nn.init.ones_(part.weight)
        bias = getattr(part, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)


def reset_normal(module: nn.Module, std: float) -> None:
    """BERT's and GPT's initialisation: normal(0, std) for linear and embedding weights.

    An embedding's row for padding is not special: padding is hidden by masks, not by zeros.
    """
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.normal_(part.weight, mean=0.0, std=std)
    reset_norms_and_biases(module)
