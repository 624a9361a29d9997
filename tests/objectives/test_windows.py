"""Windows: who is whose neighbour, how often, and what is drawn against it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from minift.objectives.windows import (
    cbow_windows,
    keep_probability,
    noise_distribution,
    sample_negatives,
    skipgram_pairs,
    subsample,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noise_is_counts_to_the_power():
    noise = noise_distribution(torch.tensor([0, 1, 16, 81]))

    expected = torch.tensor([0.0, 1.0, 8.0, 27.0], dtype=torch.float64) / 36
    torch.testing.assert_close(noise, expected)


def test_power_zero_draws_all_words_alike_but_not_absent_ones():
    noise = noise_distribution(torch.tensor([0, 5, 500]), power=0.0)

    assert noise.tolist() == [0.0, 0.5, 0.5]


def test_negatives_are_drawn_with_the_rates_of_the_distribution():
    noise = noise_distribution(torch.tensor([0, 1, 16, 81]))

    drawn = sample_negatives(noise, (500, 400), seeded())

    rates = torch.bincount(drawn.flatten(), minlength=4) / drawn.numel()
    assert drawn.shape == (500, 400)
    # The standard deviation of a rate is at most sqrt(0.25 / 200,000) = 0.0011.
    torch.testing.assert_close(rates.double(), noise, atol=0.005, rtol=0)
    assert rates[0] == 0


def test_keep_probability_is_the_root_of_threshold_over_share():
    keep_prob = keep_probability(torch.tensor([0, 9900, 99, 1]), threshold=1e-2)

    expected = torch.tensor([1.0, (1e-2 / 0.99) ** 0.5, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(keep_prob, expected)


def test_subsample_keeps_each_word_at_its_rate():
    ids = torch.arange(3).repeat(50_000)
    keep_prob = torch.tensor([0.1, 0.6, 1.0])

    stays = subsample(ids, keep_prob, seeded())

    rates = torch.stack([stays[ids == word].float().mean() for word in range(3)])
    torch.testing.assert_close(rates, keep_prob, atol=0.01, rtol=0)
    assert rates[2] == 1


def test_window_of_one_pairs_each_word_with_both_neighbours():
    centers, contexts = skipgram_pairs(torch.tensor([5, 6, 7, 8]), 1, seeded())

    assert centers.tolist() == [5, 6, 6, 7, 7, 8]
    assert contexts.tolist() == [6, 5, 7, 6, 8, 7]


def test_neighbours_at_distance_d_are_used_as_often_as_the_radius_reaches_them():
    window, T = 4, 40_000

    centers, contexts = skipgram_pairs(torch.arange(T), window, seeded())

    distance = (contexts - centers).abs()
    assert distance.min() == 1
    for d in range(1, window + 1):
        rate = (distance == d).sum().item() / (2 * (T - d))
        assert rate == pytest.approx((window - d + 1) / window, abs=0.015)


def test_a_word_has_one_radius_for_both_sides():
    contexts, mask, _ = cbow_windows(torch.arange(1, 1000), 3, seeded())

    away_from_the_ends = mask[3:-3]
    assert torch.equal(away_from_the_ends, away_from_the_ends.flip(1))
    assert set(away_from_the_ends.sum(dim=1).tolist()) == {2, 4, 6}
    assert contexts.shape == (999, 6)


def documents_of(lengths: list[int]) -> Tensor:
    return torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))


def test_no_pair_crosses_documents():
    documents = documents_of([3, 1, 7, 2] * 50)
    places = torch.arange(len(documents))  # each word is its own place

    centers, contexts = skipgram_pairs(places, 5, seeded(), documents)

    assert torch.equal(documents[centers], documents[contexts])
    pairs_in_document = torch.bincount(documents[centers], minlength=200).view(50, 4)
    assert (pairs_in_document[:, 1] == 0).all()  # a word alone in its document has no pairs
    assert (pairs_in_document[:, [0, 2, 3]] > 0).all()


def test_no_window_crosses_documents():
    documents = documents_of([3, 1, 7, 2] * 50)
    places = torch.arange(len(documents))

    contexts, mask, targets = cbow_windows(places, 5, seeded(), documents=documents)

    same = documents[contexts] == documents[targets][:, None]
    assert same[mask].all()
    assert len(targets) == len(places) - 50  # the words alone in their document ask nothing


def test_cbow_pads_where_there_is_no_neighbour():
    contexts, mask, targets = cbow_windows(torch.tensor([5, 6, 7]), 1, seeded(), pad_id=9)

    assert contexts.tolist() == [[9, 6], [5, 7], [6, 9]]
    assert mask.tolist() == [[False, True], [True, True], [True, False]]
    assert targets.tolist() == [5, 6, 7]


def test_both_tasks_see_the_same_neighbours():
    ids, documents = torch.randint(1, 50, (300,), generator=seeded()), documents_of([30] * 10)

    centers, neighbours = skipgram_pairs(ids, 4, seeded(1), documents)
    contexts, mask, targets = cbow_windows(ids, 4, seeded(1), documents=documents)

    assert torch.equal(contexts[mask], neighbours)
    assert torch.equal(targets.repeat_interleave(mask.sum(dim=1)), centers)


def test_the_generator_decides():
    ids = torch.arange(200)

    first = skipgram_pairs(ids, 5, seeded(3))[1]

    assert torch.equal(first, skipgram_pairs(ids, 5, seeded(3))[1])
    assert not torch.equal(first, skipgram_pairs(ids, 5, seeded(4))[1][: len(first)])


def test_a_corpus_shorter_than_the_window():
    centers, contexts = skipgram_pairs(torch.tensor([4, 7]), 10, seeded())

    assert centers.tolist() == [4, 7]
    assert contexts.tolist() == [7, 4]


def test_mistakes_are_named():
    ids = torch.arange(4)

    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        skipgram_pairs(ids, 0, seeded())
    with pytest.raises(ValueError, match=r"ids must be one row of words, .* \(2, 2\)"):
        cbow_windows(ids.view(2, 2), 1, seeded())
    with pytest.raises(ValueError, match=r"documents must be as long as ids, 4, got \(3,\)"):
        skipgram_pairs(ids, 1, seeded(), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="counts must not be negative and not all zero"):
        noise_distribution(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="threshold must be positive, got 0"):
        keep_probability(torch.tensor([1, 2]), threshold=0)
