"""The projection is the one of the largest variance, by another way and for a known plane."""

from __future__ import annotations

import pytest
import torch

from minift.recipes.projection import pca


def test_components_are_the_covariances_eigenvectors() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(50, 6) * torch.tensor([5.0, 1.0, 0.5, 3.0, 0.2, 0.1]) + 7
    found = pca(vectors, num_components=3)
    variances, directions = torch.linalg.eigh(torch.cov(vectors.double().T))  # ascending
    torch.testing.assert_close(found.shares, variances.flip(0)[:3] / variances.sum())
    turned = (found.components @ directions.flip(1)[:, :3]).abs()  # up to a sign
    torch.testing.assert_close(turned, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(found.points.var(dim=0), variances.flip(0)[:3])


def test_a_planted_plane_is_found() -> None:
    torch.manual_seed(0)
    plane, _ = torch.linalg.qr(torch.randn(20, 2, dtype=torch.float64))
    vectors = torch.randn(100, 2, dtype=torch.float64) @ plane.T
    found = pca(vectors + 1e-4 * torch.randn(100, 20))
    assert found.shares.sum() > 0.999
    assert torch.linalg.svdvals(found.components @ plane).min() > 0.999  # no angle between them


def test_mirrored_points_give_the_same_components() -> None:
    vectors = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pca(-vectors).components, pca(vectors).components)


def test_equal_points_lie_at_the_centre() -> None:
    found = pca(torch.ones(4, 3))
    assert torch.equal(found.points, torch.zeros(4, 2, dtype=torch.float64))
    assert found.shares.tolist() == [0, 0]


def test_more_components_than_there_can_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_components must be in 1..1 for 2 vectors"):
        pca(torch.randn(2, 5))
