"""The profile counts what it says, and knows the kernels; how long they take is not tested."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity
from torch.profiler import profile as torch_profile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def profile(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # the benchmarks are not part of the package
    return importlib.import_module("benchmarks.profile")


def kinds(profile, run):
    """(kernel, kind) of all that a run calls."""
    with torch_profile(activities=[ProfilerActivity.CPU]) as profiler, profile.named_parts():
        run()
    return [(event.name, kind) for event, kind in profile.kinds_of(profiler.events())]


def test_a_matrix_product_takes_two_operations_a_pair(profile):
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    assert profile.matrix_flops(lambda: a @ b) == 2 * 3 * 4 * 5


def test_fused_attention_counts_with_its_backward_pass(profile):
    B, H, T, D = 2, 3, 8, 4
    q, k, v = torch.randn(3, B, H, T, D, requires_grad=True).unbind()

    forward = profile.matrix_flops(lambda: F.scaled_dot_product_attention(q, k, v))
    both = profile.matrix_flops(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())

    product = 2 * B * H * T * T * D
    assert forward == 2 * product
    assert both == 7 * product  # the backward pass computes the scores once more


def test_the_kernels_of_a_bert_step_have_kinds(profile):
    growth = importlib.import_module("benchmarks.growth")
    torch.manual_seed(0)
    step = growth.bert_step(growth.Sizes(length=64, batch=4, width=64, vocabulary=500))
    step()

    shares, other = profile.kernel_shares(step)

    assert shares["other"] < 0.25, other
    assert sum(other.values()) == pytest.approx(shares["other"])
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    for kind in ("products", "attention", "norm", "activation", "dropout", "loss", "optimizer"):
        assert shares[kind] > 0


def test_a_kernel_belongs_to_the_part_that_calls_it_also_backwards(profile):
    norm, dropout = nn.LayerNorm(8), importlib.import_module("minift.models.dropout").Dropout(0.5)
    x = torch.randn(4, 8)

    found = kinds(profile, lambda: (2 * dropout(norm(x))).sum().backward())

    assert ("aten::random_", "dropout") in found
    assert ("aten::native_layer_norm_backward", "norm") in found
    products = [kind for name, kind in found if name == "aten::mul"]
    assert products == ["dropout", "sums", "sums", "dropout"]  # forwards, then back


def test_all_within_an_optimizer_is_its_own(profile):
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = torch.optim.SGD([weight], lr=0.1, foreach=False)
    assert ("aten::add_", "optimizer") in kinds(profile, optimizer.step)


def test_a_long_run_is_broken_off(profile, monkeypatch):
    monkeypatch.setattr(profile, "MAX_STEPS", 3)
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    optimizer = torch.optim.SGD([weight], lr=1.0)

    def run() -> None:
        for _ in range(5):
            optimizer.step()

    profile.first_steps(profile.Work(run, {}, num_steps=5))

    assert weight.item() == -3


def test_a_row_has_the_rate_of_the_median_step_and_its_share_of_the_peak(profile):
    shares = {**dict.fromkeys(profile.KINDS, 0.0), "products": 0.75, "other": 0.25}
    found = profile.Profile([9.0, 2.0, 1.0], 6e9, shares, {"aten::odd": 0.246, "aten::rare": 0.004})

    cells = importlib.import_module("benchmarks.report").cells
    row = cells(profile.COLUMNS, profile.row("step", found, peak=12e9))

    assert row[:5] == ["step", "2.0000", "6", "3.0", "25%"]
    told = {"products": "75%", "other": "25%"}
    assert row[5:] == [told.get(kind, "0%") for kind in profile.KINDS]
    assert profile.rest("step", found) == "step, other: aten::odd 24.6%"


@pytest.mark.parametrize("study", ["table", "profile", "growth"])
def test_an_unknown_part_is_refused(profile, monkeypatch, capsys, study):
    main = importlib.import_module("benchmarks.__main__")
    monkeypatch.setattr(sys, "argv", ["benchmarks", study, "--only", "nothing"])

    with pytest.raises(SystemExit) as stopped:
        main.main()

    assert stopped.value.code == 2
    assert "--only must be out of " in capsys.readouterr().err
