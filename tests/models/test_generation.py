"""Choosing tokens: greedy, temperature, top-k, the nucleus, and when to stop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from minift.models.generation import Sampling, keep_nucleus, sample

LOGITS = torch.tensor([[0.5, 0.05, 0.3, 0.15], [0.1, 0.2, 0.3, 0.4]]).log()  # probabilities


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frequencies(sampling: Sampling, draws: int = 20_000) -> Tensor:
    """How often each token is chosen for row 0 of LOGITS."""
    chosen = sampling.choose(LOGITS[:1].expand(draws, -1))
    return torch.bincount(chosen, minlength=4) / draws


def test_temperature_zero_is_greedy():
    assert Sampling(temperature=0, top_k=3, top_p=0.5).choose(LOGITS).tolist() == [0, 3]


def test_temperature_one_draws_by_the_probabilities():
    torch.testing.assert_close(
        frequencies(Sampling(generator=seeded())), LOGITS[0].exp(), atol=0.015, rtol=0
    )


def test_temperature_sharpens():
    expected = (2 * LOGITS[0]).softmax(0)  # dividing by 0.5

    found = frequencies(Sampling(temperature=0.5, generator=seeded()))

    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)


@pytest.mark.parametrize(("top_k", "kept"), [(1, {0}), (2, {0, 2}), (3, {0, 2, 3})])
def test_top_k_keeps_exactly_the_k_likeliest(top_k, kept):
    found = frequencies(Sampling(top_k=top_k, generator=seeded()))

    assert set(found.nonzero().flatten().tolist()) == kept


def test_top_k_keeps_exactly_k_of_equally_likely_tokens():
    chosen = Sampling(top_k=2, generator=seeded()).choose(torch.zeros(200, 10))

    assert len(set(chosen.tolist())) == 2


def test_more_than_all_tokens_is_all():
    chosen = Sampling(top_k=100, generator=seeded()).choose(LOGITS)

    assert torch.equal(chosen, Sampling(generator=seeded()).choose(LOGITS))


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.1, {0}), (0.45, {0}), (0.6, {0, 2}), (0.79, {0, 2}), (0.9, {0, 2, 3})]
)
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(top_p, kept):
    logits = keep_nucleus(LOGITS[:1], top_p)

    assert set(logits[0].isfinite().nonzero().flatten().tolist()) == kept
    is_kept = logits.isfinite()
    assert torch.equal(logits[is_kept], LOGITS[:1][is_kept])


def test_each_row_has_its_own_nucleus():
    kept = keep_nucleus(LOGITS, 0.65).isfinite()

    assert kept.tolist() == [[True, False, True, False], [False, False, True, True]]


def test_the_nucleus_is_taken_among_the_top_k():
    # Of the two likeliest the first has 0.5 / 0.8 = 0.625 of the probability.
    assert frequencies(Sampling(top_k=2, top_p=0.6, generator=seeded()))[0] == 1


def test_seeds_are_reproducible():
    logits = torch.zeros(50, 10)
    first = Sampling(generator=seeded(1)).choose(logits)

    assert torch.equal(Sampling(generator=seeded(1)).choose(logits), first)
    assert not torch.equal(Sampling(generator=seeded(2)).choose(logits), first)


def count_up(ids: Tensor) -> Tensor:
    """A "model" whose next token is the last one plus 1."""
    return torch.nn.functional.one_hot((ids[:, -1] + 1) % 10, 10).float()


def test_tokens_are_appended_one_by_one():
    ids = sample(count_up, torch.tensor([[3], [7]]), 3, Sampling(temperature=0), eos_id=None)

    assert ids.tolist() == [[3, 4, 5, 6], [7, 8, 9, 0]]


def test_a_row_that_has_ended_is_filled_while_others_go_on():
    ids = sample(count_up, torch.tensor([[3], [1]]), 8, Sampling(temperature=0), eos_id=5)

    assert ids.tolist() == [[3, 4, 5, 5, 5], [1, 2, 3, 4, 5]]


def test_an_eos_in_the_prompt_ends_nothing():
    ids = sample(count_up, torch.tensor([[5]]), 2, Sampling(temperature=0), eos_id=5)

    assert ids.tolist() == [[5, 6, 7]]


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(temperature=-1.0), "temperature must be at least 0, got -1.0"),
        (Sampling(temperature=float("nan")), "temperature must be at least 0, got nan"),
        (Sampling(top_k=0), "top_k must be at least 1, got 0"),
        (Sampling(top_p=0.0), r"top_p must be in \(0, 1\], got 0.0"),
        (Sampling(top_p=1.5), r"top_p must be in \(0, 1\], got 1.5"),
        (Sampling(top_p=float("nan")), r"top_p must be in \(0, 1\], got nan"),
    ],
)
def test_impossible_settings_are_refused(sampling, message):
    with pytest.raises(ValueError, match=message):
        sample(count_up, torch.tensor([[3]]), 1, sampling, eos_id=None)


def test_a_negative_number_of_tokens_is_refused():
    with pytest.raises(ValueError, match="max_new_tokens must be at least 0, got -1"):
        sample(count_up, torch.tensor([[3]]), -1, Sampling(), eos_id=None)
