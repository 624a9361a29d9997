"""BERT reads in both directions, does not see padding, and learns each of its tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minift.models.bert import Bert, BertConfig
from minift.models.heads import PretrainLogits

B, T, V, C = 4, 8, 40, 16
TINY = BertConfig(
    vocab_size=V,
    hidden_size=C,
    num_layers=2,
    num_heads=2,
    intermediate_size=32,
    max_positions=T,
    dropout=0.0,
)


def make(head: str | None = None, num_classes: int | None = None, **changes: object) -> Bert:
    """A model whose attention is strong enough for the reach of a token to be seen."""
    torch.manual_seed(0)
    return Bert(dataclasses.replace(TINY, init_std=0.2, **changes), head, num_classes)


def batch() -> tuple[Tensor, Tensor]:
    ids = torch.randint(1, V, (B, T), generator=torch.Generator().manual_seed(1))
    return ids, torch.arange(T) < torch.tensor([[8], [5], [2], [7]])


def learn(model: Bert, loss_fn: Callable[[], Tensor], steps: int = 60) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = loss_fn()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss_fn().item()


def test_padding_cannot_change_real_positions():
    model, (ids, mask) = make(), batch()
    flow = model(ids, mask)

    changed = model(torch.where(mask, ids, (ids + 7) % V), mask)

    assert torch.equal(changed.hidden[mask], flow.hidden[mask])
    assert torch.equal(changed.pooled, flow.pooled)


def test_length_of_the_padding_does_not_matter():
    model, (ids, mask) = make(), batch()

    cut = model(ids[1:3, :5], mask[1:3, :5])

    torch.testing.assert_close(cut.pooled, model(ids, mask).pooled[1:3])


def test_every_real_token_changes_every_real_position():
    model, (ids, mask) = make(), batch()
    hidden = model(ids, mask).hidden[1]

    for position in range(5):  # row 1 has five real tokens
        changed = ids.clone()
        changed[1, position] = (changed[1, position] + 1) % V
        assert (model(changed, mask).hidden[1] != hidden).any(-1)[:5].all()


def test_no_mask_means_all_are_real():
    model, (ids, _) = make(), batch()

    torch.testing.assert_close(model(ids).pooled, model(ids, torch.ones_like(ids).bool()).pooled)


def test_token_types_matter_and_default_to_the_first_segment():
    model, (ids, mask) = make(), batch()
    first = torch.zeros_like(ids)

    assert torch.equal(model(ids, mask).pooled, model(ids, mask, first).pooled)
    assert not torch.allclose(model(ids, mask, first + 1).pooled, model(ids, mask).pooled)


def test_order_matters():
    model, (ids, _) = make(), batch()

    flow, swapped = model(ids), model(ids[:, [0, 2, 1, 3, 4, 5, 6, 7]])

    assert not torch.allclose(swapped.pooled, flow.pooled)


def test_what_is_too_long_is_refused():
    with pytest.raises(ValueError, match=r"input_ids must be at most 8 long .* got 9"):
        make()(torch.ones(1, 9, dtype=torch.int64))


def test_the_pooler_reads_the_first_token():
    model, (ids, mask) = make(), batch()
    dense = model.trunk.stages["pooler"].dense

    flow = model(ids, mask)

    torch.testing.assert_close(flow.pooled, torch.tanh(dense(flow.hidden[:, 0])))


def test_blocks_end_normalised():
    model, (ids, mask) = make(), batch()

    hidden = model(ids, mask).hidden

    torch.testing.assert_close(hidden.mean(-1), torch.zeros(B, T), atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden.var(-1, correction=0), torch.ones(B, T), atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", ["mlm", "pretrain"])
def test_the_output_matrix_is_the_token_embedding(head):
    model = make(head)
    mlm = model.head if head == "mlm" else model.head.mlm

    assert mlm.decoder.weight is model.trunk.stages["embedding"].tokens.weight
    assert mlm.decoder.weight.untyped_storage().data_ptr() == (
        model.trunk.stages["embedding"].tokens.weight.untyped_storage().data_ptr()
    )


def test_pretraining_returns_both_answers():
    model, (ids, mask) = make("pretrain"), batch()

    logits = model(ids, mask)

    assert isinstance(logits, PretrainLogits)
    assert logits.mlm.shape == (B, T, V)
    assert logits.nsp.shape == (B, 2)


def test_first_guesses_are_near_chance():
    torch.manual_seed(0)
    model, (ids, mask) = Bert(TINY, "mlm"), batch()

    loss = F.cross_entropy(model(ids, mask).flatten(0, 1), ids.flatten())

    assert loss.item() == pytest.approx(torch.tensor(V).log().item(), abs=0.1)


def test_masked_words_and_next_sentence_are_learnt_together():
    torch.manual_seed(0)
    model, (ids, mask) = Bert(TINY, "pretrain"), batch()
    selected = mask & (torch.arange(T) % 3 == 1)
    masked = ids.masked_fill(selected, 0)
    is_next = torch.tensor([0, 1, 0, 1])

    def loss() -> Tensor:
        logits = model.head(model.trunk(model.prepare(masked, mask)), selected)
        return F.cross_entropy(logits.mlm, ids[selected]) + F.cross_entropy(logits.nsp, is_next)

    assert learn(model, loss) < 0.1


def test_classes_are_learnt():
    torch.manual_seed(0)
    model, (ids, mask) = Bert(TINY, "classify", 3), batch()
    labels = torch.tensor([0, 1, 2, 1])

    assert learn(model, lambda: F.cross_entropy(model(ids, mask), labels)) < 0.1


def test_tags_are_learnt():
    torch.manual_seed(0)
    model, (ids, mask) = Bert(TINY, "tag", 3), batch()
    labels = (ids % 3).masked_fill(~mask, -100)

    assert learn(model, lambda: F.cross_entropy(model(ids, mask).transpose(1, 2), labels)) < 0.1


def test_spans_are_learnt():
    torch.manual_seed(0)
    model, (ids, mask) = Bert(TINY, "span"), batch()
    start, end = torch.tensor([3, 1, 0, 2]), torch.tensor([5, 1, 1, 6])

    def loss() -> Tensor:
        logits = model(ids, mask)
        return F.cross_entropy(logits.start, start) + F.cross_entropy(logits.end, end)

    assert learn(model, loss) < 0.1


def test_a_language_model_is_none_of_its_heads():
    with pytest.raises(ValueError, match=r"head must be one of \['classify', 'mlm', .* got 'lm'"):
        Bert(TINY, "lm")


def test_a_classifier_computes_of_the_top_block_only_what_it_reads():
    model, (ids, mask) = make("classify", 3).eval(), batch()
    whole = model.head(model.trunk(model.prepare(ids, mask)))
    lengths = []
    top = model.trunk.stages["block1"]
    top.register_forward_hook(lambda block, flow, output: lengths.append(output.hidden.shape[1]))

    logits = model(ids, mask)

    assert lengths == [1]
    # Products of other shapes may round otherwise.
    torch.testing.assert_close(logits, whole, atol=1e-6, rtol=1e-5)


def test_positions_that_are_read_are_as_if_all_were_computed():
    model, (ids, mask) = make().eval(), batch()
    reads = torch.tensor([[0, 3, 7], [0, 4, 0], [0, 1, 0], [0, 6, 2]])
    whole = model(ids, mask)

    some = model(ids, mask, reads=reads)

    torch.testing.assert_close(some.pooled, whole.pooled, atol=1e-6, rtol=1e-5)
    expected = whole.hidden.take_along_dim(reads[:, :, None], dim=1)
    torch.testing.assert_close(some.hidden, expected, atol=1e-6, rtol=1e-5)
