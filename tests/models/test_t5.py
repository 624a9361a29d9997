"""T5: distances in buckets, an encoder blind to padding, a decoder that looks back only."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minift.models.t5 import PRESETS, T5, PositionBias, T5Config
from minift.stages import flow_rows, join_flows

B, S, T, V, C = 3, 7, 5, 40, 16
TINY = T5Config(
    vocab_size=V,
    hidden_size=C,
    num_layers=2,
    num_heads=2,
    intermediate_size=32,
    num_buckets=8,
    max_distance=16,
    dropout=0.0,
)
V11 = {"is_tied": False, "is_gated": True, "activation": "gelu_new", "head_size": 6}
VARIANTS = pytest.mark.parametrize("changes", [{}, V11], ids=["v1.0", "v1.1"])


def make(head: str | None = "lm", num_classes: int | None = None, **changes: object) -> T5:
    torch.manual_seed(0)
    return T5(dataclasses.replace(TINY, **changes), head, num_classes)


def texts() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, V, (B, S), generator=generator)
    mask = torch.arange(S) < torch.tensor([[7], [4], [2]])
    return ids, mask, torch.randint(1, V, (B, T), generator=generator)


def bucket_by_hand(distance: int, num_buckets: int, max_distance: int, is_causal: bool) -> int:
    """Raffel et al. 2020, section 2.1, one distance (key minus query) at a time.

    Up to half the buckets of a side every distance has its own; from there on to max_distance the
    others divide the logarithm of the distance evenly; all that is farther shares the last.
    """
    first = 0
    if is_causal:
        steps = max(-distance, 0)
    else:
        num_buckets //= 2
        first = num_buckets if distance > 0 else 0
        steps = abs(distance)
    num_exact = num_buckets // 2
    if steps < num_exact:
        return first + steps
    share = math.log(steps / num_exact) / math.log(max_distance / num_exact)
    return first + min(num_exact + int(share * (num_buckets - num_exact)), num_buckets - 1)


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 20)])
def test_buckets_are_those_of_the_paper(is_causal, num_buckets, max_distance):
    config = dataclasses.replace(TINY, num_buckets=num_buckets, max_distance=max_distance)
    bias = PositionBias(config, is_causal=is_causal)
    distances = range(-200, 201)

    buckets = bias.bucket(torch.tensor(distances)).tolist()

    expected = [bucket_by_hand(d, num_buckets, max_distance, is_causal) for d in distances]
    # Where the logarithm hits a border exactly (64 = 128 / 2), float32 and float64 may differ.
    assert sum(ours != theirs for ours, theirs in zip(buckets, expected)) <= 2
    assert max(abs(ours - theirs) for ours, theirs in zip(buckets, expected)) <= 1
    assert set(buckets) == set(range(num_buckets)) - (set() if is_causal else {num_buckets // 2})


def test_the_bias_of_late_queries_is_the_end_of_the_whole():
    bias = PositionBias(TINY, is_causal=True)

    assert torch.equal(bias(2, 9), bias(9, 9)[:, :, -2:])
    assert bias(9, 9).isinf().sum() == 2 * 36  # above the diagonal, in both heads


def test_the_decoder_looks_back_only():
    model, (ids, mask, targets) = make(), texts()
    logits = model(ids, mask, targets)

    for position in range(T):
        changed = targets.clone()
        changed[:, position] = (changed[:, position] + 1) % V
        is_changed = (model(ids, mask, changed) != logits).any(-1)
        assert not is_changed[:, :position].any()
        assert is_changed[:, position:].all()


@VARIANTS
def test_padding_of_the_input_cannot_change_anything(changes):
    model, (ids, mask, targets) = make(**changes), texts()
    logits = model(ids, mask, targets)

    assert torch.equal(model(torch.where(mask, ids, (ids + 7) % V), mask, targets), logits)
    torch.testing.assert_close(model(ids[1:2, :4], None, targets[1:2]), logits[1:2])


def test_every_real_input_token_changes_the_output():
    model, (ids, mask, targets) = make(), texts()
    logits = model(ids, mask, targets)

    for position in range(4):  # row 1 has four real tokens
        changed = ids.clone()
        changed[1, position] = (changed[1, position] + 1) % V
        assert (model(changed, mask, targets)[1] != logits[1]).any(-1).all()


def test_a_span_points_into_the_input_whatever_the_decoder_reads():
    model = make("span")
    ids, mask, decoder_ids = texts()

    start, end = model(ids, mask)

    assert start.shape == end.shape == (B, S)
    assert torch.equal(model(ids, mask, decoder_ids).start, start)


def test_order_of_the_input_matters():
    model, (ids, mask, targets) = make(), texts()

    swapped = model(ids[:, [1, 0, 2, 3, 4, 5, 6]], mask, targets)

    assert not torch.allclose(swapped, model(ids, mask, targets))


def test_without_decoder_ids_the_start_token_stands_alone():
    model, (ids, mask, _) = make(start_id=3), texts()

    assert torch.equal(model(ids, mask), model(ids, mask, torch.full((B, 1), 3)))


@VARIANTS
def test_the_cache_changes_nothing(changes):
    model, (ids, mask, _) = make(**changes), texts()

    with_cache, without = (
        model.generate(ids, mask, max_new_tokens=6, temperature=0, use_cache=use_cache)
        for use_cache in (True, False)
    )

    assert with_cache.shape == (B, 6)
    assert torch.equal(with_cache, without)


def test_generation_is_greedy_decoding_from_the_start_token():
    model, (ids, mask, _) = make(), texts()

    answer = model.generate(ids, mask, max_new_tokens=4, temperature=0)

    written = torch.cat([torch.zeros(B, 1, dtype=torch.int64), answer], dim=1)
    for t in range(4):
        chosen = model(ids, mask, written[:, : t + 1])[:, -1].argmax(-1)
        assert torch.equal(chosen, answer[:, t])


def test_a_batch_of_different_lengths_answers_as_each_text_alone():
    model, (ids, mask, _) = make(), texts()

    together = model.generate(ids, mask, max_new_tokens=5, temperature=0)

    for row, length in enumerate((7, 4, 2)):
        alone = model.generate(ids[row : row + 1, :length], max_new_tokens=5, temperature=0)
        assert torch.equal(together[row], alone[0])


def test_an_answer_ends_at_its_eos():
    model, (ids, mask, _) = make(), texts()
    eos_id = int(model.generate(ids[:1], mask[:1], max_new_tokens=1, temperature=0))

    answer = model.generate(ids[:1], mask[:1], max_new_tokens=6, temperature=0, eos_id=eos_id)

    assert answer.tolist() == [[eos_id]]


@pytest.mark.parametrize("is_training", [True, False])
def test_generating_drops_nothing_and_leaves_the_mode(is_training):
    model, (ids, mask, _) = make(dropout=0.5).train(is_training), texts()

    first, second = (model.generate(ids, mask, max_new_tokens=4, temperature=0) for _ in range(2))

    assert torch.equal(first, second)
    assert model.training == is_training


def test_a_failure_on_the_way_leaves_the_mode():
    model = make().train()

    with pytest.raises(IndexError):
        model.generate(torch.full((1, 2), 10_000), max_new_tokens=1)  # no such token

    assert model.training


def test_impossible_sampling_is_refused_before_the_text_is_read():
    with pytest.raises(ValueError, match="temperature must be at least 0, got -1"):
        make().generate(torch.full((1, 2), 10_000), max_new_tokens=1, temperature=-1)


def test_a_classifier_does_not_generate():
    with pytest.raises(ValueError, match="head must be 'lm' to generate, got 'classify'"):
        make("classify", 2).generate(texts()[0], max_new_tokens=1)


def test_a_tied_output_scales_the_hidden_state_down():
    model, inputs = make(), texts()
    embedding = model.trunk.stages["embedding"].tokens.weight
    hidden = model.trunk(model.prepare(*inputs)).hidden

    assert model.head.decoder.weight is embedding
    torch.testing.assert_close(model(*inputs), hidden / 4 @ embedding.T)  # sqrt(16) = 4


def test_an_untied_output_has_its_own_matrix_and_no_scale():
    model, inputs = make(**V11), texts()
    weight = model.head.decoder.weight
    hidden = model.trunk(model.prepare(*inputs)).hidden

    assert weight is not model.trunk.stages["embedding"].tokens.weight
    assert [parameter is weight for _, parameter in model.head_parameters()] == [True]
    torch.testing.assert_close(model(*inputs), hidden @ weight.T)


@VARIANTS
def test_initial_logits_have_moderate_variance(changes):
    logits = make(hidden_size=64, vocab_size=400, **changes)(*texts())

    assert 0.7 < logits.std() < 1.4


def test_there_are_no_biases_and_no_position_embeddings():
    names = [name for name, _ in make(None).named_parameters()]

    assert not [name for name in names if name.endswith(".bias")]
    assert [name for name in names if "position_bias" in name] == [
        "trunk.stages.encoder0.position_bias.table.weight",
        "trunk.stages.decoder0.position_bias.table.weight",
    ]


def test_gated_and_free_head_size_have_the_papers_shapes():
    model = make(None, **V11)
    block = model.trunk.stages["decoder1"]

    assert block.cross_attention.sublayer.query.weight.shape == (2 * 6, C)
    assert block.feed_forward.sublayer.gate.weight.shape == (32, C)
    assert PRESETS["t5-v1.1-small"].is_gated


def test_decoder_and_encoder_may_differ_in_depth():
    model, inputs = make(num_layers=1, num_decoder_layers=2), texts()

    assert list(model.trunk.stages) == ["embedding", "encoder0", "decoder0", "decoder1"]
    assert torch.equal(
        model.generate(inputs[0], inputs[1], max_new_tokens=3, temperature=0),
        model.generate(inputs[0], inputs[1], max_new_tokens=3, temperature=0, use_cache=False),
    )


def test_position_biases_are_shared_by_the_rows_of_a_batch():
    model, inputs = make(None), texts()
    flow = model.trunk(model.prepare(*inputs), stop=4)

    pieces = [flow_rows(flow, rows) for rows in torch.arange(B).split(2)]

    assert flow.encoder_bias.shape == (1, 2, S, S)
    assert flow.decoder_bias.shape == (1, 2, T, T)
    joined = join_flows(pieces)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(joined[:5], flow[:5]))


@VARIANTS
def test_copying_is_learnt_by_heart(changes):
    model, (ids, mask, _) = make(**changes), texts()
    labels = ids[:, :T].masked_fill(~mask[:, :T], 0)
    targets = F.pad(labels[:, :-1], (1, 0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    for _ in range(60):
        logits = model(ids, mask, targets)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert loss < 0.1
    assert torch.equal(model.generate(ids, mask, max_new_tokens=T, temperature=0), labels)
