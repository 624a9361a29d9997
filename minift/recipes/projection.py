"""Principal components: the flat picture of points that keeps most of their spread.

Pearson 1901, "On lines and planes of closest fit to systems of points in space": the plane from
which the points' squared distances are smallest. Hotelling 1933, "Analysis of a complex of
statistical variables into principal components": the directions in which they vary most. The two
are the same plane, and the singular value decomposition of the centred points finds it.

Shapes: N points, C dimensions, K components.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Projection(NamedTuple):
    points: Tensor  # (N, K), centred at zero
    components: Tensor  # (K, C), orthonormal directions, the one of the largest variance first
    shares: Tensor  # (K,), of all the variance


def pca(vectors: Tensor, num_components: int = 2) -> Projection:
    """Project the rows of `vectors`, (N, C), onto their first principal components.

    A component's sign is free; here its largest entry is positive, so that pictures do not flip.

    Raises
    ------
    ValueError : more components than N - 1 points or C dimensions can have.
    """
    N, C = vectors.shape
    if not 1 <= num_components <= min(N - 1, C):
        raise ValueError(
            f"num_components must be in 1..{min(N - 1, C)} for {N} vectors of {C} numbers, "
            f"got {num_components}"
        )
    centred = vectors.double() - vectors.double().mean(dim=0)
    _, spreads, directions = torch.linalg.svd(centred, full_matrices=False)
    components = directions[:num_components]  # (K, C)
    largest = components.abs().argmax(dim=1, keepdim=True)  # (K, 1)
    components = components * components.gather(1, largest).sign()
    variances = spreads**2
    shares = variances[:num_components] / variances.sum().clamp(min=1e-300)  # all in one point: 0
    return Projection(centred @ components.T, components, shares)
