"""What each head is trained on and judged by: one row a head, the same for all models that have it.

A row has a loss on one batch's output, and scores on the outputs of a whole data set. The first
score is the one to maximise.

Shapes: B batch, K classes, T length, V vocabulary, H and W picture sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minift.objectives.scores import token_scores
from minift.training import metrics

Batch = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """How a head is trained and judged.

    loss : (output, batch) -> (mean loss, figures to show).
    decide : (output, batch) -> predictions, one row an example.
    scores : (predictions, data set) -> named scores, the main one first.
    """

    loss: Callable[[Any, Batch], tuple[Tensor, dict[str, Tensor]]]
    decide: Callable[[Any, Batch], Tensor]
    scores: Callable[[Tensor, Batch], dict[str, float]]


def label_loss(logits: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy; logits (B, K), labels (B,), or (B, T, K) and (B, T) for tags and next tokens,
    with -100 on padding."""
    score = token_scores(logits, batch["labels"])
    return score.loss, {"accuracy": score.accuracy}


def classify_scores(predicted: Tensor, dataset: Batch) -> dict[str, float]:
    """Accuracy; where all labels are 0 or 1 also F1 of class 1 and Matthews' correlation, as in
    GLUE."""
    labels = dataset["labels"]
    scores = {"accuracy": metrics.accuracy(predicted, labels)}
    if labels.ndim == 1 and int(labels.max()) <= 1:
        scores["f1"] = metrics.f1(predicted, labels)
        scores["matthews"] = metrics.matthews(predicted, labels)
    return scores


def lm_scores(predicted: Tensor, dataset: Batch) -> dict[str, float]:
    """Share of targets, and of their tokens, that are right given the right ones before."""
    labels = dataset["labels"]
    is_right = (predicted == labels) | (labels == -100)
    return {
        "whole": is_right.all(dim=1).float().mean().item(),
        "accuracy": metrics.accuracy(predicted, labels),
    }


def span_loss(logits: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean of two cross-entropies over positions; labels (B, 2) are the first and last token."""
    start, end = batch["labels"].unbind(1)
    start_loss = F.cross_entropy(logits.start.float(), start)
    end_loss = F.cross_entropy(logits.end.float(), end)
    exact = (logits.start.argmax(1) == start) & (logits.end.argmax(1) == end)
    return (start_loss + end_loss) / 2, {"exact": exact.float().mean()}


def best_spans(logits: Any, batch: Batch, max_length: int = 30) -> Tensor:
    """The likeliest span that can be an answer, (B, 2) (Devlin et al. 2019, 4.2 and 4.3).

    That is token 0 alone ([CLS] in BERT's layout), for "no answer", or up to `max_length` tokens of
    the context, in order: none of the question, no [SEP], no padding.
    """
    T = logits.start.shape[1]
    together = logits.start.float()[:, :, None] + logits.end.float()[:, None, :]  # (B, T, T)
    context = batch["is_context"]  # (B, T)
    in_order = torch.ones_like(together[0], dtype=torch.bool).triu().tril(max_length - 1)
    allowed = context[:, :, None] & context[:, None, :] & in_order  # (B, T, T)
    allowed[:, 0, 0] = True
    best = together.masked_fill(~allowed, -torch.inf).flatten(1).argmax(dim=1)  # (B,)
    return torch.stack([best // T, best % T], dim=1)


def span_scores(predicted: Tensor, dataset: Batch) -> dict[str, float]:
    """Exact match and F1 of positions: the tokens that are in both of two spans.

    SQuAD's own scores compare words, with every accepted answer: `datasets.answer_scores`.
    """
    labels = dataset["labels"]
    overlap = torch.minimum(predicted[:, 1], labels[:, 1]) - torch.maximum(
        predicted[:, 0], labels[:, 0]
    )
    common = (overlap + 1).clamp(min=0).float()
    sizes = (predicted[:, 1] - predicted[:, 0] + 1) + (labels[:, 1] - labels[:, 0] + 1)
    return {
        "exact": (predicted == labels).all(dim=1).float().mean().item(),
        "f1": (2 * common / sizes).mean().item(),
    }


def segment_loss(logits: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy a pixel; logits (B, K, H, W), masks (B, H, W)."""
    loss = F.cross_entropy(logits.float(), batch["masks"])
    return loss, {"pixels": (logits.argmax(1) == batch["masks"]).float().mean()}


def segment_scores(predicted: Tensor, dataset: Batch) -> dict[str, float]:
    masks = dataset["masks"]
    num_classes = int(max(masks.max(), predicted.max())) + 1
    return {
        "mean_iou": metrics.mean_iou(predicted, masks, num_classes),
        "pixels": metrics.accuracy(predicted, masks),
    }


def locate_loss(boxes: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Smooth L1 between boxes (B, 4), as Girshick 2015 has it, with a bend at a tenth of a side."""
    loss = F.smooth_l1_loss(boxes.float(), batch["boxes"], beta=0.1)
    return loss, {"box_iou": box_iou(boxes.float(), batch["boxes"]).mean()}


def locate_scores(predicted: Tensor, dataset: Batch) -> dict[str, float]:
    iou = box_iou(predicted, dataset["boxes"])
    return {"box_iou": iou.mean().item(), "hits": (iou > 0.5).float().mean().item()}


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes x0 y0 x1 y1, row by row: (B, 4), (B, 4) -> (B,)."""

    def area(box: Tensor) -> Tensor:
        return (box[:, 2:] - box[:, :2]).clamp(min=0).prod(dim=1)

    corner = torch.maximum(first[:, :2], second[:, :2])
    opposite = torch.minimum(first[:, 2:], second[:, 2:])
    common = area(torch.cat([corner, opposite], dim=1))
    return common / (area(first) + area(second) - common).clamp(min=1e-9)


def likeliest(logits: Tensor, batch: Batch) -> Tensor:
    return logits.argmax(dim=-1)


JUDGED: dict[str, Judged] = {
    "classify": Judged(label_loss, likeliest, classify_scores),
    "tag": Judged(label_loss, likeliest, classify_scores),
    "lm": Judged(label_loss, likeliest, lm_scores),
    "span": Judged(span_loss, best_spans, span_scores),
    "segment": Judged(segment_loss, lambda logits, batch: logits.argmax(dim=1), segment_scores),
    "locate": Judged(locate_loss, lambda boxes, batch: boxes.float(), locate_scores),
}
