"""Words and their neighbours: the questions word2vec learns from, cut out of running text.

Mikolov et al. 2013a, section 3 (CBOW, skip-gram, the window of random radius); Mikolov et al.
2013b, section 2.2 (which words to draw as negatives) and 2.3 (leaving out frequent words).

Text is one long row of ids, with a row beside it that says which document each word is from; no
window reaches into another document. (Pass the sentence's number instead, and none leaves a
sentence.) All steps are a few tensor operations over the whole corpus: a million words a second.

Shapes: T words of the corpus, V vocabulary, N predictions, R the largest radius (`window`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def noise_distribution(counts: Tensor, power: float = 0.75) -> Tensor:
    """Return with which probability a word is drawn as a negative: counts ** power, summing to one.

    The power is between drawing words as often as they occur (1) and all alike (0). counts is (V,);
    a word with count 0, such as padding, is never drawn. Returns (V,) float64.
    """
    if int(counts.min()) < 0 or int(counts.max()) == 0:
        raise ValueError(
            "counts must not be negative and not all zero, got them "
            f"from {int(counts.min())} to {int(counts.max())}"
        )
    weight = torch.where(counts > 0, counts.double() ** power, 0.0)  # 0 ** 0 would be 1
    return weight / weight.sum()


def sample_negatives(
    distribution: Tensor, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Draw word ids, int64 of that shape, each from `distribution` (V,), with replacement."""
    drawn = torch.multinomial(
        distribution, torch.Size(shape).numel(), replacement=True, generator=generator
    )
    return drawn.view(shape)


def keep_probability(counts: Tensor, threshold: float = 1e-3) -> Tensor:
    """Return with which probability one occurrence of a word stays: min(1, sqrt(threshold / f)).

    f is the word's share of the corpus. Words like "the" are neighbours of everything and say
    little; without them windows also reach further. The paper's threshold of 1e-5 is for a corpus
    of 1e9 words; its authors' program keeps a little more, sqrt(t / f) + t / f. counts is (V,), and
    so is the result.
    """
    if threshold <= 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    share = counts.double() / counts.sum()
    return (threshold / share).sqrt().clamp(max=1.0)  # a word that never occurs: inf, so 1


def subsample(ids: Tensor, keep_prob: Tensor, generator: torch.Generator) -> Tensor:
    """Decide for each of the words (T,) whether it stays; keep_prob is (V,).

    Returns a mask (T,), True = stays, so that the document numbers can be cut alike.
    """
    return torch.rand(len(ids), generator=generator) < keep_prob[ids]


def skipgram_pairs(
    ids: Tensor, window: int, generator: torch.Generator, documents: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Pair each word with each of its neighbours; skip-gram guesses the second from the first.

    Parameters
    ----------
    ids : (T,) int64, the corpus.
    window : the largest radius. Each word draws its own from 1..window, so that near neighbours
        count more: one at distance d is used with probability (window - d + 1) / window.
    documents : (T,) int64 from 0 up, the document of each word, in runs; None = all one document.

    Returns
    -------
    centers, contexts : (N,) int64 each, in the order of the text.

    Examples
    --------
    >>> skipgram_pairs(torch.tensor([5, 6, 7]), 1, torch.Generator())
    (tensor([5, 6, 6, 7]), tensor([6, 5, 7, 6]))
    """
    neighbours, mask = neighbours_of(ids, window, generator, documents)  # (T, 2R) each
    return ids.repeat_interleave(mask.sum(dim=1)), neighbours[mask]


def cbow_windows(
    ids: Tensor,
    window: int,
    generator: torch.Generator,
    pad_id: int = 0,
    documents: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Collect the neighbours of each word; CBOW guesses the word from all of them at once.

    Parameters are those of `skipgram_pairs`; `pad_id` fills the places outside a window. A word
    that is alone in its document makes no question.

    Returns
    -------
    contexts, mask : (N, 2 * window) int64, and bool, True = a neighbour; in the order of the text.
    targets : (N,) int64, the words in the middle.
    """
    neighbours, mask = neighbours_of(ids, window, generator, documents)  # (T, 2R) each
    has_any = mask.any(dim=1)
    return neighbours.masked_fill(~mask, pad_id)[has_any], mask[has_any], ids[has_any]


def neighbours_of(
    ids: Tensor, window: int, generator: torch.Generator, documents: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the words at distance -window..-1, 1..window, and which are in the word's own window.

    Both (T, 2 * window), int64 and bool; what stands where the mask is False means nothing.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    if ids.ndim != 1 or not len(ids):
        raise ValueError(f"ids must be one row of words, (T,), got shape {tuple(ids.shape)}")
    if documents is None:
        documents = torch.zeros_like(ids)
    if documents.shape != ids.shape:
        raise ValueError(
            f"documents must be as long as ids, {len(ids)}, got {tuple(documents.shape)}"
        )
    offsets = torch.cat([torch.arange(-window, 0), torch.arange(1, window + 1)])  # (2R,)
    radius = torch.randint(1, window + 1, (len(ids), 1), generator=generator)
    is_same = around(documents, window, outside=-1) == documents[:, None]  # (T, 2R)
    return around(ids, window, outside=0), is_same & (offsets.abs() <= radius)


def around(row: Tensor, window: int, outside: int) -> Tensor:
    """Return what stands within `window` places of each place: (T,) -> (T, 2 * window)."""
    view = F.pad(row, (window, window), value=outside).unfold(0, 2 * window + 1, 1)  # (T, 2R + 1)
    return torch.cat([view[:, :window], view[:, window + 1 :]], dim=1)
