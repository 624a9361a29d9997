"""From a data set to batches, as pure functions: batch number `step` is the same in every run.

A data set is a dict of equally long tensors, a batch is such a dict for a few rows, and a source
of batches is a function of the step number. It keeps nothing that would have to be saved, so a run
that was killed goes on at its step with exactly the batches it would have seen.

Shapes: N examples, B batch, T length; pictures are (N, C, H, W).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

Dataset = dict[str, Tensor]
Batches = Callable[[int], Dataset]


def num_examples(dataset: Dataset) -> int:
    """Return N. Raises ValueError if the tensors are not equally long or there are none."""
    lengths = {name: len(values) for name, values in dataset.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"dataset must hold tensors of one length, got {lengths}")
    return next(iter(lengths.values()))


def take(dataset: Dataset, rows: Tensor | slice) -> Dataset:
    """Return the data set of these rows; `rows` is a slice, or int64 positions (R,)."""
    return {name: values[rows] for name, values in dataset.items()}


def split_dataset(dataset: Dataset, sizes: Sequence[int], *, seed: int) -> list[Dataset]:
    """Draw disjoint random parts of these sizes; rows that are left over belong to none.

    >>> train, test = split_dataset({"labels": torch.arange(10)}, [7, 3], seed=0)
    >>> len(train["labels"]), len(test["labels"])
    (7, 3)
    """
    N = num_examples(dataset)
    if min(sizes, default=0) < 1 or sum(sizes) > N:
        raise ValueError(f"sizes must be at least 1 and sum to at most {N}, got {list(sizes)}")
    order = torch.randperm(N, generator=Generator().manual_seed(seed))
    return [take(dataset, rows) for rows in order[: sum(sizes)].split(list(sizes))]


def hold_out_rows(dataset: Dataset, share: float, *, seed: int) -> tuple[Dataset, Dataset]:
    """Part rows into those to learn from and a share, at least one, drawn by `seed`."""
    N = num_examples(dataset)
    if N < 2:
        raise ValueError(f"data must have at least 2 rows, one of them to be held out, got {N}")
    num_held_out = max(1, round(share * N))
    train, held_out = split_dataset(dataset, [N - num_held_out, num_held_out], seed=seed)
    return train, held_out


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """How many full batches the data set holds; one, if it is smaller than a batch."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    N = num_examples(dataset)
    if N == 0:
        raise ValueError("dataset must hold at least one example, got 0")
    return max(1, N // batch_size)


def epoch_batches(dataset: Dataset, batch_size: int, *, seed: int) -> Batches:
    """Return the function step -> batch that visits the data set in a new order every epoch.

    A rest that does not fill a batch is left out of that epoch: a short last batch would give its
    few examples more weight, and BatchNorm poor statistics. The next epoch leaves out others.
    A data set smaller than a batch is one batch.

    Parameters
    ----------
    batch_size : rows in a batch.
    seed : decides, with the epoch's number, the order of that epoch.
    """
    N, per_epoch = num_examples(dataset), steps_per_epoch(dataset, batch_size)

    @functools.lru_cache(maxsize=1)  # saves time only: an epoch's order follows from its number
    def order(epoch: int) -> Tensor:
        return torch.randperm(N, generator=Generator().manual_seed(seed * 1_000_003 + epoch))

    def batch(step: int) -> Dataset:
        epoch, index = divmod(step, per_epoch)
        return take(dataset, order(epoch)[index * batch_size : (index + 1) * batch_size])

    return batch


def trim_padding(batch: Dataset) -> Dataset:
    """Cut the right-hand columns that are padding in every row: they cost time, change nothing.

    Cuts input_ids, attention_mask, token_type_ids and is_context (B, T), and labels if they are one
    per input token. A batch without attention_mask comes back as it is.
    """
    if "attention_mask" not in batch:
        return batch
    mask = batch["attention_mask"]
    used = mask.any(0).nonzero()
    stop = int(used.max()) + 1 if len(used) else 1
    cut = {"input_ids", "attention_mask", "token_type_ids", "is_context"}
    # In text-to-text the labels belong to the decoder; its length may be the same by accident.
    labels = batch.get("labels")
    if labels is not None and labels.shape == mask.shape and "decoder_input_ids" not in batch:
        cut.add("labels")
    return {name: x[:, :stop] if name in cut else x for name, x in batch.items()}


def augment(images: Tensor, generator: Generator, max_shift: int = 2) -> Tensor:
    """Move each picture (N, C, H, W) by up to `max_shift` pixels, repeating its border.

    Not flipped or turned: in a mirror some classes (a letter, a shape with a left and a right)
    become another one, and the code that knows no classes must not change them.
    """
    N, _, H, W = images.shape
    down, right = torch.randint(-max_shift, max_shift + 1, (2, N, 1), generator=generator)
    rows = (torch.arange(H) - down).clamp(0, H - 1)  # (N, H)
    columns = (torch.arange(W) - right).clamp(0, W - 1)  # (N, W)
    moved = images[torch.arange(N).view(N, 1, 1), :, rows.unsqueeze(2), columns.unsqueeze(1)]
    return moved.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
