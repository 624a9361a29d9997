"""Freezing: frozen weights and statistics hold still, whatever the optimizer does."""

from __future__ import annotations

import pytest
import torch
from torch.optim import SGD, AdamW

from minift.transfer.freeze import freeze, trainable_share, unfreeze_gradually


def frozen_names(model) -> set[str]:
    stages = list(model.trunk.stages)[: model.trunk.num_frozen]
    return {n for n in model.state_dict() if any(f"trunk.stages.{s}." in n for s in stages)}


@pytest.mark.parametrize("num_stages", [1, 2, 3])
def test_only_what_is_not_frozen_moves(make_model, dataset, train, snapshot, moved, num_stages):
    model = make_model()
    freeze(model, num_stages)
    before = snapshot(model)
    trainable = [p for p in model.parameters() if p.requires_grad]
    train(model, AdamW(trainable, lr=0.1, weight_decay=0.1), dataset)
    assert moved(before, model) == set(before) - frozen_names(model)


def test_weights_with_gradient_off_but_no_eval_mode_still_move_the_statistics(
    make_model, dataset, train, snapshot, moved
):
    model = make_model()
    for parameter in model.trunk.parameters():
        parameter.requires_grad_(False)
    before = snapshot(model)
    train(model, SGD(model.head.parameters(), lr=0.1), dataset)
    assert "trunk.stages.block0.norm.running_mean" in moved(before, model)


def test_learning_rate_of_zero_still_moves_the_statistics(
    make_model, dataset, train, snapshot, moved
):
    model = make_model()
    before = snapshot(model)
    train(model, SGD(model.parameters(), lr=0.0), dataset)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert moved(before, model) == {n for n in before if n.endswith(statistics)}


def test_frozen_features_are_the_same_in_every_pass(make_model, dataset):
    model = make_model()
    freeze(model, 2)
    model.train()
    flow = model.prepare(dataset["input_ids"], dataset["attention_mask"])
    first, second = (model.trunk(flow, stop=2).hidden for _ in range(2))
    assert torch.equal(first, second)


def test_freezing_the_bottom_freezes_a_tied_head_matrix(
    make_model, dataset, train, snapshot, moved
):
    model = make_model("tied")
    freeze(model, 1)
    before = snapshot(model)
    train(model, AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1), dataset)
    changed = moved(before, model)
    assert "head.weight" not in changed
    assert "head.bias" in changed


def test_schedule_thaws_the_top_first_and_then_stays():
    schedule = unfreeze_gradually(num_stages=3, steps_per_stage=2)
    assert [schedule(step) for step in range(9)] == [3, 3, 2, 2, 1, 1, 0, 0, 0]


def test_schedule_without_steps_is_refused():
    with pytest.raises(ValueError, match="steps_per_stage must be at least 1, got 0"):
        unfreeze_gradually(3, 0)


def test_one_optimizer_built_first_follows_gradual_unfreezing(
    make_model, dataset, train, snapshot, moved
):
    model = make_model()
    optimizer = AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    schedule = unfreeze_gradually(num_stages=3, steps_per_stage=1)
    for step in range(4):
        freeze(model, schedule(step))
        before = snapshot(model)
        train(model, optimizer, dataset, steps=1)
        assert moved(before, model) == set(before) - frozen_names(model)


def test_trainable_share_counts_weights_and_a_tied_one_once(make_model):
    model = make_model("tied")
    assert trainable_share(model) == 1.0
    freeze(model, 1)
    blocks, bias = 2 * (8 * 8 + 8 + 8 + 8), 12
    assert trainable_share(model) == pytest.approx((blocks + bias) / (blocks + bias + 12 * 8 + 5))
