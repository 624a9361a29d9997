"""Causal language modelling: which token answers for which."""

from __future__ import annotations

import pytest
import torch

from minift.objectives.causal import lm_blocks, shift_labels, shift_right


def test_blocks_are_the_stream_in_order_without_the_rest():
    blocks = lm_blocks(range(11), block_size=4)
    assert blocks.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert blocks.dtype == torch.int64


@pytest.mark.parametrize("block_size", [1, 12])
def test_blocks_that_cannot_be_cut_are_refused(block_size):
    with pytest.raises(ValueError, match=r"block_size must be in 2\.\.11"):
        lm_blocks(range(11), block_size)


def test_label_is_the_next_token_and_the_last_has_none():
    assert shift_labels(torch.tensor([[5, 6, 7]])).tolist() == [[6, 7, -100]]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([True, True, True, False], [6, 7, -100, -100]),
        ([False, True, True, True], [-100, 7, 8, -100]),  # padded on the left
    ],
)
def test_padding_is_neither_asked_nor_answered(mask, expected):
    labels = shift_labels(torch.tensor([[5, 6, 7, 8]]), torch.tensor([mask]))
    assert labels.tolist() == [expected]


def test_end_of_text_is_learnt_though_padding_has_its_id():
    end = 9
    input_ids = torch.tensor([[5, 6, end, end]])
    labels = shift_labels(input_ids, torch.tensor([[True, True, True, False]]))
    assert labels.tolist() == [[6, end, -100, -100]]


def test_decoder_reads_the_label_before_the_one_it_writes():
    labels = torch.tensor([[5, 6, 1, -100, -100]])
    assert shift_right(labels, start_id=0).tolist() == [[0, 5, 6, 1, 0]]
    assert labels.tolist() == [[5, 6, 1, -100, -100]]
