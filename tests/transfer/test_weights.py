"""Copying weights: what fits goes over whole, and every name is accounted for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minift.transfer.weights import copy_matching


def test_same_network_is_copied_whole_with_running_statistics(make_model, moved):
    source, target = make_model(seed=0), make_model(seed=1)
    source.trunk.stages["block0"].norm.running_mean.fill_(5.0)
    report = copy_matching(target, source.state_dict())
    assert not moved(source.state_dict(), target)
    assert set(report.copied) == set(source.state_dict())
    assert report.summary() == f"copied {len(report.copied)}"


def test_every_name_stands_in_exactly_one_list(make_model):
    target = make_model()
    state = dict(make_model(seed=1).state_dict())
    state["extra"] = torch.zeros(1)
    state["head.linear.weight"] = torch.zeros(7, 8)
    del state["head.linear.bias"]
    report = copy_matching(target, state)
    mismatched = [mismatch.name for mismatch in report.mismatched]
    assert report.unexpected == ["extra"]
    assert report.missing == ["head.linear.bias"]
    assert mismatched == ["head.linear.weight"]
    assert sorted(report.copied + report.missing + mismatched) == sorted(target.state_dict())


def test_what_does_not_fit_stays_as_it_was(make_model, snapshot, moved):
    target = make_model()
    before = snapshot(target)
    state = {"head.linear.weight": torch.zeros(2, 8), "head.linear.bias": torch.full((3,), 4.0)}
    copy_matching(target, state)
    assert moved(before, target) == {"head.linear.bias"}


def test_summary_is_one_line_with_shapes_and_the_first_names():
    target = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    report = copy_matching(target, {"0.weight": torch.zeros(5, 4), "x": torch.zeros(1)})
    assert report.summary() == (
        "copied 0; missing 5: 0.bias, 1.weight, 1.bias, ...; unexpected 1: x; "
        "mismatched 1: 0.weight (model (3, 4), state (5, 4))"
    )


@pytest.mark.parametrize(
    ("theirs", "prefixes"),
    [
        ("bert.", {"bert.": "trunk."}),
        ("", {"": "trunk."}),
        ("a.b.", {"a.": "x.", "a.b.": "trunk."}),
    ],
)
def test_prefixes_rename_and_the_longest_counts(make_model, moved, theirs, prefixes):
    source, target = make_model(seed=0), make_model(seed=1)
    state = {theirs + name: value for name, value in source.trunk.state_dict().items()}
    report = copy_matching(target, state, prefixes=prefixes)
    assert moved(source.state_dict(), target) == {"head.linear.weight", "head.linear.bias"}
    assert report.missing == ["head.linear.weight", "head.linear.bias"]


def test_unexpected_names_are_those_of_the_state(make_model):
    report = copy_matching(make_model(), {"bert.x": torch.zeros(1)}, prefixes={"bert.": "trunk."})
    assert report.unexpected == ["bert.x"]


def test_tied_weight_found_under_one_name_is_not_missing_under_the_other(make_model):
    source, target = make_model("tied", seed=0), make_model("tied", seed=1)
    state = dict(source.state_dict())
    del state["head.weight"]
    report = copy_matching(target, state)
    assert not report.missing
    assert torch.equal(target.head.weight, source.head.weight)
    assert target.head.weight is target.trunk.stages["embedding"].token.weight


def test_two_values_for_a_tied_weight_are_refused_before_anything_is_copied(
    make_model, snapshot, moved
):
    target = make_model("tied", seed=1)
    before = snapshot(target)
    state = dict(make_model("tied").state_dict())
    state["head.weight"] = state["head.weight"] + 1
    with pytest.raises(ValueError, match=r"one value for 'head\.weight', got two in 'trunk"):
        copy_matching(target, state)
    assert not moved(before, target)


def test_checkpoint_around_the_state_is_refused(make_model):
    model = make_model()
    with pytest.raises(ValueError, match="got OrderedDict for 'model'"):
        copy_matching(model, {"model": model.state_dict()})


def test_gradients_and_identity_of_parameters_survive(make_model):
    target = make_model()
    parameters = list(target.parameters())
    copy_matching(target, make_model(seed=1).state_dict())
    assert all(a is b for a, b in zip(parameters, target.parameters()))
    assert all(p.requires_grad and p.grad_fn is None for p in parameters)


def test_a_value_that_is_no_number_is_copied_like_others():
    module = nn.Linear(1, 1)
    copy_matching(module, {"weight": torch.tensor([[torch.nan]]), "bias": torch.zeros(1)})
    assert module.weight.isnan().all()
