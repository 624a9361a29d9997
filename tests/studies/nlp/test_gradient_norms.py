"""The norms are those of autograd's own gradients, and training is left as it was."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_, parameters_to_vector

import minift
from minift.stages import Model
from minift.studies.nlp.gradient_norms import gradient_norms
from minift.transfer import freeze


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return minift.create_model(
        "bert-micro", num_classes=2, vocab_size=20, hidden_size=16, intermediate_size=16,
        num_layers=2,
    )  # fmt: skip


def backward(model: Model, seed: int) -> None:
    torch.manual_seed(seed)
    model.zero_grad()
    cross_entropy(model(torch.randint(20, (4, 8))), torch.tensor([0, 1, 0, 1])).backward()


def test_norms_are_those_of_all_weights_of_a_stage_before_clipping(model: Model) -> None:
    expected: dict[str, list[float]] = {name: [] for name in model.trunk.stages}
    with gradient_norms(model) as norms:
        for seed in range(3):
            backward(model, seed)
            for name, stage in model.trunk.stages.items():
                gradients = [weight.grad for weight in stage.parameters()]
                expected[name].append(parameters_to_vector(gradients).norm().item())
            clip_grad_norm_(model.parameters(), 1e-3)
    assert list(norms) == list(expected)
    for name, values in norms.items():
        assert values == pytest.approx(expected[name], rel=1e-5)  # fp32 sums in another order


def test_a_frozen_stage_has_no_norms(model: Model) -> None:
    freeze(model, 2)
    with gradient_norms(model) as norms:
        backward(model, 0)
    assert [len(values) for values in norms.values()] == [0, 0, 1, 1]


def test_afterwards_nothing_is_noted(model: Model) -> None:
    with gradient_norms(model) as norms:
        backward(model, 0)
    before = {name: list(values) for name, values in norms.items()}
    backward(model, 1)
    assert norms == before
