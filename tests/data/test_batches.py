from __future__ import annotations

import pytest
import torch

from minift.data.batches import (
    augment,
    epoch_batches,
    hold_out_rows,
    num_examples,
    split_dataset,
    steps_per_epoch,
    take,
    trim_padding,
)


def numbered(count: int) -> dict[str, torch.Tensor]:
    return {"images": torch.arange(count).view(-1, 1), "labels": torch.arange(count)}


def test_num_examples_refuses_unequal_lengths() -> None:
    assert num_examples(numbered(5)) == 5
    with pytest.raises(ValueError, match=r"one length, got {'images': 5, 'labels': 4}"):
        num_examples({"images": torch.zeros(5), "labels": torch.zeros(4)})
    with pytest.raises(ValueError, match=r"one length, got \{\}"):
        num_examples({})


def test_take_keeps_rows_together() -> None:
    part = take(numbered(5), torch.tensor([4, 0]))
    assert part["images"].squeeze(1).tolist() == part["labels"].tolist() == [4, 0]
    assert take(numbered(5), slice(1, 3))["labels"].tolist() == [1, 2]


def test_split_parts_are_disjoint_and_repeatable() -> None:
    parts = split_dataset(numbered(10), [5, 3], seed=0)
    rows = torch.cat([part["labels"] for part in parts])
    assert [num_examples(part) for part in parts] == [5, 3]
    assert len(rows.unique()) == 8
    again = split_dataset(numbered(10), [5, 3], seed=0)
    assert torch.equal(again[1]["labels"], parts[1]["labels"])
    other = split_dataset(numbered(10), [5, 3], seed=1)
    assert not torch.equal(other[0]["labels"], parts[0]["labels"])


@pytest.mark.parametrize("sizes", [[8, 3], [0, 2], []])
def test_split_sizes_are_checked(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="sizes must be at least 1 and sum to at most 10"):
        split_dataset(numbered(10), sizes, seed=0)


def test_a_share_is_held_out_and_at_least_one_row() -> None:
    train, held_out = hold_out_rows(numbered(10), 0.2, seed=0)
    assert (num_examples(train), num_examples(held_out)) == (8, 2)
    assert sorted([*train["labels"].tolist(), *held_out["labels"].tolist()]) == list(range(10))
    assert num_examples(hold_out_rows(numbered(2), 0.2, seed=0)[1]) == 1
    with pytest.raises(ValueError, match="at least 2 rows, one of them to be held out, got 1"):
        hold_out_rows(numbered(1), 0.2, seed=0)


def test_an_epoch_visits_every_row_once() -> None:
    batches = epoch_batches(numbered(12), 4, seed=0)
    first, second = ([batches(e * 3 + i)["labels"] for i in range(3)] for e in (0, 1))
    assert torch.cat(first).sort().values.tolist() == list(range(12))
    assert torch.cat(second).sort().values.tolist() == list(range(12))
    assert torch.cat(first).tolist() != torch.cat(second).tolist()


def test_a_batch_depends_on_the_step_and_the_seed_alone() -> None:
    straight = epoch_batches(numbered(12), 4, seed=0)
    expected = [straight(step)["labels"].tolist() for step in range(9)]
    resumed = epoch_batches(numbered(12), 4, seed=0)
    assert [resumed(step)["labels"].tolist() for step in (8, 0, 5)] == [
        expected[step] for step in (8, 0, 5)
    ]
    other = epoch_batches(numbered(12), 4, seed=1)
    assert [other(step)["labels"].tolist() for step in range(9)] != expected


def test_the_rest_is_left_out_and_changes_with_the_epoch() -> None:
    dataset = numbered(11)
    batches = epoch_batches(dataset, 4, seed=0)
    assert steps_per_epoch(dataset, 4) == 2
    assert all(len(batches(step)["labels"]) == 4 for step in range(8))
    seen = [
        frozenset(torch.cat([batches(2 * epoch + i)["labels"] for i in (0, 1)]).tolist())
        for epoch in range(4)
    ]
    assert len(set(seen)) > 1


def test_a_small_data_set_is_one_batch() -> None:
    dataset = numbered(3)
    assert steps_per_epoch(dataset, 8) == 1
    assert sorted(epoch_batches(dataset, 8, seed=0)(5)["labels"].tolist()) == [0, 1, 2]


def test_batch_size_and_emptiness_are_checked() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        epoch_batches(numbered(3), 0, seed=0)
    with pytest.raises(ValueError, match="dataset must hold at least one example, got 0"):
        epoch_batches(numbered(0), 2, seed=0)


def padded_batch() -> dict[str, torch.Tensor]:
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]).bool()
    return {
        "input_ids": torch.arange(1, 6) * mask,
        "attention_mask": mask,
        "token_type_ids": torch.zeros(2, 5, dtype=torch.int64),
        "is_context": mask,
        "labels": torch.tensor([0, 1]),
    }


def test_trim_cuts_to_the_longest_row() -> None:
    trimmed = trim_padding(padded_batch())
    assert trimmed["input_ids"].tolist() == [[1, 2, 0], [1, 2, 3]]
    for name in ("attention_mask", "token_type_ids", "is_context"):
        assert trimmed[name].shape == (2, 3)
    assert trimmed["labels"].tolist() == [0, 1]


def test_trim_cuts_labels_of_tokens_but_not_those_of_a_decoder() -> None:
    labels = torch.full((2, 5), -100)
    assert trim_padding({**padded_batch(), "labels": labels})["labels"].shape == (2, 3)
    text_to_text = {**padded_batch(), "labels": labels, "decoder_input_ids": labels}
    assert trim_padding(text_to_text)["labels"].shape == (2, 5)
    assert trim_padding(text_to_text)["decoder_input_ids"].shape == (2, 5)


def test_trim_keeps_left_padding_and_works_without_labels() -> None:
    mask = torch.tensor([[0, 1, 1, 0]]).bool()
    trimmed = trim_padding({"input_ids": torch.tensor([[0, 7, 8, 0]]), "attention_mask": mask})
    assert trimmed["input_ids"].tolist() == [[0, 7, 8]]


def test_trim_leaves_a_batch_without_mask_alone() -> None:
    batch = {"images": torch.zeros(2, 3, 8, 8)}
    assert trim_padding(batch) is batch


def test_augment_moves_a_picture_without_changing_its_pixels() -> None:
    images = torch.zeros(50, 3, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = torch.tensor([10, 20, 30], dtype=torch.uint8)
    moved = augment(images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    assert (moved.sum((2, 3)) == torch.tensor([10, 20, 30])).all()
    _, rows, columns = moved[:, 0].nonzero().unbind(1)
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}


def test_augment_repeats_the_border_and_follows_the_generator() -> None:
    grey = torch.full((4, 3, 8, 8), 9, dtype=torch.uint8)
    assert torch.equal(augment(grey, torch.Generator().manual_seed(0)), grey)
    images = torch.randint(0, 256, (8, 3, 8, 8))
    first, again, other = (augment(images, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
