"""Next sentence prediction: does the second segment follow the first? (Devlin et al. 2019, 3.1)

A document is split between two of its sentences. What stands before is the first segment; the
second is, half of the time, what follows, and otherwise what follows such a split in another
document. No one has to label anything: the order of sentences is the label.

A trap: were the random segment taken from anywhere, it would sometimes open a document, which a
true continuation never does; the model could tell the classes apart by the second segment alone.
Here both kinds are drawn in the same way, so that only the relation of the two says which it is.

Shapes: B pairs, T length. Documents are lists of sentences, sentences are lists of token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

Document = Sequence[Sequence[int]]

# The meaning of labels 0 and 1, in the order of the published BERT checkpoints.
NSP_LABELS = ("is_next", "not_next")


class Pair(NamedTuple):
    first_ids: list[int]
    second_ids: list[int]
    is_next: bool


def sentence_pairs(
    documents: Sequence[Document],
    *,
    num_pairs: int,
    max_length: int,
    generator: torch.Generator,
    max_sentences: int = 3,
) -> list[Pair]:
    """Draw pairs of segments, half of them in their true order.

    Parameters
    ----------
    documents : at least two of them with two sentences or more.
    num_pairs : how many pairs to draw.
    max_length : tokens of both segments together, without [CLS] and the two [SEP].
    generator : on the CPU.
    max_sentences : a segment has 1..max_sentences sentences, fewer where the document ends.

    Raises
    ------
    ValueError
        If there is no other document to take a random segment from.
    """
    if len(documents) < 2:
        raise ValueError(
            f"documents must be at least two, or no random second segment exists, "
            f"got {len(documents)}"
        )
    if max_length < 2:
        raise ValueError(f"max_length must leave a token to each segment, got {max_length}")

    pairs = []
    # All the draws at once: a call to the generator for each would take most of the time.
    for draw in torch.rand(num_pairs, 7, generator=generator).tolist():
        is_next = draw[0] < 0.5
        home = _divisible(documents, int(draw[1] * len(documents)))
        document = documents[home]
        boundary = _boundary(document, draw[2])
        begin = max(0, boundary - 1 - int(draw[3] * max_sentences))
        first_ids = list(chain.from_iterable(document[begin:boundary]))

        if not is_next:
            step = 1 + int(draw[4] * (len(documents) - 1))  # any document but this one
            document = documents[_divisible(documents, home + step, other_than=home)]
            boundary = _boundary(document, draw[5])
        end = boundary + 1 + int(draw[6] * max_sentences)
        second_ids = list(chain.from_iterable(document[boundary:end]))
        pairs.append(Pair(*_truncate(first_ids, second_ids, max_length), is_next))
    return pairs


def pack_pairs(
    pairs: Sequence[Pair], *, cls_id: int, sep_id: int, pad_id: int, length: int | None = None
) -> dict[str, Tensor]:
    """Lay pairs out as BERT reads them: [CLS] first [SEP] second [SEP] [PAD] ...

    `length` is T, None the longest pair. Returns input_ids (B, T) int64, attention_mask (B, T)
    bool, token_type_ids (B, T) int64 (0 up to the first [SEP], 1 up to the second) and
    next_labels (B,) int64, whose meaning is NSP_LABELS.
    """
    rows = [[cls_id, *pair.first_ids, sep_id, *pair.second_ids, sep_id] for pair in pairs]
    longest = max(map(len, rows))
    length = longest if length is None else length
    if length < longest:
        raise ValueError(f"length must be at least {longest}, the longest pair, got {length}")

    positions = torch.arange(length)
    row_ends = torch.tensor([[len(row)] for row in rows])  # (B, 1)
    first_ends = torch.tensor([[len(pair.first_ids) + 2] for pair in pairs])  # with [CLS], [SEP]
    attention_mask = positions < row_ends
    return {
        "input_ids": torch.tensor([row + [pad_id] * (length - len(row)) for row in rows]),
        "attention_mask": attention_mask,
        "token_type_ids": (attention_mask & (positions >= first_ends)).long(),
        "next_labels": torch.tensor([0 if pair.is_next else 1 for pair in pairs]),
    }


def _divisible(documents: Sequence[Document], index: int, other_than: int | None = None) -> int:
    """The first document from `index` on, round the corpus, that has two sentences to part."""
    for candidate in range(index, index + len(documents)):
        candidate %= len(documents)
        if candidate != other_than and len(documents[candidate]) >= 2:
            return candidate
    raise ValueError("documents must hold at least two documents of two sentences or more")


def _boundary(document: Document, draw: float) -> int:
    """A place between two sentences, 1..len(document)-1; `draw` is uniform in [0, 1)."""
    return 1 + int(draw * (len(document) - 1))


def _truncate(first: list[int], second: list[int], max_length: int) -> tuple[list[int], list[int]]:
    """Shorten the longer until both fit, keeping the tokens next to where the two meet."""
    keep_second = min(len(second), max(max_length // 2, max_length - len(first)))
    keep_first = min(len(first), max_length - keep_second)
    return first[len(first) - keep_first :], second[:keep_second]
