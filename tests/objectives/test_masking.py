"""Masking: how many are chosen, what becomes of them, and what must never happen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from minift.objectives.masking import Masked, mask_tokens

PAD, CLS, SEP, MASK = 0, 1, 2, 3
SPECIAL = (PAD, CLS, SEP, MASK)
VOCAB = 50


def batch(num_rows: int = 64, length: int = 40) -> Tensor:
    """Rows of [CLS] tokens [SEP] [PAD] [PAD]."""
    ids = torch.randint(4, VOCAB, (num_rows, length), generator=torch.Generator().manual_seed(1))
    ids[:, 0], ids[:, -3], ids[:, -2:] = CLS, SEP, PAD
    return ids


def mask(input_ids: Tensor, seed: int = 0, **options: object) -> Masked:
    arguments: dict = {"mask_id": MASK, "special_ids": SPECIAL, "vocab_size": VOCAB, **options}
    return mask_tokens(input_ids, generator=torch.Generator().manual_seed(seed), **arguments)


def test_each_row_has_the_rate_of_its_tokens_chosen():
    labels = mask(batch()).labels
    assert ((labels != -100).sum(1) == round(0.15 * 36)).all()


def test_short_row_has_one_token_chosen_and_empty_row_none():
    ids = torch.tensor([[CLS, 9, SEP, PAD], [CLS, SEP, PAD, PAD]])
    assert (mask(ids).labels != -100).sum(1).tolist() == [1, 0]


def test_labels_hold_the_original_where_chosen():
    ids = batch()
    labels = mask(ids).labels
    chosen = labels != -100
    assert (labels[chosen] == ids[chosen]).all()


def test_special_tokens_are_never_chosen():
    ids = batch()
    chosen = mask(ids, mask_rate=1.0).labels != -100
    assert (chosen == (ids > MASK)).all()


def test_what_is_not_chosen_stays():
    ids = batch()
    masked = mask(ids)
    kept = masked.labels == -100
    assert (masked.input_ids[kept] == ids[kept]).all()


def test_chosen_become_mask_random_or_themselves_in_80_10_10():
    ids = batch(num_rows=400)
    masked = mask(ids, mask_rate=1.0)  # 14,400 tokens: one standard error is 0.0034 at 0.8
    chosen = masked.labels != -100
    new, old = masked.input_ids[chosen], ids[chosen]
    is_mask = (new == MASK).float().mean()
    is_same = (new == old).float().mean()
    assert is_mask == pytest.approx(0.8, abs=0.014)
    assert is_same == pytest.approx(0.1 + 0.1 / (VOCAB - 4), abs=0.014)


def test_random_tokens_cover_the_vocabulary_and_are_never_special():
    ids = batch(num_rows=400)
    masked = mask(ids, mask_rate=1.0)
    changed = masked.input_ids[(masked.input_ids != ids) & (masked.input_ids != MASK)]
    assert set(changed.tolist()) == set(range(4, VOCAB))


def test_every_position_is_equally_likely():
    ids = torch.full((4000, 10), 7)
    rates = (mask(ids, mask_rate=0.2).labels != -100).float().mean(0)
    assert torch.allclose(rates, torch.tensor(0.2), atol=0.03)


def test_whole_words_are_chosen_with_all_their_pieces():
    ids = batch(num_rows=200)
    starts = torch.rand(ids.shape, generator=torch.Generator().manual_seed(2)) < 0.4
    chosen = mask(ids, word_starts=starts).labels != -100
    ordinary = ids > MASK
    inside_word = ordinary[:, 1:] & ordinary[:, :-1] & ~starts[:, 1:]
    assert (chosen[:, 1:] == chosen[:, :-1])[inside_word].all()


def test_whole_words_keep_the_rate_of_tokens():
    ids = batch(num_rows=2000)
    starts = torch.rand(ids.shape, generator=torch.Generator().manual_seed(2)) < 0.4
    chosen = mask(ids, word_starts=starts, mask_rate=0.25).labels != -100
    assert chosen.sum() / (ids > MASK).sum() == pytest.approx(0.25, abs=0.02)


def test_word_without_its_start_is_still_a_word():
    ids = torch.tensor([[CLS, 9, 8, SEP]])
    starts = torch.zeros_like(ids, dtype=torch.bool)
    assert (mask(ids, word_starts=starts).labels != -100).tolist() == [[False, True, True, False]]


def test_same_seed_gives_the_same_masks():
    ids = batch()
    assert torch.equal(mask(ids, seed=3).input_ids, mask(ids, seed=3).input_ids)
    assert not torch.equal(mask(ids, seed=3).labels, mask(ids, seed=4).labels)


def test_input_is_not_changed():
    ids = batch()
    before = ids.clone()
    mask(ids)
    assert torch.equal(ids, before)


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"mask_rate must be in \(0, 1\]"):
        mask(batch(), mask_rate=rate)


def test_vocabulary_of_special_tokens_only_is_refused():
    with pytest.raises(ValueError, match="special_ids must leave some of the 4 ids"):
        mask(batch(), vocab_size=4)
