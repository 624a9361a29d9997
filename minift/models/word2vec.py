"""word2vec: a vector for each word, learnt by guessing words from their neighbours.

Mikolov et al. 2013a, "Efficient estimation of word representations in vector space" (CBOW,
skip-gram, analogies); Mikolov et al. 2013b, "Distributed representations of words and phrases and
their compositionality" (negative sampling, section 2.2).

CBOW and skip-gram are the same net. CBOW feeds the words around a gap and asks for the word in it;
skip-gram feeds one word and asks for one of its neighbours. Both average the input vectors and
compare the average with the output vector of every word. What is kept afterwards is the trunk: the
mean of a text's vectors is a feature for any task, and the oldest kind of transfer in language.

Shapes: B batch, T length, C model width, V vocabulary, K negatives, Q queries.

On purpose not as in the paper: no hierarchical softmax. A small vocabulary can afford the full one,
which is plain cross-entropy of the "pretrain" head's logits; a large one has negative sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.models.heads import SpanHead, SpanLogits, checked_classes, head_of
from minift.stages import Model, Staged


@dataclass(frozen=True)
class Word2VecConfig:
    vocab_size: int = 10_000
    hidden_size: int = 64  # C, the length of a word's vector
    pad_id: int = 0  # this id is padding where no attention_mask is given


PRESETS: dict[str, Word2VecConfig] = {
    "word2vec": Word2VecConfig(vocab_size=367),  # comes with weights, and so many words
}


class WordIds(NamedTuple):
    """What enters: input_ids (B, T) int64; attention_mask (B, T) bool, True = a real word."""

    input_ids: Tensor
    attention_mask: Tensor


class WordVectors(NamedTuple):
    """What leaves the embedding: hidden (B, T, C), and the mask as it came."""

    hidden: Tensor
    attention_mask: Tensor


class Embedding(nn.Module):
    """The table of input vectors, (V, C); a row is looked up for each word."""

    def __init__(self, config: Word2VecConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)

    def forward(self, flow: WordIds) -> WordVectors:
        return WordVectors(self.words(flow.input_ids), flow.attention_mask)

    def reset_parameters(self) -> None:
        """Uniform in +-1 / 2C, as the authors' program has it."""
        bound = 0.5 / self.words.embedding_dim
        nn.init.uniform_(self.words.weight, -bound, bound)


class Mean(nn.Module):
    """The mean of the real words' vectors, (B, C); zero for a row without any."""

    def forward(self, flow: WordVectors) -> Tensor:
        mask = flow.attention_mask.unsqueeze(2).to(flow.hidden.dtype)  # (B, T, 1)
        return (flow.hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)

    def reset_parameters(self) -> None:
        """Nothing to draw: a mean has no weights."""


class OutputVectors(nn.Module):
    """The second table, (V, C): the vector a word has as the answer. Returns logits (B, V)."""

    def __init__(self, config: Word2VecConfig) -> None:
        super().__init__()
        # Zero, as the authors' program has it: at first every word is as likely as any other.
        self.weight = nn.Parameter(torch.zeros(config.vocab_size, config.hidden_size))

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.weight.T


