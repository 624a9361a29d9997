"""What fine-tuning changed: how far the weights went, and how alike the activations still are.

The first is plain, but says little of what a network computes: units may swap places, and the
weights are far apart while nothing has changed. The second compares what rows have in common
(Kornblith et al. 2019, Similarity of Neural Network Representations Revisited, section 3).

Shapes: N rows, C and D features.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.utils import parameters_to_vector

from minift.stages import Model


def weight_distances(before: Model, after: Model) -> dict[str, float]:
    """|w - w0| / |w0| of each stage, bottom first: stage name -> 0 where no weight has moved.

    w are the weights of `after`, w0 those of `before`, a model of the same shape. Stages without
    weights are left out.
    """
    distances = {}
    for name, stage in before.trunk.stages.items():
        if any(True for _ in stage.parameters()):
            start = parameters_to_vector(stage.parameters()).detach()
            end = parameters_to_vector(after.trunk.stages[name].parameters()).detach()
            distances[name] = ((end - start).norm() / start.norm()).item()
    return distances


def linear_cka(first: Tensor, second: Tensor) -> float:
    """How alike two sets of features of the same rows are, from 0 (nothing in common) to 1.

        CKA(X, Y) = |Y'X|^2 / (|X'X| |Y'Y|)        Frobenius norms, features less their means

    It is the cosine of the angle between X X' and Y Y', the tables of how alike any two rows are.
    So it stays the same when either side is rotated, its features swapped, or scaled as a whole.

    Parameters
    ----------
    first, second : X (N, C) and Y (N, D), of the same N inputs in the same order. Take N several
        times C and D: with fewer rows than features, chance alone makes any two sets alike.

    Raises
    ------
    ValueError : not as many rows, or features that are the same in every row.
    """
    if len(first) != len(second):
        raise ValueError(f"second must have {len(first)} rows as first has, got {len(second)}")
    # Double, so that features that did not change are alike up to 1e-15.
    x, y = (side.double() - side.double().mean(dim=0) for side in (first, second))
    sizes = (x.T @ x).norm() * (y.T @ y).norm()
    if not sizes > 0:
        raise ValueError("first and second must each have a feature that differs between rows")
    return ((y.T @ x).square().sum() / sizes).item()
