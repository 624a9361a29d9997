"""Attention, feed-forward, residual, norm, masks and the cache, each against its formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.models.layers import (
    Attention,
    FeedForward,
    KeyValueCache,
    Residual,
    RMSNorm,
    attend_mask,
    reset_normal,
)

B, T, S, C, H = 2, 5, 7, 16, 4


def make_attention(**options: object) -> Attention:
    torch.manual_seed(0)
    return Attention(hidden_size=C, num_heads=H, **options)


def attention_by_hand(
    attention: Attention, hidden: Tensor, memory: Tensor, mask: Tensor, scale: float
) -> Tensor:
    """softmax(Q K^T scale) V, one row, one head and one query at a time; mask is (B, T, S)."""
    query, key, value = attention.query(hidden), attention.key(memory), attention.value(memory)
    D = query.shape[-1] // H
    rows = []
    for b in range(len(hidden)):
        for t in range(hidden.shape[1]):
            heads = []
            for h in range(H):
                part = slice(h * D, (h + 1) * D)
                scores = key[b, :, part] @ query[b, t, part] * scale
                weights = torch.where(mask[b, t], scores.exp(), 0)
                heads.append(weights / weights.sum() @ value[b, :, part])
            rows.append(attention.output(torch.cat(heads)))
    return torch.stack(rows).view(hidden.shape)


@pytest.mark.parametrize("head_size", [None, 6])
@pytest.mark.parametrize("is_scaled", [True, False])
def test_attention_is_a_softmax_of_scaled_products(head_size, is_scaled):
    attention = make_attention(head_size=head_size, is_scaled=is_scaled)
    hidden, memory = torch.randn(B, T, C), torch.randn(B, S, C)
    mask = torch.rand(B, T, S) > 0.3
    mask[:, :, 0] = True
    scale = 1 / math.sqrt(head_size or C // H) if is_scaled else 1.0

    mixed = attention(hidden, memory, attn_mask=mask[:, None])

    torch.testing.assert_close(mixed, attention_by_hand(attention, hidden, memory, mask, scale))


def test_self_attention_reads_from_itself():
    attention, hidden = make_attention(), torch.randn(B, T, C)

    torch.testing.assert_close(attention(hidden), attention(hidden, hidden))


def test_masked_positions_have_no_effect_and_real_ones_do():
    attention, hidden, memory = make_attention(), torch.randn(B, T, C), torch.randn(B, S, C)
    mask = attend_mask(torch.arange(S).expand(B, S) < 4, T, is_causal=False)
    mixed = attention(hidden, memory, attn_mask=mask)

    for position in range(S):
        changed = memory.clone()
        changed[:, position] += 1
        is_same = torch.equal(attention(hidden, changed, attn_mask=mask), mixed)
        assert is_same == (position >= 4)


def test_causal_attention_is_the_lower_triangle():
    attention, hidden = make_attention(), torch.randn(B, T, C)
    triangle = torch.ones(T, T, dtype=torch.bool).tril()

    torch.testing.assert_close(
        attention(hidden, is_causal=True), attention(hidden, attn_mask=triangle)
    )


def test_a_float_mask_is_a_bias_on_the_scores():
    attention, hidden = make_attention(), torch.randn(B, T, C)
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    bias = torch.zeros(1, H, T, T).masked_fill(later, -torch.inf)

    torch.testing.assert_close(attention(hidden, attn_mask=bias), attention(hidden, is_causal=True))


def test_attention_drops_weights_in_training_only():
    attention, hidden = make_attention(dropout=0.5), torch.randn(B, T, C)

    assert not torch.equal(attention(hidden), attention(hidden))
    attention.eval()
    assert torch.equal(attention(hidden), attention(hidden))


def test_width_must_divide_into_heads():
    with pytest.raises(ValueError, match="must be a multiple of num_heads, got 16 and 3"):
        Attention(hidden_size=16, num_heads=3)


@pytest.mark.parametrize("chunks", [[1, 1, 1, 1, 1], [3, 1, 1], [1, 4], [2, 3]])
def test_attention_piece_by_piece_with_a_cache_equals_all_at_once(chunks):
    attention, hidden = make_attention(), torch.randn(B, T, C)
    cache = KeyValueCache(max_length=T)

    pieces = []
    for piece in hidden.split(chunks, dim=1):
        pieces.append(attention(piece, is_causal=True, cache=cache))
        cache.length += piece.shape[1]

    torch.testing.assert_close(torch.cat(pieces, dim=1), attention(hidden, is_causal=True))


def test_the_cache_keeps_the_layers_apart():
    cache, first, second = KeyValueCache(max_length=4), nn.Identity(), nn.Identity()
    ones, twos = torch.ones(B, H, 2, 4), torch.full((B, H, 2, 4), 2.0)

    cache.extend(first, ones, ones)
    cache.extend(second, twos, twos)
    cache.length += 2
    keys, values = cache.extend(first, 3 * ones[:, :, :1], 4 * ones[:, :, :1])

    assert keys[0, 0, :, 0].tolist() == [1, 1, 3]
    assert values[0, 0, :, 0].tolist() == [1, 1, 4]
    assert cache.extend(second, twos[:, :, :1], twos[:, :, :1])[0].eq(2).all()


def test_cross_attention_with_a_cache_computes_its_memory_once():
    attention, memory, cache = make_attention(), torch.randn(B, S, C), KeyValueCache(max_length=2)
    first, second = torch.randn(B, 1, C), torch.randn(B, 1, C)

    attention(first, memory, cache=cache)
    remembered = attention(second, torch.full_like(memory, torch.nan), cache=cache)

    torch.testing.assert_close(remembered, attention(second, memory))


def test_no_padding_needs_no_mask():
    assert attend_mask(None, T, is_causal=True) is None


def test_padding_and_future_are_hidden_together():
    real = torch.tensor([[False, True, True], [True, True, False]])

    mask = attend_mask(real, 3, is_causal=True)

    assert mask.shape == (2, 1, 3, 3)
    assert mask[0, 0].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert mask[1, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_queries_are_the_last_positions():
    real = torch.tensor([[False, True, True, True]])

    assert attend_mask(real, 2, is_causal=True).int().tolist() == [[[[0, 1, 1, 0], [0, 1, 1, 1]]]]
    assert attend_mask(real, 1, is_causal=True).int().tolist() == [[[[0, 1, 1, 1]]]]


@pytest.mark.parametrize("is_causal", [True, False])
def test_padding_on_either_side_never_makes_nan(is_causal):
    attention, hidden = make_attention(), torch.randn(4, T, C, requires_grad=True)
    real = torch.tensor([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])

    mixed = attention(hidden, attn_mask=attend_mask(real, T, is_causal=is_causal))
    mixed.sum().backward()

    assert mixed.isfinite().all()
    assert hidden.grad.isfinite().all()


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("relu", lambda x: x.clamp(min=0)),
        ("gelu", lambda x: x / 2 * (1 + torch.erf(x / 2**0.5))),
        (
            "gelu_new",
            lambda x: x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        ),
    ],
)
@pytest.mark.parametrize("is_gated", [False, True])
def test_feed_forward_is_its_formula(activation, formula, is_gated):
    torch.manual_seed(0)
    layer = FeedForward(
        hidden_size=C, intermediate_size=32, activation=activation, is_gated=is_gated
    )
    x = torch.randn(B, T, C)

    inner = formula(x @ layer.expand.weight.T + layer.expand.bias)
    if is_gated:
        inner = inner * (x @ layer.gate.weight.T + layer.gate.bias)
    torch.testing.assert_close(layer(x), inner @ layer.contract.weight.T + layer.contract.bias)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"activation must be one of \['gelu', .*\], got 'swish'"):
        FeedForward(hidden_size=C, intermediate_size=32, activation="swish")


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_norm_stands_before_the_sublayer_or_after_the_sum(norm_first):
    torch.manual_seed(0)
    sublayer, norm = nn.Linear(C, C), nn.LayerNorm(C)
    nn.init.normal_(norm.weight)
    x = torch.randn(B, T, C)

    out = Residual(sublayer, norm, norm_first=norm_first, dropout=0.0)(x)

    expected = x + sublayer(norm(x)) if norm_first else norm(x + sublayer(x))
    torch.testing.assert_close(out, expected)


def test_dropout_is_on_the_branch_and_not_on_the_way_around():
    x = torch.randn(B, T, C)

    out = Residual(nn.Linear(C, C), nn.LayerNorm(C), norm_first=True, dropout=1.0)(x)

    assert torch.equal(out, x)


def test_rms_norm_is_its_formula():
    torch.manual_seed(0)
    norm, x = RMSNorm(C, eps=1e-3), torch.randn(B, T, C)
    nn.init.normal_(norm.weight)

    rms = (x.square().mean(-1, keepdim=True) + 1e-3).sqrt()

    torch.testing.assert_close(norm(x), x / rms * norm.weight)


def test_reset_normal_draws_matrices_and_sets_norms_and_biases():
    torch.manual_seed(0)
    embedding, linear = nn.Embedding(100, 64), nn.Linear(64, 100)
    norm, rms = nn.LayerNorm(100), RMSNorm(100)
    module = nn.Sequential(embedding, linear, norm, rms)
    for parameter in module.parameters():
        nn.init.constant_(parameter, 7.0)

    reset_normal(module, std=0.05)

    for weight in (embedding.weight, linear.weight):
        assert weight.mean().abs() < 0.003
        assert weight.std().item() == pytest.approx(0.05, rel=0.05)
    assert torch.equal(linear.bias, torch.zeros(100))
    assert torch.equal(norm.weight, torch.ones(100))
    assert torch.equal(norm.bias, torch.zeros(100))
    assert torch.equal(rms.weight, torch.ones(100))


def test_attention_matches_torch_on_the_causal_kernel():
    attention, hidden = make_attention(), torch.randn(B, T, C)
    query, key, value = (
        layer(hidden).view(B, T, H, -1).transpose(1, 2)
        for layer in (attention.query, attention.key, attention.value)
    )

    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)

    expected = attention.output(mixed.transpose(1, 2).reshape(B, T, C))
    torch.testing.assert_close(attention(hidden, is_causal=True), expected)


@pytest.mark.parametrize("mask", ["none", "causal", "padding", "bias"])
def test_both_ways_to_attend_in_bf16_agree(mask):
    """With a gradient the formula is written out, without one torch's kernel does it."""
    attention, hidden = make_attention(), torch.randn(B, T, C)
    options = {
        "none": {},
        "causal": {"is_causal": True},
        "padding": {"attn_mask": attend_mask(torch.arange(T).expand(B, T) < 3, T, is_causal=False)},
        "bias": {"attn_mask": torch.randn(1, H, T, T)},
    }[mask]
    exact = attention(hidden, **options)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        with_gradient = attention(hidden, **options)
        with torch.no_grad():
            without = attention(hidden, **options)

    torch.testing.assert_close(with_gradient.float(), exact, rtol=0.02, atol=0.02)
    torch.testing.assert_close(without.float(), exact, rtol=0.02, atol=0.02)
