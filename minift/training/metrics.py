"""Scores for the chapter's tasks: classes, amounts, answers, summaries, pictures.

Every function takes numpy arrays, tensors or lists, prediction first, and returns a float; the
scale is 0 to 1 or, for correlations, -1 to 1. A target class of -100 means "no label here" and is
left out, as in torch's losses. A score of nothing is no score: empty inputs raise ValueError.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

IGNORE_INDEX = -100
References = Sequence[str | Sequence[str]]  # per row one right answer, or several


def accuracy(pred: Any, target: Any) -> float:
    """Share of classes that are right; both are int, of any one shape."""
    pred, target = _classes(pred, target)
    return float((pred == target).mean())


def f1(pred: Any, target: Any, average: str = "binary", positive: int = 1) -> float:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN).

    average : "binary" gives the F1 of class `positive`; "macro" the plain mean over the classes
        that occur, so that rare ones count as much as frequent ones.
    A class that is neither predicted nor true scores 0.
    """
    if average not in ("binary", "macro"):
        raise ValueError(f"average must be binary or macro, got {average!r}")
    pred, target = _classes(pred, target)
    classes = np.union1d(pred, target) if average == "macro" else [positive]
    scores = []
    for label in classes:
        is_pred, is_true = pred == label, target == label
        total = is_pred.sum() + is_true.sum()
        scores.append(2 * (is_pred & is_true).sum() / total if total else 0.0)
    return float(np.mean(scores))


def matthews(pred: Any, target: Any) -> float:
    """Correlation of predicted and true classes, two or more (Matthews 1975, Gorodkin 2004).

    Guessing scores 0 however unequal the classes are, where accuracy flatters. Undefined if all
    predictions or all targets are of one class: 0 then.
    """
    pred, target = _classes(pred, target)
    classes = np.union1d(pred, target)
    is_pred = (pred[:, None] == classes).astype(np.float64)  # (N, K)
    is_true = (target[:, None] == classes).astype(np.float64)  # (N, K)
    # The covariance of one-hot vectors, summed over the classes, in place of that of numbers.
    return _correlation(is_pred, is_true)


def pearson(pred: Any, target: Any) -> float:
    """Linear correlation of two rows of numbers. Undefined if either is constant: 0 then."""
    pred, target = _same_length(pred, target)
    return _correlation(pred.astype(np.float64), target.astype(np.float64))


def spearman(pred: Any, target: Any) -> float:
    """Pearson correlation of the ranks; equal numbers share the mean of their ranks."""
    pred, target = _same_length(pred, target)
    return _correlation(_ranks(pred), _ranks(target))


def span_exact_match(answers: Sequence[str], references: References) -> float:
    """Share of answers that equal one of their references, after SQuAD's normalisation."""
    return _mean_of_best(answers, references, lambda a, b: float(_normalise(a) == _normalise(b)))


def span_f1(answers: Sequence[str], references: References) -> float:
    """F1 of the words an answer shares with its best reference (SQuAD: Rajpurkar et al. 2016).

    No words on both sides (SQuAD 2's "no answer") count as 1, on one side as 0.
    """

    def score(answer: str, reference: str) -> float:
        ours, theirs = _normalise(answer).split(), _normalise(reference).split()
        if not ours or not theirs:
            return float(ours == theirs)
        shared = (Counter(ours) & Counter(theirs)).total()
        return 2 * shared / (len(ours) + len(theirs))

    return _mean_of_best(answers, references, score)


def rouge_l(summaries: Sequence[str], references: References) -> float:
    """F of the longest common subsequence of words (ROUGE-L: Lin 2004, eq. 2-4, with beta = 1).

    Words are runs of letters and digits, in lower case and not stemmed. A text without words
    scores 0.
    """

    def score(summary: str, reference: str) -> float:
        ours, theirs = (re.findall(r"\w+", text.lower()) for text in (summary, reference))
        total = len(ours) + len(theirs)
        return 2 * _common_subsequence(ours, theirs) / total if total else 0.0

    return _mean_of_best(summaries, references, score)


def perplexity(mean_nll: float) -> float:
    """exp of the mean negative log-likelihood (nats a token): among how many equally likely tokens
    the model wavers. Too large for a float: infinity."""
    try:
        return math.exp(mean_nll)
    except OverflowError:
        return math.inf


def confusion(pred: Any, target: Any, num_classes: int) -> np.ndarray:
    """Count which class is taken for which: int (K, K), a row for each true class, a column for
    each predicted one; the right answers are on the diagonal.

    pred and target are int of any one shape, with classes 0..num_classes-1.
    """
    pred, target = _classes(pred, target)
    for name, values in (("pred", pred), ("target", target)):
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(
                f"{name} must lie in 0..{num_classes - 1}, got {values.min()}..{values.max()}"
            )
    # In 64 bits: a byte could not hold the product.
    pairs = np.bincount(target.astype(np.int64) * num_classes + pred, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def mean_iou(pred: Any, target: Any, num_classes: int) -> float:
    """Intersection over union of the pixels of a class, averaged over the classes.

    pred and target are int of any one shape, with classes 0..num_classes-1. Pixels are counted over
    all pictures together (Everingham et al. 2015); classes that occur on neither side are left out.
    """
    pairs = confusion(pred, target, num_classes)
    intersection = pairs.diagonal()
    union = pairs.sum(0) + pairs.sum(1) - intersection
    return float((intersection[union > 0] / union[union > 0]).mean())


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        # numpy knows no bfloat16, which the outputs of a model often are.
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)


def _same_length(pred: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    pred, target = _array(pred), _array(target)
    if pred.shape != target.shape:
        raise ValueError(
            f"pred and target must have one shape, got {pred.shape} and {target.shape}"
        )
    if pred.size == 0:
        raise ValueError("pred and target are empty: there is nothing to score")
    return pred.reshape(-1), target.reshape(-1)


def _classes(pred: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    pred, target = _same_length(pred, target)
    labelled = target != IGNORE_INDEX
    if not labelled.any():
        raise ValueError(f"target is {IGNORE_INDEX} everywhere: there is nothing to score")
    return pred[labelled], target[labelled]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation over the rows of (N,) or (N, K) arrays, the covariances summed over K."""
    if (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values get the mean of the ranks they take up together."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = count.cumsum()
    return (last - (count - 1) / 2)[place]


def _normalise(answer: str) -> str:
    """SQuAD's: lower case, no punctuation, no articles, single spaces; in this order."""
    answer = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", answer).split())


def _common_subsequence(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, by dynamic programming a row at a time."""
    above = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for column, other in enumerate(b):
            row.append(above[column] + 1 if word == other else max(above[column + 1], row[-1]))
        above = row
    return above[-1]


def _mean_of_best(
    texts: Sequence[str], references: References, score: Callable[[str, str], float]
) -> float:
    """Score each text against the reference that suits it best, and average."""
    if len(texts) != len(references):
        raise ValueError(f"got {len(texts)} texts, but references for {len(references)}")
    if not texts:
        raise ValueError("there are no texts to score")
    best = []
    for text, right in zip(texts, references):
        # A string is a sequence of strings too: its letters are not what is meant.
        best.append(max(score(text, r) for r in ([right] if isinstance(right, str) else right)))
    return sum(best) / len(best)
