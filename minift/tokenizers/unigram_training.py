"""Learning unigram pieces: many candidates, their probabilities by EM, the useless dropped, again.

All strings that repeat within words are candidates. EM gives each a probability: the E step counts
how often a piece is used, over all ways to cut each word, weighed by how probable the ways are; the
M step makes counts probabilities again. Then the pieces go whose loss the text would feel least:
those that other pieces spell nearly as well (Kudo 2018, section 3.2). Single characters stay, so
that every word can be spelt.

The E step needs no backward pass of its own: the expected count of a piece is the derivative of the
log-likelihood by its log-probability (Eisner 2016, "Inside-Outside and Forward-Backward Algorithms
Are Just Backprop"), so that autograd does it.

Unlike the paper's trainer, words of equal length are worked on together, as rows of a tensor, and a
piece's loss is its expected count times what all its other spellings together cost.

Shapes: W words of one length, P pieces.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby

import torch
from torch import Tensor

from minift.tokenizers.charsmap import SPACE

MAX_PIECE_LENGTH = 16  # characters, as SentencePiece's
CANDIDATES_PER_PIECE = 10  # more cost time and change little
NUM_EM_STEPS = 2  # in a round
SHRINK = 0.75  # the part of pieces that a round keeps
MIN_EXPECTED_COUNT = 0.5  # what is used less is no piece any more
NEVER = -1e6  # log-probability of what is no piece; finite, so that derivatives are too


def learn_pieces(
    texts: Iterable[str],
    num_pieces: int,
    *,
    symbols: Sequence[str] = (),
    character_coverage: float = 0.9995,
) -> list[tuple[str, float]]:
    """Return pieces with their log-probabilities, the most probable first.

    Parameters
    ----------
    texts : normalised, with "▁" for spaces; a word begins at each.
    num_pieces : the most there may be; fewer where fewer strings repeat.
    symbols : strings that are no part of words (user-defined symbols).
    character_coverage : the part of all characters, in (0, 1], that must be spelt.

    Raises
    ------
    ValueError if there are more characters to spell than `num_pieces`.
    """
    if not 0 < character_coverage <= 1:
        raise ValueError(f"character_coverage must be above 0, at most 1, got {character_coverage}")
    words = Counter(word for text in texts for word in split_words(text, symbols))
    characters = _common_characters(words, character_coverage)
    if num_pieces < len(characters):
        raise ValueError(
            f"vocab_size must leave room for {len(characters)} characters of the texts, "
            f"got {num_pieces} tokens besides special ones"
        )
    words = _of_characters(words, characters)
    if not words:
        return []
    candidates = _candidates(words, characters, max(num_pieces, 1000) * CANDIDATES_PER_PIECE)
    pieces = list(candidates)  # P, the characters first
    word_lattice = Lattice(words, pieces)
    piece_lattice = Lattice(pieces, pieces, spelt_by_others=True)
    word_counts = torch.tensor(list(words.values()), dtype=torch.float64)  # (W,)
    needed = torch.zeros(len(pieces), dtype=torch.bool)  # (P,)
    needed[: len(characters)] = True

    alive = torch.ones(len(pieces), dtype=torch.bool)  # (P,)
    scores = torch.tensor(list(candidates.values()), dtype=torch.float64)
    scores = (scores / scores.sum()).log()
    while True:
        for _ in range(NUM_EM_STEPS):
            counts = expected_counts(word_lattice, word_counts, scores)
            used = needed | (alive & (counts >= MIN_EXPECTED_COUNT))
            if int(used.sum()) >= num_pieces:
                alive = used
            scores = _log_probabilities(counts, alive)
        if int(alive.sum()) <= num_pieces:
            break
        keep = max(num_pieces, int(SHRINK * int(alive.sum())))
        losses = counts * (scores - piece_lattice.log_likelihoods(scores))
        losses[needed] = torch.inf
        losses[~alive] = -torch.inf
        alive = torch.zeros_like(alive).index_fill(0, losses.topk(keep).indices, True)
        scores = scores.masked_fill(~alive, NEVER)

    ranking = sorted(alive.nonzero().flatten().tolist(), key=lambda i: (-scores[i], pieces[i]))
    return [(pieces[index], float(scores[index])) for index in ranking]


def expected_counts(lattice: Lattice, word_counts: Tensor, scores: Tensor) -> Tensor:
    """The E step: how often each piece is used when each way to cut a word has its probability.

    word_counts is (W,), scores (P,) log-probabilities. Returns (P,).
    """
    scores = scores.detach().requires_grad_()
    log_likelihood = word_counts @ lattice.log_likelihoods(scores)
    (counts,) = torch.autograd.grad(log_likelihood, scores)
    return counts


def _log_probabilities(counts: Tensor, alive: Tensor) -> Tensor:
    """The M step: expected counts (P,) to log-probabilities (P,).

    With digamma for the logarithm, as of a mean under a prior that likes few pieces (Liang et al.
    2007): exp(digamma(x)) is about x - 0.5, which takes from the rare ones.
    """
    counts = counts.clamp(min=MIN_EXPECTED_COUNT)  # a needed character may not occur alone
    scores = torch.digamma(counts) - torch.digamma(counts[alive].sum())
    return scores.masked_fill(~alive, NEVER)


class Lattice:
    """All ways to cut each of some words into pieces.

    Parameters
    ----------
    words : W of them, none empty.
    pieces : P of them; a piece's number is its position.
    spelt_by_others : a word that is a piece itself must be cut into others.
    """

    def __init__(
        self, words: Iterable[str], pieces: Sequence[str], spelt_by_others: bool = False
    ) -> None:
        numbers = {piece: index for index, piece in enumerate(pieces)}
        none = len(pieces)
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        words = list(words)
        for index, word in enumerate(words):
            by_length[len(word)].append(index)
        self.num_words = len(words)
        # For words of length n: which they are (W,), and the pieces, (W, n, L), that end at a place
        # 1..n and are 1..L long; `none` where that string is no piece.
        self.groups: list[tuple[Tensor, Tensor]] = []
        for n, indices in by_length.items():
            longest = min(n, MAX_PIECE_LENGTH)
            edges = [
                [
                    numbers.get(words[index][end - size : end], none) if size <= end else none
                    for end in range(1, n + 1)
                    for size in range(1, longest + 1)
                ]
                for index in indices
            ]
            table = torch.tensor(edges).view(len(indices), n, longest)
            if spelt_by_others and n <= longest:
                table[:, n - 1, n - 1] = none
            self.groups.append((torch.tensor(indices), table))

    def log_likelihoods(self, scores: Tensor) -> Tensor:
        """Sum over all ways to cut each word: the forward algorithm.

        scores is (P,), log-probabilities. Returns (W,), log-probabilities.
        """
        padded = torch.cat([scores, scores.new_full((1,), NEVER)])
        result = scores.new_zeros(self.num_words)
        for indices, table in self.groups:
            _, n, longest = table.shape
            edges = padded[table]  # (W, n, L)
            forward = [scores.new_zeros(len(indices))]  # of each prefix, (W,)
            for end in range(1, n + 1):
                sizes = min(end, longest)
                # Reversed, so that the prefix before a piece of size 1 comes first.
                before = torch.stack(forward[end - sizes : end][::-1], dim=1)  # (W, sizes)
                forward.append(torch.logsumexp(before + edges[:, end - 1, :sizes], dim=1))
            result = result.index_put((indices,), forward[n])
        return result


def split_words(text: str, symbols: Sequence[str] = ()) -> list[str]:
    """Cut text into what pieces may not reach across: words, and letters, digits and signs apart.

    >>> split_words("▁It's▁in▁1998.")
    ['▁It', "'", 's', '▁in', '▁1998', '.']
    """
    if symbols:
        longest_first = sorted(symbols, key=len, reverse=True)
        parts = re.split("|".join(map(re.escape, longest_first)), text)
        return [word for part in parts for word in split_words(part)]
    words: list[str] = []
    for kind, characters in groupby(text, _kind):
        run = "".join(characters)
        if kind == SPACE:
            words += [SPACE] * len(run)
        elif words and words[-1] == SPACE:
            words[-1] += run
        else:
            words.append(run)
    return words


@cache
def _kind(character: str) -> str:
    if character == SPACE:
        return SPACE
    category = unicodedata.category(character)[0]
    return {"L": "letter", "M": "letter", "N": "digit"}.get(category, "sign")


def _common_characters(words: Mapping[str, int], coverage: float) -> dict[str, int]:
    """The commonest characters, until they are that part of the text, with their counts."""
    counts: Counter[str] = Counter()
    for word, word_count in words.items():
        for character in word:
            counts[character] += word_count
    wanted = coverage * sum(counts.values())
    common: dict[str, int] = {}
    covered = 0
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if covered >= wanted:
            break
        common[character] = count
        covered += count
    return common


def _of_characters(words: Mapping[str, int], characters: Mapping[str, int]) -> Counter[str]:
    """Words without other characters, which part them; what is too long is parted too."""
    result: Counter[str] = Counter()
    for word, word_count in words.items():
        for is_common, run in groupby(word, characters.__contains__):
            if is_common:
                part = "".join(run)
                for start in range(0, len(part), 4 * MAX_PIECE_LENGTH):
                    result[part[start : start + 4 * MAX_PIECE_LENGTH]] += word_count
    return result


def _candidates(
    words: Mapping[str, int], characters: Mapping[str, int], max_candidates: int
) -> dict[str, int]:
    """The characters, then the strings that repeat and cover most text, with their counts."""
    counts: Counter[str] = Counter()
    for word, word_count in words.items():
        for start in range(len(word)):
            for end in range(start + 2, min(start + MAX_PIECE_LENGTH, len(word)) + 1):
                counts[word[start:end]] += word_count
    repeated = [string for string, count in counts.items() if count >= 2]
    repeated.sort(key=lambda string: (-counts[string] * len(string), string))
    return {**characters, **{string: counts[string] for string in repeated[:max_candidates]}}
