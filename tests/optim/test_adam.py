"""Adam: parity with torch, the uncorrected form, skipping, saving, and its two equal halves."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from minift.optim import Adam, step_scale


def weights(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (2, 2, 2)]
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def walk(optimizer: torch.optim.Optimizer, num_steps: int = 20, start: int = 0) -> None:
    """Steps with gradients that depend on the weights and on the step number only."""
    for step in range(start, start + num_steps):
        generator = torch.Generator().manual_seed(100 + step)
        for group in optimizer.param_groups:
            for p in group["params"]:
                noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
                p.grad = (p.detach() + noise).to(p.dtype)
        optimizer.step()


def in_groups(params: list[nn.Parameter]) -> list[dict]:
    return [{"params": params[:1], "lr": 3e-3, "weight_decay": 0.3}, {"params": params[1:]}]


OPTIONS = [
    {},
    {"lr": 0.1},
    {"betas": (0.5, 0.7)},
    {"betas": (0.0, 0.0)},
    {"eps": 0.1},  # a large one, so that its place in the formula shows
    {"weight_decay": 0.1},
    {"lr": 0.05, "betas": (0.8, 0.98), "eps": 1e-6, "weight_decay": 0.01},
]


# float64 throughout: what is left is the rounding of a different order of operations.
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("options", OPTIONS)
def test_equals_torch(options: dict, decoupled: bool, grouped: bool, fused: bool) -> None:
    ours, theirs = weights(), weights()
    arrange = in_groups if grouped else list
    reference = torch.optim.AdamW if decoupled else torch.optim.Adam
    options = {"weight_decay": 0.0, **options}
    walk(Adam(arrange(ours), decoupled=decoupled, fused=fused, **options))
    walk(reference(arrange(theirs), **options))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bias_correction", [True, False])
@pytest.mark.parametrize("decoupled", [True, False])
def test_both_forms_give_equal_results(decoupled: bool, bias_correction: bool) -> None:
    written_out, kernel = weights(torch.float32), weights(torch.float32)
    options = {"weight_decay": 0.1, "decoupled": decoupled, "bias_correction": bias_correction}
    walk(Adam(written_out, fused=False, **options))
    walk(Adam(kernel, fused=True, **options))
    for a, b in zip(written_out, kernel):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_gradient_laid_out_otherwise_moves_the_right_weights() -> None:
    turned, plain = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(2, 3))
    turned.grad = torch.arange(6.0).view(3, 2).T  # column by column in memory
    plain.grad = turned.grad.contiguous()
    for weight in (turned, plain):
        Adam([weight], lr=1.0, eps=1.0).step()
    torch.testing.assert_close(turned, plain)


def test_tensors_of_several_types_move_in_one_group() -> None:
    small, large = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = Adam([small, large], lr=0.5)
    small.grad, large.grad = torch.ones_like(small), torch.ones_like(large)
    optimizer.step()
    assert small.tolist() == pytest.approx([-0.5, -0.5])
    assert large.tolist() == pytest.approx([-0.5, -0.5])


@pytest.mark.parametrize("fused", [True, False])
def test_uncorrected_form_equals_its_formula(fused: bool) -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = Adam([weight], lr=0.1, eps=1e-6, bias_correction=False, fused=fused)
    theta, m, v = 1.0, 0.0, 0.0
    for t in range(1, 6):
        g = math.sin(t)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta -= 0.1 * m / (math.sqrt(v) + 1e-6)
        weight.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
    assert weight.item() == pytest.approx(theta, rel=1e-12)


def test_steps_without_correction_are_larger_by_step_scale() -> None:
    sizes = {}
    for bias_correction in (True, False):
        weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = Adam([weight], lr=1.0, eps=0.0, bias_correction=bias_correction)
        sizes[bias_correction] = []
        for _ in range(30):
            before = weight.item()
            weight.grad = torch.full((1,), 2.0, dtype=torch.float64)
            optimizer.step()
            sizes[bias_correction].append(before - weight.item())
    for t in range(1, 31):
        ratio = sizes[False][t - 1] / sizes[True][t - 1]
        assert ratio == pytest.approx(step_scale(t), rel=1e-9)


def test_step_scale_is_largest_at_step_12_and_fades_slowly() -> None:
    assert step_scale(1) == pytest.approx(3.16, abs=0.005)
    assert max(range(1, 5000), key=step_scale) == 12
    assert step_scale(12) == pytest.approx(6.57, abs=0.005)
    assert step_scale(1000) == pytest.approx(1.26, abs=0.005)
    with pytest.raises(ValueError, match="t counts steps from 1, got 0"):
        step_scale(0)


def test_first_step_is_lr_whatever_the_gradient() -> None:
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([1e-3, -7.0, 1e4])
    Adam([weight], lr=0.5).step()
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.5, 0.5, -0.5]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("fused", [True, False])
def test_weight_without_gradient_neither_moves_nor_decays(fused: bool) -> None:
    frozen, moving = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = Adam([frozen, moving], lr=0.1, weight_decay=0.5, fused=fused)
    for _ in range(3):
        moving.grad = torch.ones(3)
        optimizer.step()
    assert torch.equal(frozen, torch.ones(3))
    assert frozen not in optimizer.state
    assert (moving < 1).all()


def test_zero_gradient_still_decays() -> None:
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.zeros(3)
    Adam([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.95))


@pytest.mark.parametrize("fused", [True, False])
def test_late_unfrozen_weight_counts_its_own_steps(fused: bool) -> None:
    early, late = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = Adam([early, late], lr=0.1, fused=fused)
    for step in range(1000):
        early.grad = torch.ones(1)
        late.grad = torch.ones(1) if step == 999 else None
        optimizer.step()
    assert optimizer.state[late]["step"] == 1
    assert optimizer.state[early]["step"] == 1000
    assert late.item() == pytest.approx(-0.1, rel=1e-5)


def test_state_dict_round_trip_continues_exactly() -> None:
    straight, broken = weights(), weights()
    walk(Adam(straight, weight_decay=0.1), num_steps=10)
    first = Adam(broken, weight_decay=0.1)
    walk(first, num_steps=5)
    second = Adam(broken, lr=77.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    walk(second, num_steps=5, start=5)
    assert all(torch.equal(a, b) for a, b in zip(straight, broken))


def test_closure_is_called_with_gradients_on() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = Adam([weight], lr=0.1)

    def closure() -> float:
        loss = (weight**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 1.0
    assert weight.item() == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be finite and at least 0, got -1.0"),
        ({"lr": float("nan")}, "lr must be finite and at least 0, got nan"),
        ({"eps": -1e-8}, "eps must be"),
        ({"weight_decay": -0.1}, "weight_decay must be"),
        ({"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\), got \(0.9, 1.0\)"),
        ({"betas": (0.9,)}, "betas must be two numbers"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adam(weights(), **options)
    with pytest.raises(ValueError, match=message):
        Adam([{"params": weights(), **options}])
