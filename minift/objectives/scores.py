"""The loss and accuracy of predictions, one pair for each objective, and what guessing would get.

BERT's pretraining adds two losses, and each has its own labels: -100 marks the tokens that were
not chosen for MLM, while 0 is a class of NSP. Keeping the two scores apart also shows what their
sum hides: for its first few hundred steps a healthy run stays at chance in NSP, then jumps.

Shapes: B batch, T length, V vocabulary, K classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Score(NamedTuple):
    loss: Tensor  # mean over the labels that count, natural logarithm; 0 if there are none
    accuracy: Tensor  # in [0, 1], 0 if there are none
    num_labels: Tensor  # how many labels count


def token_scores(logits: Tensor, labels: Tensor, ignore_index: int = -100) -> Score:
    """Score predictions where labels differ from `ignore_index`.

    logits is (..., K) and labels (...) int64: classes are (B, K) with (B,), tokens (B, T, V) with
    (B, T). Returns scalars; the loss carries the gradient.
    """
    counts = labels != ignore_index
    num_labels = counts.sum()
    divisor = num_labels.clamp(min=1)
    flat = logits.flatten(0, -2), labels.flatten()
    loss = F.cross_entropy(*flat, ignore_index=ignore_index, reduction="sum") / divisor
    accuracy = ((logits.detach().argmax(dim=-1) == labels) & counts).sum() / divisor
    return Score(loss, accuracy, num_labels)


def mlm_nsp_loss(
    mlm_logits: Tensor, mlm_labels: Tensor, nsp_logits: Tensor, nsp_labels: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """BERT's pretraining loss, MLM + NSP (Devlin et al. 2019, A.2), and the figures of both.

    mlm_logits is (B, T, V), mlm_labels (B, T) with -100 where nothing is asked, nsp_logits (B, 2),
    nsp_labels (B,). Returns the loss and detached scalars named mlm_loss, nsp_loss, mlm_accuracy
    and nsp_accuracy.
    """
    mlm = token_scores(mlm_logits, mlm_labels)
    # -100 here as well. Code that ignores 0 in both, [PAD] for MLM, loses every pair of class 0
    # (is_next) from the loss: only one class is left, and NSP stays at chance for ever.
    nsp = token_scores(nsp_logits, nsp_labels)
    figures = {
        "mlm_loss": mlm.loss.detach(),
        "nsp_loss": nsp.loss.detach(),
        "mlm_accuracy": mlm.accuracy,
        "nsp_accuracy": nsp.accuracy,
    }
    return mlm.loss + nsp.loss, figures


def majority_accuracy(labels: Tensor, ignore_index: int = -100) -> float:
    """The accuracy of always answering the commonest label: the line to beat on uneven classes.

    MLM needs it most: in running text, one word in twenty is "the".
    """
    counted = labels[labels != ignore_index]
    if len(counted) == 0:
        raise ValueError("labels must hold at least one label that is not ignored")
    return float(torch.bincount(counted).max() / len(counted))
