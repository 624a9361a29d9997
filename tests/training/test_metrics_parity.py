"""Our metrics against scikit-learn's, on random answers."""

from __future__ import annotations

import numpy as np
import pytest

from minift.training import metrics

pytestmark = pytest.mark.parity


@pytest.fixture
def sklearn_metrics():
    return pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("seed", range(5))
def test_binary_scores_equal_scikit_learn(sklearn_metrics, seed):
    rng = np.random.default_rng(seed)
    predicted, target = rng.integers(0, 2, 200), rng.integers(0, 2, 200)

    assert metrics.accuracy(predicted, target) == pytest.approx(
        sklearn_metrics.accuracy_score(target, predicted)
    )
    assert metrics.f1(predicted, target) == pytest.approx(
        sklearn_metrics.f1_score(target, predicted)
    )
    assert metrics.matthews(predicted, target) == pytest.approx(
        sklearn_metrics.matthews_corrcoef(target, predicted)
    )


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_equals_scikit_learn(sklearn_metrics, seed):
    rng = np.random.default_rng(seed)
    predicted, target = rng.integers(0, 5, 300), rng.integers(0, 5, 300)

    assert metrics.f1(predicted, target, average="macro") == pytest.approx(
        sklearn_metrics.f1_score(target, predicted, average="macro")
    )


@pytest.mark.parametrize("seed", range(5))
def test_mean_iou_equals_scikit_learns_macro_jaccard(sklearn_metrics, seed):
    rng = np.random.default_rng(seed)
    predicted, target = rng.integers(0, 4, 400), rng.integers(0, 4, 400)

    assert metrics.mean_iou(predicted, target, 4) == pytest.approx(
        sklearn_metrics.jaccard_score(target, predicted, average="macro")
    )
