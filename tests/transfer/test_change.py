"""How far weights went, and linear CKA by its properties."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import minift
from minift.transfer.change import linear_cka, weight_distances


def drawn(N: int, C: int, seed: int = 0) -> Tensor:
    """Features of unlike scales, with means of their own."""
    generator = torch.Generator().manual_seed(seed)
    return 3 + torch.randn(N, C, generator=generator) * torch.arange(1, C + 1)


def test_distance_is_relative_and_stage_by_stage(make_model):
    before, after = make_model(), make_model()
    with torch.no_grad():
        for parameter in after.trunk.stages["block0"].parameters():
            parameter *= 1.5
    distances = weight_distances(before, after)
    assert list(distances) == list(before.trunk.stages)
    assert distances == {"embedding": 0.0, "block0": pytest.approx(0.5), "block1": 0.0}


def test_features_are_alike_with_themselves():
    x = drawn(50, 4)
    assert linear_cka(x, x) == pytest.approx(1.0, abs=1e-12)


def test_rotation_scale_and_shift_change_nothing():
    x, y = drawn(50, 4), drawn(50, 6, seed=1)
    y[:, :4] += x
    rotation = torch.linalg.qr(drawn(6, 6, seed=2)).Q
    moved = 7 * y @ rotation - 2
    assert 0.2 < linear_cka(x, y) < 0.8
    assert linear_cka(x, moved) == pytest.approx(linear_cka(x, y), rel=1e-5)
    assert linear_cka(moved, x) == pytest.approx(linear_cka(x, moved))


def test_a_map_that_is_no_rotation_changes_it():
    """So it sees what a regression would not: which directions are large."""
    x = drawn(50, 4)
    assert linear_cka(x, x * torch.tensor([10.0, 1.0, 1.0, 0.1])) < 0.9


def test_independent_features_have_little_in_common_if_rows_are_many():
    assert linear_cka(drawn(5000, 4), drawn(5000, 6, seed=1)) < 0.01
    assert linear_cka(torch.randn(10, 1000), torch.randn(10, 1000)) > 0.9  # chance alone


def test_it_is_the_cosine_between_the_tables_of_rows():
    """The Gram form: K = X X', L = Y Y', each less the means of its rows and columns."""
    x, y = drawn(30, 4).double(), drawn(30, 6, seed=1).double()
    y[:, :4] += x
    center = torch.eye(30).double() - 1 / 30
    K, L = (center @ side @ side.T @ center for side in (x, y))
    cosine = (K * L).sum() / (K.norm() * L.norm())
    assert linear_cka(x, y) == pytest.approx(cosine.item(), abs=1e-12)


@pytest.mark.parametrize(
    ("second", "message"),
    [(torch.zeros(7, 2), "second must have 8 rows"), (torch.ones(8, 2), "differs between rows")],
)
def test_what_cannot_be_compared_is_refused(second, message):
    with pytest.raises(ValueError, match=message):
        linear_cka(drawn(8, 4), second)


def test_a_stage_without_weights_has_gone_nowhere():
    model = minift.create_model("word2vec", head=None)
    assert weight_distances(model, model) == {"embedding": 0.0}
