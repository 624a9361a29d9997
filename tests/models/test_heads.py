"""The sequence heads: what they read, what they return, what they refuse."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from minift.models.bert import BertConfig
from minift.models.heads import (
    ClassifyHead,
    LanguageModelHead,
    MaskedLMHead,
    PretrainHead,
    SpanHead,
    TagHead,
    head_of,
)

B, T, C, V, K = 3, 5, 16, 40, 4
CONFIG = BertConfig(vocab_size=V, hidden_size=C, dropout=0.0)


class Flow(NamedTuple):
    hidden: Tensor

    def feature(self) -> Tensor:
        return self.hidden[:, 0]


@pytest.fixture
def flow() -> Flow:
    torch.manual_seed(0)
    return Flow(torch.randn(B, T, C))


@pytest.fixture
def embedding_weight() -> nn.Parameter:
    torch.manual_seed(1)
    return nn.Parameter(torch.randn(V, C))


def test_classify_reads_the_feature_only(flow):
    head = ClassifyHead(CONFIG, K)
    logits = head(flow)
    changed = flow.hidden.clone()
    changed[:, 1:] += 1

    assert logits.shape == (B, K)
    assert torch.equal(head(Flow(changed)), logits)
    assert not torch.equal(head(Flow(flow.hidden + 1)), logits)


def test_classify_drops_parts_of_the_feature_in_training(flow):
    head = ClassifyHead(BertConfig(hidden_size=C, dropout=0.5), K)

    assert not torch.equal(head(flow), head(flow))
    assert torch.equal(head.eval()(flow), head(flow))


def test_tags_are_classes_of_single_tokens(flow):
    head = TagHead(CONFIG, K)
    logits = head(flow)
    changed = flow.hidden.clone()
    changed[:, 2] += 1

    assert logits.shape == (B, T, K)
    is_changed = (head(Flow(changed)) != logits).any(-1)
    assert is_changed.tolist() == [[False, False, True, False, False]] * B


def test_span_is_two_scores_a_position(flow):
    head = SpanHead(CONFIG)

    logits = head(flow)

    both = flow.hidden @ head.start_and_end.weight.T
    torch.testing.assert_close(torch.stack([logits.start, logits.end], dim=-1), both)


@pytest.mark.parametrize("kind", ["mlm", "lm", "pretrain"])
def test_selected_equals_picking_from_all_logits(flow, embedding_weight, kind):
    head = {
        "mlm": MaskedLMHead(CONFIG, embedding_weight),
        "lm": LanguageModelHead(CONFIG, embedding_weight),
        "pretrain": PretrainHead(CONFIG, embedding_weight),
    }[kind]
    selected = torch.rand(B, T) > 0.5

    everywhere, picked = head(flow), head(flow, selected)

    if kind == "pretrain":
        torch.testing.assert_close(picked.nsp, everywhere.nsp)
        everywhere, picked = everywhere.mlm, picked.mlm
    assert everywhere.shape == (B, T, V)
    torch.testing.assert_close(picked, everywhere[selected])


def test_a_tied_language_model_is_the_embedding_used_backwards(flow, embedding_weight):
    head = LanguageModelHead(CONFIG, embedding_weight, scale=0.25)

    torch.testing.assert_close(head(flow), 0.25 * flow.hidden @ embedding_weight.T)
    assert [p is embedding_weight for p in head.parameters()] == [True]


def test_an_untied_language_model_starts_at_moderate_logits():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=400, hidden_size=64)

    logits = LanguageModelHead(config, None)(Flow(torch.randn(8, 8, 64)))

    assert 0.8 < logits.std() < 1.2


def test_building_a_tied_head_leaves_the_embedding_alone(embedding_weight):
    before = embedding_weight.detach().clone()

    PretrainHead(CONFIG, embedding_weight)
    LanguageModelHead(CONFIG, embedding_weight)

    assert torch.equal(embedding_weight, before)


def test_an_unknown_head_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"head must be one of \['a', 'b'\] or None, got 'c'"):
        head_of({"b": nn.Identity, "a": nn.Identity}, "c", None)


def test_classes_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="num_classes must be None for head 'lm', got 3"):
        head_of({"lm": nn.Identity}, "lm", 3)


@pytest.mark.parametrize("head", [ClassifyHead, TagHead])
@pytest.mark.parametrize("num_classes", [None, 0])
def test_a_number_of_classes_is_needed(head, num_classes):
    with pytest.raises(ValueError, match=rf"num_classes must be at least 1 .* got {num_classes}"):
        head(CONFIG, num_classes)
