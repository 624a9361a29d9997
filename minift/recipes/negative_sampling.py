"""word2vec by negative sampling, fast: plain SGD whose gradients are written out by hand.

Mikolov et al. 2013b, "Distributed representations of words and phrases and their compositionality",
section 2.2. With h the features of an input, u the output vectors, o the right answer and k drawn
words n, equation 4 asks to make large

    log s(u_o . h) + sum over n of log s(-u_n . h),    where s is the sigmoid.

Each term holds one score, and its slope there is short too: 1 - s(score) for the right answer,
-s(score) for a drawn word. Two things make this fast with nothing but torch:

- Words that follow each other share their neighbours. A row of T words and the T + 2R words in and
  around it have all their scores in one matrix product, of which a band counts. And the words of a
  row share what is drawn, so that a drawn word counts several times.
- A step moves a few hundred vectors of the tables where they lie. Nothing as large as a table is
  written: no gradient of it, no optimizer's memory.

Shapes: B rows, T words of a row, R the largest radius (`window`), S = T + 2R, O right or wrong
answers in the text (S for skip-gram, T for CBOW), K drawn words of a row, C width, V vocabulary.

`models.word2vec.negative_sampling_loss` is the same loss for autograd, with drawn words as given.

On purpose not as in the authors' program, which steps after each prediction and draws for each
anew: here a block of rows is scored with the same weights, and then steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.models.word2vec import Word2Vec
from minift.objectives.windows import sample_negatives

Batch = dict[str, Tensor]

ROW_SIZE = 16  # T: the band is a small part of longer rows, and shorter ones are small products
# Words of a row that share each drawn word; K = T k / 10. Sharing more is faster, but the vector of
# the drawn word steps as often at once: with 20, skip-gram's vectors exploded in one run of three.
NUM_SHARING = 10
# Rows of a block, at most: the larger, the faster, but the staler the weights. A word of skip-gram
# is several predictions.
SKIPGRAM_ROWS, CBOW_ROWS = 16, 32
# A word steps at once for each place that it has in a block: few words make small blocks.
MIN_VOCAB_PER_ROW = 256


@dataclass(frozen=True)
class RunningText:
    """Batches of predictions that follow each other in a text: step -> batch, without a memory.

    Parameters
    ----------
    pass_of : number -> the words of that pass over the corpus, and the document of each, in runs,
        (N,) int64 both. The passes may differ a little in length.
    generator_of : step -> the random numbers of that step.
    noise : (V,), how likely each word is to be drawn.
    num_predictions : of a batch, about.
    algorithm : "skipgram": from each word, its neighbours. "cbow": each word, from the mean of its
        neighbours.
    window : R; each word draws its own radius from 1..R.
    num_negatives : k, the drawn words that each prediction is told from.
    """

    pass_of: Callable[[int], tuple[Tensor, Tensor]]
    generator_of: Callable[[int], torch.Generator]
    noise: Tensor
    num_predictions: int
    algorithm: str
    window: int
    num_negatives: int

    @cached_property
    def num_batches(self) -> int:
        """Of a pass; the first one fixes it."""
        # A radius is (R + 1) / 2 in the mean, and reaches to both sides.
        per_word = self.window + 1 if self.algorithm == "skipgram" else 1
        return max(1, round(len(self.pass_of(0)[0]) * per_word / self.num_predictions))

    def __call__(self, step: int) -> Batch:
        number, index = divmod(step, self.num_batches)
        words, documents = self.pass_of(number)
        begin, end = (len(words) * at // self.num_batches for at in (index, index + 1))
        return self.rows(words, documents, begin, max(end, begin + 1), self.generator_of(step))

    def rows(
        self, words: Tensor, documents: Tensor, begin: int, end: int, generator: torch.Generator
    ) -> Batch:
        """Lay out what the words begin..end-1 of a text predict, in rows of T.

        Returns
        -------
        dict : input_ids (B, T), for CBOW (B, S), the words whose input vectors are looked up;
            output_ids (B, O + K), those whose output vectors are scored;
            labels (B, T, O + K), 1 = a right answer; weights, alike, how often a score counts;
            for CBOW also is_neighbour (B, T, S), 1 = is in the mean.
        """
        T, R = ROW_SIZE, self.window
        B = -(-(end - begin) // T)
        middle = slice(R, R + T)  # of a row's S places
        places = torch.arange(begin - R, begin + B * T + R).unfold(0, T + 2 * R, T)  # (B, S)
        inside = places.clamp(0, len(words) - 1)
        around, owners = words[inside], documents[inside]  # (B, S)
        owners = owners.masked_fill(places != inside, -1)  # no word's document
        distance = (torch.arange(T + 2 * R) - R - torch.arange(T)[:, None]).abs()  # (T, S)
        radius = torch.randint(1, R + 1, (B, T, 1), generator=generator)
        is_neighbour = (distance > 0) & (distance <= radius)  # (B, T, S)
        is_neighbour &= owners[:, None, :] == owners[:, middle, None]
        is_neighbour &= places[:, middle, None] < end  # the last row is filled up
        neighbours = is_neighbour.float()

        if self.algorithm == "skipgram":
            inputs, outputs, right = around[:, middle], around, neighbours
        else:
            has_any = neighbours.amax(dim=2, keepdim=True)  # (B, T, 1)
            inputs, outputs, right = around, around[:, middle], torch.eye(T) * has_any

        k, K = self.num_negatives, max(1, T * self.num_negatives // NUM_SHARING)
        drawn = sample_negatives(self.noise, (B, K), generator)
        # A drawn word is told from each right answer, but not from itself.
        is_same = (outputs[:, :, None] == drawn[:, None, :]).float()  # (B, O, K)
        num_told = right.sum(dim=2, keepdim=True) - right @ is_same  # (B, T, K)
        batch = {
            "input_ids": inputs,
            "output_ids": torch.cat([outputs, drawn], dim=1),
            "labels": F.pad(right, (0, K)),
            "weights": torch.cat([right, num_told * (k / K)], dim=2),
        }
        return batch if self.algorithm == "skipgram" else {**batch, "is_neighbour": neighbours}


def descend(model: nn.Module, batch: Batch, lr: float) -> Tensor:
    """Step down the gradient of one block of the batch's rows after the other, in place.

    Returns the loss of the first block before its step, a sample that costs next to nothing.
    """
    assert isinstance(model, Word2Vec)
    weight: Any = model.head.weight
    tables = model.vectors, weight.detach()
    num_rows = CBOW_ROWS if "is_neighbour" in batch else SKIPGRAM_ROWS
    num_rows = min(num_rows, 1 + len(tables[0]) // MIN_VOCAB_PER_ROW)
    parts = zip(*(values.split(num_rows) for values in batch.values()))
    blocks = [dict(zip(batch, tensors)) for tensors in parts]
    loss = block_loss(*tables, blocks[0])
    for block in blocks:
        step_(*tables, block, lr)
    return loss


def block_loss(input_vectors: Tensor, output_vectors: Tensor, block: Batch) -> Tensor:
    """Equation 4 with a minus, a mean over predictions; -log s(x) is softplus(x) - x."""
    h, u = _looked_up(input_vectors, output_vectors, block)
    scores = h @ u.mT  # (B, T, O + K)
    losses = block["weights"] * F.softplus(scores) - block["labels"] * scores
    return losses.sum() / block["labels"].sum().clamp(min=1)


def step_(input_vectors: Tensor, output_vectors: Tensor, block: Batch, lr: float) -> None:
    """Move the vectors, (V, C) each, down the gradient of the block's losses, summed."""
    h, u = _looked_up(input_vectors, output_vectors, block)
    # The slope of equation 4 with a minus: s - 1 for the right answers, s for the drawn words.
    error = (h @ u.mT).sigmoid_().mul_(block["weights"]).sub_(block["labels"])  # (B, T, O + K)
    grad_h = error @ u  # (B, T, C)
    grad_u = error.mT @ h  # (B, O + K, C)
    if "is_neighbour" in block:
        # As in the authors' program, each neighbour gets all of it and not its share of the mean:
        # the same rate then suits CBOW and skip-gram.
        grad_h = block["is_neighbour"].mT @ grad_h  # (B, S, C)
    # Where a word stands in several places, its steps add up.
    input_vectors.index_add_(0, block["input_ids"].flatten(), grad_h.flatten(0, 1), alpha=-lr)
    output_vectors.index_add_(0, block["output_ids"].flatten(), grad_u.flatten(0, 1), alpha=-lr)


def _looked_up(
    input_vectors: Tensor, output_vectors: Tensor, block: Batch
) -> tuple[Tensor, Tensor]:
    """The features h (B, T, C) of the block's words, and the output vectors u (B, O + K, C)."""
    h = F.embedding(block["input_ids"], input_vectors)  # (B, T, C), for CBOW (B, S, C)
    if "is_neighbour" in block:
        neighbours = block["is_neighbour"]  # (B, T, S)
        h = neighbours @ h / neighbours.sum(dim=2, keepdim=True).clamp(min=1)  # (B, T, C)
    return h, F.embedding(block["output_ids"], output_vectors)
