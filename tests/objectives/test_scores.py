"""Scores: only what is asked counts, and NSP keeps both of its classes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from minift.objectives.scores import (
    majority_accuracy,
    mlm_nsp_loss,
    token_scores,
)


def test_loss_is_torchs_cross_entropy_and_so_is_its_gradient():
    torch.manual_seed(0)
    logits = torch.randn(2, 6, 9, requires_grad=True)
    labels = torch.randint(9, (2, 6))
    labels[:, ::2] = -100
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    loss = token_scores(logits, labels).loss

    torch.testing.assert_close(loss, expected)
    (grad,) = torch.autograd.grad(loss, logits)
    (expected_grad,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(grad, expected_grad)


def test_accuracy_counts_asked_labels_only():
    labels = torch.tensor([[0, 1, 2, -100]])
    logits = F.one_hot(torch.tensor([[0, 1, 0, 0]]), 3).float()
    score = token_scores(logits, labels)
    assert score.accuracy == pytest.approx(2 / 3)
    assert score.num_labels == 3


def test_nothing_asked_is_no_loss_rather_than_nan():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    score = token_scores(logits, torch.full((2, 3), -100))
    score.loss.backward()
    assert (score.loss, score.accuracy, score.num_labels) == (0, 0, 0)
    assert (logits.grad == 0).all()


def test_pretraining_loss_is_the_sum_and_the_figures_are_separate():
    torch.manual_seed(0)
    mlm = torch.randn(4, 6, 9), torch.randint(9, (4, 6))
    nsp = torch.randn(4, 2), torch.tensor([0, 1, 0, 1])
    loss, figures = mlm_nsp_loss(*mlm, *nsp)
    assert figures["mlm_loss"] == token_scores(*mlm).loss
    assert figures["nsp_accuracy"] == token_scores(*nsp).accuracy
    torch.testing.assert_close(loss, figures["mlm_loss"] + figures["nsp_loss"])


def nsp_gradient(loss_function) -> torch.Tensor:
    """|gradient| by pair, of four pairs: is_next (0), not_next (1), is_next, not_next."""
    logits = torch.zeros(4, 2, requires_grad=True)
    loss_function(logits, torch.tensor([0, 1, 0, 1])).backward()
    return logits.grad.abs().sum(1)


def test_every_pair_teaches_next_sentence_prediction():
    no_mlm = torch.zeros(4, 3, 5), torch.full((4, 3), -100)
    gradient = nsp_gradient(lambda logits, labels: mlm_nsp_loss(*no_mlm, logits, labels)[0])
    assert (gradient > 0).all()


def test_ignoring_label_zero_would_drop_every_true_pair():
    gradient = nsp_gradient(lambda x, labels: F.cross_entropy(x, labels, ignore_index=0))
    assert (gradient > 0).tolist() == [False, True, False, True]


def test_majority_is_the_share_of_the_commonest_asked_label():
    assert majority_accuracy(torch.tensor([2, 2, 2, 5, -100, -100])) == 0.75
    with pytest.raises(ValueError, match="labels must hold at least one"):
        majority_accuracy(torch.tensor([-100]))
