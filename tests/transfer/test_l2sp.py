"""L2-SP: the trunk is pulled to its start, the head to zero."""

from __future__ import annotations

import pytest
import torch

from minift.transfer.freeze import freeze
from minift.transfer.l2sp import L2SP


def test_penalty_is_half_the_squared_distance_from_the_start(make_model):
    model = make_model()
    penalty = L2SP(model, strength=3.0, head_strength=0.0)
    assert penalty(model) == 0
    with torch.no_grad():
        model.trunk.stages["block0"].linear.weight += 2.0
    assert penalty(model).item() == pytest.approx(3.0 / 2 * 64 * 2.0**2)


def test_head_is_pulled_to_zero(make_model):
    model = make_model()
    expected = 5.0 / 2 * sum(p.square().sum() for p in model.head.parameters())
    torch.testing.assert_close(L2SP(model, 1.0, head_strength=5.0)(model), expected)


def test_tied_head_matrix_is_pulled_to_its_start_and_not_to_zero(make_model):
    model = make_model("tied")  # whose own bias is zero
    assert L2SP(model, 1.0, head_strength=5.0)(model) == 0


def test_frozen_parameters_add_nothing_until_they_thaw(make_model):
    model = make_model()
    freeze(model, 1)
    penalty = L2SP(model, strength=2.0, head_strength=0.0)
    with torch.no_grad():
        model.trunk.stages["embedding"].token.weight += 1.0
    assert penalty(model) == 0
    freeze(model, 0)
    assert penalty(model).item() == pytest.approx(12 * 8)


def test_descending_the_penalty_leads_back_to_the_start(make_model):
    model, start = make_model(), make_model().trunk.state_dict()
    penalty = L2SP(model, strength=1.0, head_strength=1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        penalty(model).backward()
        optimizer.step()
    for name, parameter in model.trunk.named_parameters():
        torch.testing.assert_close(parameter.detach(), start[name], atol=1e-5, rtol=0)
    assert all(p.abs().max() < 1e-5 for p in model.head.parameters())
