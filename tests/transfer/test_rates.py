"""Parameter groups: a partition of what trains, with the right rate and decay in each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minift.transfer.freeze import freeze
from minift.transfer.rates import param_groups


@pytest.mark.parametrize("head", ["classify", "tied", "taps"])
@pytest.mark.parametrize("num_frozen", [0, 1, 3])
def test_groups_partition_the_trainable_parameters(make_model, head, num_frozen):
    model = make_model(head)
    freeze(model, num_frozen)
    grouped = [id(p) for group in param_groups(model, lr=1.0) for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters() if p.requires_grad}


def test_rate_decays_from_the_top_stage_down(make_model):
    groups = param_groups(make_model(), lr=1.0, layer_decay=0.5, head_lr=3.0)
    rates = {group["name"].split("/")[0]: group["lr"] for group in groups}
    assert rates == {"embedding": 0.25, "block0": 0.5, "block1": 1.0, "head": 3.0}
    assert list(rates) == ["embedding", "block0", "block1", "head"]


def test_head_learns_at_the_top_rate_by_default(make_model):
    groups = param_groups(make_model(), lr=0.2, layer_decay=0.5)
    assert {g["lr"] for g in groups if g["name"].startswith("head")} == {0.2}


def test_only_matrices_decay(make_model):
    for group in param_groups(make_model(), lr=1.0, weight_decay=0.3):
        is_matrix = group["name"].endswith("/decay")
        assert group["weight_decay"] == (0.3 if is_matrix else 0.0)
        assert all((p.ndim >= 2) == is_matrix for p in group["params"])


def test_tied_weight_has_the_rate_of_the_embedding(make_model):
    model = make_model("tied")
    groups = {g["name"]: g for g in param_groups(model, lr=1.0, layer_decay=0.5)}
    assert any(p is model.head.weight for p in groups["embedding/decay"]["params"])
    assert "head/decay" not in groups


def test_optimizers_take_the_groups(make_model, dataset, train, snapshot, moved):
    model = make_model()
    freeze(model, 1)
    before = snapshot(model)
    train(model, torch.optim.AdamW(param_groups(model, lr=0.1)), dataset)
    assert {n for n in before if "embedding" in n} == set(before) - moved(before, model)


def test_small_layer_decay_moves_the_bottom_least(make_model, dataset, train, snapshot):
    model = make_model()
    before = snapshot(model)
    train(model, torch.optim.AdamW(param_groups(model, lr=0.1, layer_decay=0.1)), dataset, 1)
    after = model.state_dict()
    moves = [
        (after[name] - before[name]).abs().max().item()
        for name in ("embedding.token.weight", "block0.linear.weight", "block1.linear.weight")
        for name in (f"trunk.stages.{name}",)
    ]
    assert moves == pytest.approx([0.001, 0.01, 0.1], rel=0.2)  # Adam's first step is lr


def test_parameter_outside_trunk_and_head_is_named(make_model):
    model = make_model()
    model.temperature = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=r"not in \['temperature'\]"):
        param_groups(model, lr=1.0)


def test_model_with_nothing_to_train_is_refused(make_model):
    model = make_model().requires_grad_(False)
    with pytest.raises(ValueError, match="model must have something to train"):
        param_groups(model, lr=1.0)


@pytest.mark.parametrize("layer_decay", [0.0, 1.1])
def test_layer_decay_outside_its_range_is_refused(make_model, layer_decay):
    with pytest.raises(ValueError, match=r"layer_decay must be in \(0, 1\]"):
        param_groups(make_model(), lr=1.0, layer_decay=layer_decay)
