"""LoRA: begins as the pretrained network, learns beside it, and is taken into its weights."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from minift import create_model
from minift.stages import Model, Staged
from minift.transfer.freeze import freeze, trainable_share
from minift.transfer.lora import LowRank, add_lora, merge_lora
from minift.transfer.rates import param_groups

N, T, V, RANK = 6, 8, 40, 2
TEXT = {"vocab_size": V, "hidden_size": 16, "num_layers": 2, "num_heads": 2}
TEXT |= {"intermediate_size": 32, "max_positions": T, "dropout": 0.0}
SIZES = {  # of all families but word2vec, which has nothing to put LoRA beside
    "resnet": ("resnet8", {"width": 8}),
    "bert": ("bert-micro", TEXT),
    "gpt": ("gpt-micro", TEXT),
    "t5": ("t5-micro", TEXT),
}
EVERY_MODEL = pytest.mark.parametrize("family", SIZES)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def make(family: str, seed: int = 0) -> Model:
    name, sizes = SIZES[family]
    torch.manual_seed(seed)
    return create_model(name, head="classify", num_classes=3, **sizes)


def inputs(model: Model) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, V, (2, N, T), generator=generator)
    every = {
        "images": torch.randint(0, 256, (N, 3, 8, 8), generator=generator).byte(),
        "input_ids": ids[0],
        "attention_mask": torch.arange(T) < torch.tensor([[8], [5], [2], [7], [8], [3]]),
        "decoder_input_ids": ids[1],
    }
    return {name: every[name] for name in model.input_names if name in every}


def fit(model: Model, steps: int, lr: float = 0.02) -> float:
    """Learn one batch by heart; returns the last loss."""
    model.train()
    optimizer = torch.optim.AdamW(param_groups(model, lr=lr, weight_decay=0.0))
    for _ in range(steps):
        loss = F.cross_entropy(model(**inputs(model)), torch.arange(N) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def give_updates(model: Model) -> None:
    """Some update in each layer, as if trained."""
    torch.manual_seed(1)
    for part in model.trunk.modules():
        if isinstance(part, LowRank):
            nn.init.normal_(part.up, std=0.3)


def hold_head(model: Model) -> None:
    """A head of some effect that does not learn, so that the trunk has to."""
    torch.manual_seed(2)
    for parameter in model.head.requires_grad_(False).parameters():
        nn.init.normal_(parameter)


@torch.no_grad()
def outputs(model: Model) -> Tensor:
    return model.eval()(**inputs(model))


@EVERY_MODEL
def test_it_begins_as_the_pretrained_network_bit_for_bit(family):
    model = make(family)
    before = outputs(model)

    names = add_lora(model, RANK)

    assert len(names) == sum(isinstance(part, LowRank) for part in model.modules()) > 5
    assert torch.equal(outputs(model), before)
    give_updates(model)
    assert not torch.allclose(outputs(model), before, atol=0.01)


@EVERY_MODEL
def test_only_updates_and_head_move(family, snapshot, moved):
    model = make(family)
    add_lora(model, RANK)
    before = snapshot(model)

    fit(model, steps=3)

    learn = {n for n in before if n.endswith((".down", ".up")) or n.startswith("head.")}
    assert {n for n in moved(before, model) if not n.endswith(STATISTICS)} == learn


@EVERY_MODEL
def test_it_learns_a_batch_by_heart_and_keeps_it_when_merged(family):
    model = make(family)
    add_lora(model, RANK)
    hold_head(model)

    assert fit(model, steps=40) < 0.1
    merge_lora(model)
    assert outputs(model).argmax(dim=1).tolist() == [0, 1, 2, 0, 1, 2]


@EVERY_MODEL
def test_merged_it_is_a_plain_model_that_says_the_same(family):
    model, plain = make(family), make(family, seed=1)
    names = list(model.state_dict())
    add_lora(model, RANK, alpha=3.0)
    give_updates(model)
    unmerged = outputs(model)

    merge_lora(model)

    assert list(model.state_dict()) == names
    assert all(parameter.requires_grad for parameter in model.parameters())
    plain.load_state_dict(model.state_dict())
    assert torch.equal(outputs(plain), outputs(model))
    torch.testing.assert_close(outputs(model), unmerged, rtol=1e-5, atol=1e-5)


@EVERY_MODEL
def test_the_change_of_each_weight_has_the_chosen_rank_and_scale(family):
    model, start = make(family), make(family)
    names = add_lora(model, RANK, alpha=3.0)
    give_updates(model)
    parts = {name: model.trunk.stages.get_submodule(name) for name in names}

    merge_lora(model)

    for name, part in parts.items():
        weights = [m.trunk.stages.get_submodule(name).weight for m in (model, start)]
        change = (weights[0] - weights[1]).detach().flatten(1).double()
        torch.testing.assert_close(
            change, 3.0 / RANK * (part.up @ part.down.flatten(1)).double(), rtol=1e-4, atol=1e-6
        )
        assert torch.linalg.matrix_rank(change, rtol=1e-4) == RANK


@pytest.mark.parametrize("num_frozen", [0, 1, 2])
def test_frozen_stages_get_none_and_stay_in_eval_mode(make_model, num_frozen):
    model = make_model()
    freeze(model, num_frozen)

    names = add_lora(model, RANK)
    model.train()

    assert names == ["block0.linear", "block1.linear"][max(0, num_frozen - 1) :]
    for index, stage in enumerate(model.trunk.stages.values()):
        assert all(part.training == (index >= num_frozen) for part in stage.modules())


@pytest.mark.parametrize("head", ["classify", "tied", "taps"])
def test_groups_partition_updates_and_head(make_model, head):
    model = make_model(head)
    freeze(model, 1)
    add_lora(model, RANK)

    groups = param_groups(model, lr=1.0, layer_decay=0.5)

    grouped = [id(p) for group in groups for p in group["params"]]
    updates = [p for n, p in model.trunk.named_parameters() if n.endswith((".down", ".up"))]
    own = [p for _, p in model.head_parameters()]
    assert sorted(grouped) == sorted(id(p) for p in [*updates, *own])
    rates = {group["name"].split("/")[0]: group["lr"] for group in groups}
    assert rates == {"block0": 0.5, "block1": 1.0, "head": 1.0}


def test_freezing_goes_by_whole_stages_and_so_comes_first(make_model):
    model = make_model()
    add_lora(model, RANK)
    freeze(model, 2)
    assert model.trunk.stages["block1"].linear.layer.weight.requires_grad


def test_merging_leaves_frozen_what_is_frozen(make_model, snapshot, moved):
    model = make_model()
    freeze(model, 2)
    before = snapshot(model)
    add_lora(model, RANK)
    give_updates(model)

    merge_lora(model)

    assert model.trunk.num_frozen == 2
    assert moved(before, model) == {"trunk.stages.block1.linear.weight"}
    for name, stage in model.trunk.stages.items():
        assert all(p.requires_grad == (name == "block1") for p in stage.parameters())


@pytest.mark.parametrize(
    ("layers", "per_block", "blocks"),
    [
        (("query", "value"), ["query", "value"], [0, 1]),
        (("block1",), ["query", "key", "value", "output", "expand", "contract"], [1]),
        (("feed_forward",), ["expand", "contract"], [0, 1]),
    ],
)
def test_layers_are_chosen_by_their_name_or_by_what_holds_them(layers, per_block, blocks):
    names = [name.split(".") for name in add_lora(make("bert"), RANK, layers=layers)]
    assert [(n[0], n[-1]) for n in names] == [(f"block{b}", n) for b in blocks for n in per_block]


def test_the_share_that_trains_is_that_of_updates_and_head():
    model = make("bert")
    total = sum(p.numel() for p in model.parameters())

    add_lora(model, RANK, layers=("query", "expand"))

    updates, head = 2 * RANK * ((16 + 16) + (16 + 32)), 3 * 16 + 3
    assert trainable_share(model) == pytest.approx((updates + head) / (total + updates))


def test_the_gradients_of_whole_matrices_are_not_computed():
    sizes = {**TEXT, "hidden_size": 128, "intermediate_size": 256}
    full = create_model("bert-micro", num_classes=3, **sizes)
    adapted = copy.deepcopy(full)
    add_lora(adapted, 1)
    work = []
    for model in (full, adapted):
        with FlopCounterMode(display=False) as counter:
            model(**inputs(model)).sum().backward()
        work.append(counter.get_total_flops())
    # Forward, gradient of the input, gradient of the weight: the last of the three is left out.
    assert work[1] < 2 / 3 * work[0]


def test_convolutions_of_all_strides_and_dilations_are_merged_and_others_left_alone():
    options = {
        "plain": {"padding": "same", "dilation": 2},
        "strided": {"stride": (2, 1), "padding": (1, 0), "bias": False},
        "grouped": {"groups": 2},
        "circular": {"padding": 1, "padding_mode": "circular"},
    }
    torch.manual_seed(0)
    trunk = Staged({name: nn.Conv2d(4, 4, 3, **changes) for name, changes in options.items()})
    model = Model(None, trunk)

    assert add_lora(model, RANK) == ["plain", "strided"]
    give_updates(model)
    x = torch.randn(2, 4, 12, 12)
    unmerged = model.trunk(x)
    merge_lora(model)

    torch.testing.assert_close(model.trunk(x), unmerged, rtol=1e-5, atol=1e-5)


def test_the_seed_decides_the_updates_and_leaves_the_global_generator_alone(make_model):
    models = [make_model() for _ in range(3)]
    state = torch.random.get_rng_state()
    for model, seed in zip(models, (7, 7, 8)):
        add_lora(model, RANK, seed=seed)
    assert torch.equal(torch.random.get_rng_state(), state)
    one, same, other = (model.trunk.stages["block0"].linear.down for model in models)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"layers": ("key",)}, r"must have \('key',\) above its frozen stages \['embedding'\]"),
    ],
)
def test_impossible_arguments_are_refused(make_model, arguments, message):
    model = make_model()
    freeze(model, 1)
    with pytest.raises(ValueError, match=message):
        add_lora(model, **{"rank": RANK, **arguments})
    assert trainable_share(model) > 0.5  # nothing has been done yet


def test_a_second_lora_is_refused_until_the_first_is_merged(make_model):
    model = make_model()
    add_lora(model, RANK)
    with pytest.raises(ValueError, match="model must have no LoRA yet; merge_lora takes it"):
        add_lora(model, RANK)
    merge_lora(model)
    assert add_lora(model, RANK) == ["block0.linear", "block1.linear"]


def test_a_trunk_without_layers_to_adapt_is_refused():
    model = create_model("word2vec", num_classes=3)
    with pytest.raises(ValueError, match="must have linear layers or convolutions above its froz"):
        add_lora(model, RANK)
