"""Scores, against values worked out by hand and against their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from minift.training import metrics

# true 1 1 1 0 0 0 0 0, predicted 1 1 0 1 0 0 0 0:  TP 2, FN 1, FP 1, TN 4
TARGET = [1, 1, 1, 0, 0, 0, 0, 0]
PRED = [1, 1, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_takes_lists_arrays_and_tensors(kind: type) -> None:
    score = metrics.accuracy(kind(PRED), kind(TARGET))
    assert score == 0.75
    assert type(score) is float


def test_unlabelled_positions_are_left_out() -> None:
    pred, target = torch.tensor([[1, 0], [2, 5]]), torch.tensor([[1, -100], [0, -100]])
    assert metrics.accuracy(pred, target) == 0.5
    assert metrics.mean_iou(pred[:1], target[:1], num_classes=2) == 1.0


def test_f1_by_hand() -> None:
    assert metrics.f1(PRED, TARGET) == pytest.approx(2 / 3)
    assert metrics.f1(PRED, TARGET, positive=0) == pytest.approx(4 / 5)
    assert metrics.f1(PRED, TARGET, average="macro") == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics.f1([0, 0], [0, 0]) == 0.0
    assert metrics.f1([0, 0], [0, 0], average="macro") == 1.0


def test_matthews_by_hand() -> None:
    # (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) = 7 / sqrt(3 * 3 * 5 * 5)
    assert metrics.matthews(PRED, TARGET) == pytest.approx(7 / 15)
    assert metrics.matthews(TARGET, TARGET) == pytest.approx(1.0)
    assert metrics.matthews([1 - t for t in TARGET], TARGET) == pytest.approx(-1.0)


def test_matthews_of_several_classes_is_gorodkins() -> None:
    generator = np.random.default_rng(0)
    target = generator.integers(0, 4, 200)
    pred = np.where(generator.random(200) < 0.5, target, generator.integers(0, 4, 200))
    right, total = (pred == target).sum(), 200
    p, t = np.bincount(pred, minlength=4), np.bincount(target, minlength=4)
    expected = (right * total - p @ t) / math.sqrt((total**2 - p @ p) * (total**2 - t @ t))
    assert metrics.matthews(pred, target) == pytest.approx(expected)


def test_correlations_with_a_constant_side_are_zero() -> None:
    assert metrics.matthews([1] * 8, TARGET) == 0.0
    assert metrics.matthews(PRED, [0] * 8) == 0.0
    assert metrics.pearson([0.1] * 3, [1.0, 2.0, 3.0]) == 0.0
    assert metrics.spearman([1.0, 2.0, 3.0], [0.1] * 3) == 0.0


def test_pearson_by_hand() -> None:
    # deviations (-1, 0, 1) and (-2, 1, 1): 3 / sqrt(2 * 6)
    assert metrics.pearson([1, 2, 3], [0, 3, 3]) == pytest.approx(3 / math.sqrt(12))
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 50))
    assert metrics.pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert metrics.pearson(3 * a + 7, -2 * a) == pytest.approx(-1.0)


def test_pearson_takes_bfloat16() -> None:
    values = torch.tensor([1.0, 2.0, 4.0], dtype=torch.bfloat16)
    assert metrics.pearson(values, values) == pytest.approx(1.0)


def test_spearman_averages_the_ranks_of_ties() -> None:
    # ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5 / sqrt(4.5 * 5)
    assert metrics.spearman([1, 5, 5, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))


def test_spearman_sees_only_the_order() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert metrics.spearman(np.exp(values), values**3) == pytest.approx(1.0)


def test_span_scores_normalise_as_squad_does() -> None:
    assert metrics.span_exact_match(["The  U.S. Army!"], ["us army"]) == 1.0
    assert metrics.span_exact_match(["theatre"], ["atre"]) == 0.0
    assert (
        metrics.span_exact_match(["a\u2013b"], ["\u2013b"]) == 1.0
    )  # the article ends at the dash


def test_span_scores_take_the_best_reference() -> None:
    assert metrics.span_exact_match(["red", "blue"], [["green", "red"], ["green"]]) == 0.5
    assert metrics.span_f1(["big red dog"], [["cat", "red dog"]]) == pytest.approx(0.8)


def test_span_f1_counts_repeated_words_as_often_as_both_have_them() -> None:
    assert metrics.span_f1(["no no no"], ["no no yes"]) == pytest.approx(2 / 3)


def test_span_f1_of_no_answer() -> None:
    assert metrics.span_f1(["", "the", "x"], ["", "", ""]) == pytest.approx(2 / 3)


def test_rouge_l_by_hand() -> None:
    # longest common subsequence "police the gunman", 3 of 4 words on both sides
    ours, reference = "Police kill the gunman.", "police ended the gunman"
    assert metrics.rouge_l([ours], [reference]) == pytest.approx(0.75)
    assert metrics.rouge_l(["b a"], ["a b"]) == pytest.approx(0.5)
    assert metrics.rouge_l(["", "x"], ["", "x y z"]) == pytest.approx(0.25)


def test_perplexity_of_guessing_among_k_is_k() -> None:
    assert metrics.perplexity(math.log(50)) == pytest.approx(50)
    assert metrics.perplexity(1e6) == math.inf


def test_confusion_counts_true_classes_in_rows_and_predicted_ones_in_columns() -> None:
    table = metrics.confusion([1, 1, 2, 0, 1], [0, 1, 2, -100, 0], num_classes=3)
    assert table.tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 1]]


def test_mean_iou_by_hand() -> None:
    target = torch.tensor([[0, 0, 1], [0, 1, 1]])
    pred = torch.tensor([[0, 1, 1], [0, 1, 0]])
    # class 0: 2 shared of 4; class 1: 2 shared of 4; classes 2 and 3 occur nowhere
    assert metrics.mean_iou(pred, target, num_classes=4) == pytest.approx(0.5)
    assert metrics.mean_iou(target, target, num_classes=4) == 1.0
    # a class that is predicted but never true counts with 0
    assert metrics.mean_iou([2, 0], [0, 0], num_classes=3) == pytest.approx((0.5 + 0) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([1, 2], [1]), r"one shape, got \(2,\) and \(1,\)"),
        (lambda: metrics.accuracy([], []), "nothing to score"),
        (lambda: metrics.accuracy([1], [-100]), "-100 everywhere"),
        (lambda: metrics.f1([1], [1], average="micro"), "binary or macro, got 'micro'"),
        (lambda: metrics.mean_iou([3], [0], num_classes=3), r"pred must lie in 0..2, got 3..3"),
        (lambda: metrics.span_f1(["a"], []), "got 1 texts, but references for 0"),
        (lambda: metrics.rouge_l([], []), "no texts to score"),
    ],
)
def test_mistakes_are_refused(call: Callable[[], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_bytes_do_not_overflow() -> None:
    labels = np.array([20, 3, 16], dtype=np.uint8)
    counts = metrics.confusion(labels, labels, 21)
    assert np.array_equal(np.argwhere(counts), [[3, 3], [16, 16], [20, 20]])
    assert metrics.mean_iou(labels, labels, 21) == 1
