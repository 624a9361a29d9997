"""Span corruption: nothing is lost between inputs and targets, and lengths are known beforehand."""

from __future__ import annotations

import pytest
import torch

from minift.objectives.spans import Corrupted, corrupt_spans, span_mask

EOS = 1
SENTINELS = range(1099, 999, -1)


def corrupt(ids, seed: int = 0, **options) -> Corrupted:
    arguments = {"sentinel_ids": SENTINELS, "eos_id": EOS, **options}
    return corrupt_spans(ids, generator=torch.Generator().manual_seed(seed), **arguments)


def restore(corrupted: Corrupted) -> list[int]:
    """Put every cut run back where its sentinel stands."""
    runs: dict[int, list[int]] = {}
    for token in corrupted.targets[:-1]:
        if token in SENTINELS:
            sentinel = token
            runs[sentinel] = []
        else:
            runs[sentinel].append(token)
    return [t for token in corrupted.inputs[:-1] for t in runs.get(token, [token])]


@pytest.mark.parametrize("length", [2, 3, 4, 7, 16, 65, 200])
@pytest.mark.parametrize(("rate", "mean_span"), [(0.15, 3.0), (0.5, 3.0), (0.9, 1.0)])
def test_inputs_and_targets_together_give_the_text_back(length, rate, mean_span):
    ids = list(range(10, 10 + length))
    options = {"noise_rate": rate, "mean_span": mean_span}
    for seed in range(5):
        assert restore(corrupt(ids, seed, **options)) == ids


def test_both_sides_close_with_end_of_sequence():
    corrupted = corrupt(range(10, 40))
    assert corrupted.inputs[-1] == corrupted.targets[-1] == EOS


def test_sentinels_stand_in_order_on_both_sides():
    corrupted = corrupt(range(10, 110))
    in_inputs = [token for token in corrupted.inputs if token in SENTINELS]
    in_targets = [token for token in corrupted.targets if token in SENTINELS]
    assert in_inputs == in_targets == list(SENTINELS[:5])  # 15 tokens in spans of 3


@pytest.mark.parametrize("length", [2, 10, 33, 64])
def test_lengths_follow_from_the_length_of_the_text_alone(length):
    sizes = {tuple(map(len, corrupt(range(10, 10 + length), seed))) for seed in range(20)}
    assert len(sizes) == 1


def test_mask_has_the_rate_and_the_mean_span():
    mask = span_mask(1000, torch.Generator().manual_seed(0), noise_rate=0.15, mean_span=3.0)
    num_spans = (mask[1:] & ~mask[:-1]).sum()
    assert mask.sum() == 150
    assert num_spans == 50


def test_text_begins_kept_and_ends_cut():
    for seed in range(20):
        mask = span_mask(30, torch.Generator().manual_seed(seed))
        assert not mask[0]
        assert mask[-1]


def test_runs_of_every_length_occur():
    generator = torch.Generator().manual_seed(0)
    masks = {tuple(span_mask(6, generator, 0.5, 1.5).tolist()) for _ in range(200)}
    # 3 cut tokens in 2 spans: (1 + 2 or 2 + 1) for the kept runs, and again for the cut ones.
    assert len(masks) == 4


def test_same_seed_gives_the_same_spans():
    ids = torch.arange(10, 60)
    assert corrupt(ids, seed=1) == corrupt(ids.tolist(), seed=1)
    assert corrupt(ids, seed=1) != corrupt(ids, seed=2)


def test_too_few_sentinels_are_refused():
    with pytest.raises(ValueError, match=r"sentinel_ids must hold .* 5 spans in 100 .* got 4"):
        corrupt(range(10, 110), sentinel_ids=range(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1}, "length must be at least 2"),
        ({"noise_rate": 0.0}, r"noise_rate must be in \(0, 1\)"),
        ({"noise_rate": 1.0}, r"noise_rate must be in \(0, 1\)"),
        ({"mean_span": 0.5}, "mean_span must be at least 1"),
    ],
)
def test_impossible_masks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        span_mask(**{"length": 10, "generator": torch.Generator(), **options})
