"""Biases only: they and the head move, all else holds still."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from minift import create_model
from minift.transfer.bias_only import train_biases_only
from minift.transfer.freeze import freeze, trainable_share
from minift.transfer.rates import param_groups

TEXT = {"vocab_size": 40, "hidden_size": 16, "num_layers": 2, "num_heads": 2}
TEXT |= {"intermediate_size": 32, "max_positions": 8, "dropout": 0.0}
LARGE = {**TEXT, "init_std": 0.3}  # weights of some effect, as after pretraining
PICTURES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TEXTS = torch.randint(1, 40, (6, 8), generator=torch.Generator().manual_seed(0))
ROWS = {
    "resnet": ("resnet8", {"width": 8}, PICTURES),
    "bert": ("bert-micro", LARGE, TEXTS),
    "gpt": ("gpt-micro", LARGE, TEXTS),
}


def make(family):
    name, sizes, _ = ROWS[family]
    torch.manual_seed(0)
    return create_model(name, head="classify", num_classes=3, **sizes)


def fit(model, family, steps):
    model.train()
    optimizer = torch.optim.AdamW(param_groups(model, lr=0.02))
    for _ in range(steps):
        loss = F.cross_entropy(model(ROWS[family][2]), torch.arange(6) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def is_bias(name):
    return name.startswith("trunk.") and name.endswith(".bias")


@pytest.mark.parametrize("family", ROWS)
def test_only_biases_and_head_move(family, snapshot, moved):
    model = make(family)
    before = snapshot(model)

    train_biases_only(model)
    fit(model, family, steps=3)

    statistics = ("running_mean", "running_var", "num_batches_tracked")
    changed = {name for name in moved(before, model) if not name.endswith(statistics)}
    learn = {name for name in before if is_bias(name) or name.startswith("head.")}
    # Softmax does not see what is added to all keys alike.
    assert changed | {name for name in learn if name.endswith("key.bias")} == learn


@pytest.mark.parametrize("family", ROWS)
def test_it_learns_a_batch_by_heart(family):
    model = make(family)
    train_biases_only(model)
    for parameter in model.head.requires_grad_(False).parameters():  # so that the trunk learns
        torch.nn.init.normal_(parameter)
    assert fit(model, family, steps=100) < 0.2


@pytest.mark.parametrize("num_frozen", [0, 2])
def test_the_share_that_trains_is_that_of_biases_and_head(num_frozen):
    model = make("bert")
    freeze(model, num_frozen)

    train_biases_only(model)

    embedding, block = 16, 6 * 16 + 32 + 16  # a norm; query, key, value, output, contract, norms
    biases = 16 + (block if num_frozen else 2 * block + embedding)  # 16: the pooler's
    total = sum(p.numel() for p in model.parameters())
    assert trainable_share(model) == pytest.approx((biases + 3 * 16 + 3) / total)


def test_the_biases_of_a_large_bert_are_about_a_thousandth_of_it():
    with torch.device("meta"):  # shapes without memory
        model = create_model("bert-base", head=None)
    train_biases_only(model)
    assert trainable_share(model) == pytest.approx(0.001, rel=0.2)


def test_biases_of_frozen_stages_stay_frozen(make_model, dataset, train, snapshot, moved):
    model = make_model()
    freeze(model, 2)
    before = snapshot(model)

    train_biases_only(model)
    groups = param_groups(model, lr=0.1)
    train(model, torch.optim.AdamW(groups), dataset)

    changed = moved(before, model)
    assert "trunk.stages.block1.linear.bias" in changed
    assert "trunk.stages.block1.linear.weight" not in changed
    assert not [name for name in changed if "block0" in name or "embedding" in name]
    assert {group["name"] for group in groups} == {"block1/no_decay", "head/decay", "head/no_decay"}


def test_freezing_goes_by_whole_stages_and_so_comes_first(make_model):
    model = make_model()
    train_biases_only(model)
    freeze(model, 0)
    assert trainable_share(model) == 1


@pytest.mark.parametrize(("name", "sizes"), [("t5-micro", TEXT), ("word2vec", {})])
def test_a_trunk_without_biases_is_refused(name, sizes):
    model = create_model(name, num_classes=3, **sizes)
    with pytest.raises(ValueError, match=rf"must have biases .* {name.split('-')[0]} has none"):
        train_biases_only(model)
    assert trainable_share(model) == 1


def test_a_trunk_that_is_all_frozen_is_refused(make_model):
    model = make_model()
    freeze(model, 3)
    with pytest.raises(ValueError, match="must have biases in its stages that are not frozen"):
        train_biases_only(model)
