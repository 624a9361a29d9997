"""What each head is trained on and judged by, on answers whose scores are known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from minift.models.heads import SpanLogits
from minift.recipes.heads import (
    JUDGED,
    best_spans,
    box_iou,
    classify_scores,
    lm_scores,
    segment_scores,
    span_loss,
    span_scores,
)


def test_classes_are_scored_as_glue_does_where_there_are_two():
    predicted, labels = torch.tensor([1, 1, 0, 0]), torch.tensor([1, 0, 0, 0])

    scores = classify_scores(predicted, {"labels": labels})

    assert list(scores) == ["accuracy", "f1", "matthews"]
    assert scores["accuracy"] == 0.75
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["matthews"] == pytest.approx(2 / math.sqrt(2 * 1 * 3 * 2))
    assert list(classify_scores(predicted, {"labels": labels + 1})) == ["accuracy"]


def test_padding_is_neither_right_nor_wrong():
    labels = torch.tensor([[1, 2, -100], [3, -100, -100]])

    right = torch.tensor([[1, 2, 9], [3, 9, 9]])
    half = torch.tensor([[1, 0, 9], [3, 9, 9]])

    assert classify_scores(right, {"labels": labels}) == {"accuracy": 1.0}
    assert lm_scores(right, {"labels": labels}) == {"whole": 1.0, "accuracy": 1.0}
    assert lm_scores(half, {"labels": labels}) == {
        "whole": 0.5,
        "accuracy": pytest.approx(2 / 3),
    }


@pytest.mark.parametrize("name", ["classify", "tag", "lm"])
def test_the_loss_is_the_mean_over_labels_that_count(name):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5), torch.tensor([[1, 2, -100], [3, -100, -100]])

    loss, figures = JUDGED[name].loss(logits, {"labels": labels})

    torch.testing.assert_close(loss, F.cross_entropy(logits.flatten(0, 1), labels.flatten()))
    assert 0 <= figures["accuracy"] <= 1


def one_hot(position: int) -> torch.Tensor:
    return 10.0 * F.one_hot(torch.tensor([position]), 9)


def row_of(is_context: list[int]) -> dict[str, torch.Tensor]:
    return {"is_context": torch.tensor([is_context], dtype=torch.bool)}


# [CLS] and then nothing but context.
CONTEXT = row_of([0, 1, 1, 1, 1, 1, 1, 1, 1])
# [CLS] question [SEP] context context [SEP] [PAD] [PAD] [PAD]
PADDED = row_of([0, 0, 0, 1, 1, 0, 0, 0, 0])


def test_the_best_span_is_the_likeliest():
    assert best_spans(SpanLogits(one_hot(2), one_hot(5)), CONTEXT).tolist() == [[2, 5]]


@pytest.mark.parametrize("position", [1, 2, 5, 6, 8])
def test_question_separator_and_padding_are_never_the_answer(position):
    likeliest, second = one_hot(position), 0.1 * one_hot(3) + 0.2 * one_hot(4)

    logits = SpanLogits(likeliest + second, likeliest + second)

    assert best_spans(logits, PADDED).tolist() == [[4, 4]]


def test_no_answer_is_cls_alone():
    assert best_spans(SpanLogits(one_hot(0), one_hot(0)), PADDED).tolist() == [[0, 0]]
    start = one_hot(0) + 0.5 * one_hot(3)  # no answer goes from [CLS] to somewhere else
    assert best_spans(SpanLogits(start, one_hot(4)), PADDED).tolist() == [[3, 4]]


def test_a_span_does_not_end_before_it_starts():
    start, end = one_hot(5), one_hot(2) + 0.5 * one_hot(6)

    assert best_spans(SpanLogits(start, end), CONTEXT).tolist() == [[5, 6]]


def test_a_span_is_at_most_so_long():
    start, end = one_hot(1), one_hot(7) + 0.5 * one_hot(3)

    assert best_spans(SpanLogits(start, end), CONTEXT, max_length=7).tolist() == [[1, 7]]
    assert best_spans(SpanLogits(start, end), CONTEXT, max_length=6).tolist() == [[1, 3]]


def test_span_loss_is_the_mean_of_both_ends():
    logits = SpanLogits(torch.zeros(1, 9), one_hot(5))

    loss, figures = span_loss(logits, {"labels": torch.tensor([[0, 5]])})

    assert loss.item() == pytest.approx(math.log(9) / 2, abs=1e-3)
    assert figures["exact"] == 1


def test_spans_are_scored_by_the_tokens_they_share():
    predicted = torch.tensor([[2, 4], [2, 4], [6, 7]])
    labels = torch.tensor([[2, 4], [3, 6], [2, 4]])

    scores = span_scores(predicted, {"labels": labels})

    # 3 and 4 tokens with 2 in common: F1 = 4 / 7.
    assert scores["exact"] == pytest.approx(1 / 3)
    assert scores["f1"] == pytest.approx((1 + 4 / 7 + 0) / 3)


def test_boxes_are_scored_by_their_overlap():
    box = torch.tensor([[0.0, 0.0, 0.5, 0.5]])

    assert box_iou(box, box).item() == 1
    assert box_iou(box, box + 0.5).item() == 0
    assert box_iou(box, torch.tensor([[0.25, 0.0, 0.75, 0.5]])).item() == pytest.approx(1 / 3)
    assert box_iou(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_masks_are_scored_by_class():
    masks = torch.tensor([[[0, 0], [1, 1]]])

    assert segment_scores(masks, {"masks": masks}) == {"mean_iou": 1.0, "pixels": 1.0}
    scores = segment_scores(torch.tensor([[[0, 0], [0, 1]]]), {"masks": masks})
    assert scores["pixels"] == 0.75
    assert scores["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)


@pytest.mark.parametrize("name", JUDGED)
def test_no_loss_has_a_gradient_where_the_answer_is_perfect(name):
    labels = torch.tensor([2, 1])
    perfect = {
        "classify": (100.0 * F.one_hot(labels, 3), {"labels": labels}),
        "tag": (100.0 * F.one_hot(labels[None], 3), {"labels": labels[None]}),
        "lm": (100.0 * F.one_hot(labels[None], 3), {"labels": labels[None]}),
        "span": (
            SpanLogits(10 * one_hot(2), 10 * one_hot(5)),
            {"labels": torch.tensor([[2, 5]]), **CONTEXT},
        ),
        "segment": (
            100.0 * F.one_hot(labels.view(1, 1, 2), 3).permute(0, 3, 1, 2),
            {"masks": labels.view(1, 1, 2)},
        ),
        "locate": (torch.tensor([[0.1, 0.2, 0.3, 0.4]]),) * 2,
    }
    output, batch = perfect[name]
    batch = {"boxes": batch} if name == "locate" else batch
    judged = JUDGED[name]

    assert judged.loss(output, batch)[0].item() == pytest.approx(0, abs=1e-5)
    assert next(iter(judged.scores(judged.decide(output, batch), batch).values())) == 1