class ClassifyHead(nn.Module):
    """One linear layer on the mean vector. Returns logits (B, num_classes)."""

    def __init__(self, config: Word2VecConfig, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(config.hidden_size, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)


class WordSpanHead(SpanHead):
    """Points at words by their own vectors, for the mean has no positions: it reads no question."""

    taps = ("embedding",)

    def forward(self, flows: Sequence[WordVectors]) -> SpanLogits:
        return super().forward(flows[0])


class Word2Vec(Model):
    """`Word2Vec(config, head=..., num_classes=...)`.

    Heads: "pretrain" (logits (B, V) from the output vectors), "classify", "span", None (features
    (B, C)).

    Examples
    --------
    >>> model = Word2Vec(Word2VecConfig(vocab_size=100), head="pretrain")
    >>> context = torch.tensor([[5, 7, 0, 0], [6, 9, 8, 2]])  # CBOW; skip-gram feeds (B, 1)
    >>> model(context).shape
    torch.Size([2, 100])
    """

    family = "word2vec"
    input_names = ("input_ids", "attention_mask")

    def __init__(
        self, config: Word2VecConfig, head: str | None = "pretrain", num_classes: int | None = None
    ) -> None:
        trunk = Staged({"embedding": Embedding(config), "mean": Mean()})
        super().__init__(config, trunk, head, num_classes)

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        makers = {
            "pretrain": lambda: OutputVectors(self.config),
            "classify": lambda: ClassifyHead(self.config, checked_classes(num_classes)),
            "span": lambda: WordSpanHead(self.config),
        }
        return head_of(makers, name, num_classes)

    def prepare(  # type: ignore[override]
        self, input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> WordIds:
        """input_ids is (B, T); attention_mask None means all but `pad_id` are real words."""
        if attention_mask is None:
            attention_mask = input_ids != self.config.pad_id
        return WordIds(input_ids, attention_mask)

    @property
    def vectors(self) -> Tensor:
        """The words' vectors (V, C), without gradient: what `nearest` and `analogy` read."""
        embedding = self.trunk.stages["embedding"]
        assert isinstance(embedding, Embedding)
        return embedding.words.weight.detach()


def negative_sampling_loss(
    features: Tensor, output_weight: Tensor, targets: Tensor, negatives: Tensor
) -> Tensor:
    """Tell the right word from K drawn ones: -log s(u_t h) - sum_k log s(-u_k h), s the sigmoid.

    Mikolov et al. 2013b, equation 4. A step costs K + 1 words in place of all V.

    Parameters
    ----------
    features : (B, C), the trunk's output h.
    output_weight : (V, C), the output vectors u.
    targets : (B,) int64, the right words.
    negatives : (B, K) int64, or (K,) to share the drawn words between all predictions, which makes
        one matrix product of the lookups. One that happens to be the target does not count.

    Returns
    -------
    Tensor : the mean over the B predictions, so runs with different windows can be compared.
    """
    right = (features * F.embedding(targets, output_weight)).sum(dim=1)  # (B,)
    drawn = F.embedding(negatives, output_weight)  # (B, K, C) or (K, C)
    if negatives.ndim == 1:
        wrong = features @ drawn.T  # (B, K)
    else:
        wrong = (drawn @ features.unsqueeze(2)).squeeze(2)  # (B, K)
    is_target = negatives == targets.unsqueeze(1)  # (B, K)
    loss_of_wrong = F.softplus(wrong).masked_fill(is_target, 0.0).sum(dim=1)  # (B,)
    return (F.softplus(-right) + loss_of_wrong).mean()


def nearest(
    vectors: Tensor, query: Tensor, k: int = 10, exclude: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Find the words whose vectors point most nearly in the query's direction.

    Parameters
    ----------
    vectors : (V, C), one row a word.
    query : (C,) or (Q, C).
    exclude : ids that are no answers, such as the word asked about: (E,), or (Q, E) by query.

    Returns
    -------
    ids, cosines : (k,) or (Q, k) each, the nearest first.
    """
    num_left = len(vectors) - (0 if exclude is None else exclude.shape[-1])
    if not 1 <= k <= num_left:
        raise ValueError(f"k must be in 1..{num_left} (the words that are not excluded), got {k}")
    cosines = F.normalize(query, dim=-1) @ F.normalize(vectors, dim=-1).T  # (..., V)
    if exclude is not None:
        cosines = cosines.scatter(-1, exclude.expand(*query.shape[:-1], -1), -torch.inf)
    top = cosines.topk(k, dim=-1)
    return top.indices, top.values


def analogy(vectors: Tensor, questions: Tensor, k: int = 1) -> Tensor:
    """Answer "a is to b as c is to ...?" by the words nearest to b - a + c.

    The vectors are brought to length one first (3CosAdd: Levy and Goldberg 2014, equation 3), and
    a, b and c are no answers; without that rule the answer is mostly b or c itself.

    Parameters
    ----------
    questions : (3,) or (Q, 3) int64, the ids of a, b, c.

    Returns
    -------
    Tensor : ids, (k,) or (Q, k), the best first.
    """
    unit = F.normalize(vectors, dim=1)
    a, b, c = unit[questions].unbind(-2)  # (C,) or (Q, C) each
    return nearest(unit, b - a + c, k, exclude=questions)[0]


def analogy_accuracy(vectors: Tensor, quadruples: Tensor) -> float:
    """Return the share of quadruples a, b, c, d, (Q, 4) int64, whose best answer is d."""
    if quadruples.ndim != 2 or quadruples.shape[1] != 4 or not len(quadruples):
        raise ValueError(
            f"quadruples must be (Q, 4) with Q at least 1, got {tuple(quadruples.shape)}"
        )
    chunks = quadruples.split(1024)  # the scores are (Q, V): too many to hold at once
    right = sum(int((analogy(vectors, q[:, :3])[:, 0] == q[:, 3]).sum()) for q in chunks)
    return right / len(quadruples)
