"""The contract: a trunk is a fold over stages, frozen is two things, flows are cut and joined."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.stages import Model, Staged, flow_rows, join_flows


class Normed(nn.Module):
    """A stage that has all a stage can have: weights, running statistics, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        self.norm.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.linear(x)))


class TapHead(nn.Module):
    taps = ("bottom", "top")

    def forward(self, features: list[Tensor]) -> Tensor:
        return torch.cat(features, dim=1)


class TiedHead(nn.Module):
    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Toy(Model):
    family = "toy"
    input_names = ("x",)

    def __init__(self, head: str | None = "linear", num_classes: int | None = 2) -> None:
        trunk = Staged({"bottom": Normed(), "middle": Normed(), "top": Normed()})
        super().__init__(None, trunk, head, num_classes)

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        if name == "tied":
            return TiedHead(self.trunk.stages["bottom"].linear.weight)
        return TapHead() if name == "tap" else nn.Linear(4, num_classes or 1)

    def prepare(self, x: Tensor) -> Tensor:
        return x


class Flow(NamedTuple):
    hidden: Tensor
    mask: Tensor | None
    bias: Tensor

    shared = ("bias",)


@pytest.fixture
def model() -> Toy:
    torch.manual_seed(0)
    return Toy()


def test_a_trunk_is_the_composition_of_its_stages(model):
    model.eval()
    bottom, middle, top = model.trunk.stages.values()
    x = torch.randn(5, 4)

    assert torch.equal(model.trunk(x), top(middle(bottom(x))))
    assert torch.equal(model.trunk(x, start=1, stop=2), middle(x))
    assert torch.equal(model.trunk(x, start=3), x)


def test_outputs_keeps_what_every_stage_put_out(model):
    model.eval()
    x = torch.randn(5, 4)

    outputs = model.trunk.outputs(x)

    assert list(outputs) == ["bottom", "middle", "top"]
    assert torch.equal(outputs["middle"], model.trunk(x, stop=2))
    assert list(model.trunk.outputs(x, start=2)) == ["top"]


def test_a_stage_without_reset_parameters_is_refused():
    with pytest.raises(TypeError, match=r"stage 'act' must have reset_parameters\(\)"):
        Staged({"act": nn.ReLU()})


def test_frozen_is_no_gradient_and_eval_also_after_train(model):
    model.trunk.num_frozen = 2

    model.train()

    bottom, middle, top = model.trunk.stages.values()
    assert not any(p.requires_grad for p in [*bottom.parameters(), *middle.parameters()])
    assert all(p.requires_grad for p in [*top.parameters(), *model.head.parameters()])
    assert not any(m.training for stage in (bottom, middle) for m in stage.modules())
    assert all(module.training for module in top.modules())


def test_freezing_drops_gradients_that_were_there(model):
    model(torch.randn(5, 4)).sum().backward()

    model.trunk.num_frozen = 1

    assert all(p.grad is None for p in model.trunk.stages["bottom"].parameters())
    assert all(p.grad is not None for p in model.trunk.stages["middle"].parameters())


def test_thawing_brings_gradient_and_train_mode_back(model):
    model.train()
    model.trunk.num_frozen = 3
    model.trunk.num_frozen = 0

    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_thawing_in_eval_mode_stays_in_eval_mode(model):
    model.eval()
    model.trunk.num_frozen = 2
    model.trunk.num_frozen = 0

    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("count", [-1, 4])
def test_num_frozen_must_be_a_number_of_stages(model, count):
    with pytest.raises(ValueError, match=rf"num_frozen must be in 0\.\.3 .* got {count}"):
        model.trunk.num_frozen = count
    assert model.trunk.num_frozen == 0


def test_a_parameter_of_two_stages_is_frozen_with_the_lowest():
    bottom, top = nn.Linear(4, 4), nn.Linear(4, 4)
    top.weight = bottom.weight
    trunk = Staged({"bottom": bottom, "top": top})

    trunk.num_frozen = 1

    assert not top.weight.requires_grad
    assert top.bias.requires_grad


def test_reset_head_leaves_the_trunk_and_takes_over_the_mode(model):
    before = {name: value.clone() for name, value in model.trunk.state_dict().items()}
    model.eval()

    model.reset_head("linear", num_classes=7)

    assert all(torch.equal(value, before[name]) for name, value in model.trunk.state_dict().items())
    assert model(torch.randn(5, 4)).shape == (5, 7)
    assert (model.head_name, model.num_classes) == ("linear", 7)
    assert not model.head.training


def test_without_a_head_the_model_gives_the_trunks_output(model):
    model.eval()
    model.reset_head(None)
    x = torch.randn(5, 4)

    assert torch.equal(model(x), model.trunk(x))


def test_a_head_may_read_several_stages(model):
    model.eval()
    model.reset_head("tap")
    x = torch.randn(5, 4)

    assert torch.equal(model(x), torch.cat([model.trunk(x, stop=1), model.trunk(x)], dim=1))


def test_a_head_cannot_read_below_where_the_flow_enters(model):
    model.reset_head("tap")

    with pytest.raises(ValueError, match=r"the head reads \['bottom'\], which lie below stage 1"):
        model.forward_from(torch.randn(5, 4), start=1)


def test_a_tied_weight_is_none_of_the_heads_parameters(model):
    model.reset_head("tied")

    assert [name for name, _ in model.head_parameters()] == ["bias"]


def test_rows_are_taken_from_every_field_but_the_shared():
    flow = Flow(torch.arange(8).view(4, 2), None, torch.ones(3))

    rows = flow_rows(flow, torch.tensor([2, 0]))

    assert rows.hidden.tolist() == [[4, 5], [0, 1]]
    assert rows.mask is None
    assert rows.bias is flow.bias
    assert flow_rows(torch.arange(4), torch.tensor([3])).tolist() == [3]


def test_joining_undoes_cutting():
    torch.manual_seed(0)
    flow = Flow(torch.randn(5, 2), torch.rand(5, 2) > 0.5, torch.randn(3))

    joined = join_flows([flow_rows(flow, rows) for rows in torch.arange(5).split(2)])

    assert all(torch.equal(ours, theirs) for ours, theirs in zip(joined, flow))
    parts = [torch.arange(3), torch.arange(2)]
    assert join_flows(parts).tolist() == [0, 1, 2, 0, 1]
