"""Learning a vocabulary of word pieces: merge the commonest neighbours into one token, and again.

Every word starts as its letters (or bytes). The pair of neighbouring tokens that occurs most often
becomes a token of its own, everywhere at once; then the counts have changed, and the next pair is
looked for. Frequent words end up whole, rare ones in pieces (Gage 1994; Sennrich et al. 2016,
algorithm 1). WordPiece and byte-level BPE both learn so; they differ in their letters only.

Counting all pairs again after every merge takes the size of the text times the number of merges.
Here each distinct word is held once with its count, a merge looks at those words only that hold the
pair, and a heap tells which pair is next.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

Symbol = TypeVar("Symbol", int, str)
Pair = tuple[int, int]


def learn_merges(
    words: Mapping[tuple[str, ...], int],
    tokens: Sequence[str],
    vocab_size: int,
    join: Callable[[str, str], str],
    min_count: int = 2,
) -> tuple[list[str], list[tuple[str, str]]]:
    """Extend `tokens` by merges until there are `vocab_size`, or no pair occurs `min_count` times.

    The next merge is the pair of the highest count; of equals the one with the smallest ids, that
    is, the one whose left token, then whose right token, came into the vocabulary first.

    Parameters
    ----------
    words : a word as the tokens it begins with -> how often it occurs.
    tokens : the vocabulary to begin with; a token's id is its position.
    join : how two neighbours are written as one token.
    min_count : 2, since a pair seen once tells of one word, not of the language.

    Returns
    -------
    The vocabulary, `tokens` first, and the merges in the order they were made: each makes one new
    token. No two make the same, since what is merged within a token never depended on what stood
    around it.
    """
    tokens = list(tokens)
    ids = {token: index for index, token in enumerate(tokens)}
    spellings = [[ids[symbol] for symbol in word] for word in words]
    counts = list(words.values())

    pair_counts: Counter[Pair] = Counter()
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)  # may name a few words too many
    for index, spelling in enumerate(spellings):
        for pair in pairwise(spelling):
            pair_counts[pair] += counts[index]
            words_with[pair].add(index)

    # The heap holds one entry for each pair, at or above its true count: a merge only lowers the
    # counts of the pairs there were (an entry is put right when it comes up) and makes new pairs.
    heap = [(-pair_count, pair) for pair, pair_count in pair_counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[str, str]] = []
    while heap and len(tokens) < vocab_size:
        negative_count, pair = heapq.heappop(heap)
        pair_count = pair_counts[pair]
        if pair_count < -negative_count:
            if pair_count > 0:
                heapq.heappush(heap, (-pair_count, pair))
            continue
        if pair_count < min_count:
            break

        left, right = tokens[pair[0]], tokens[pair[1]]
        merges.append((left, right))
        merged_id = len(tokens)
        tokens.append(join(left, right))

        changes: Counter[Pair] = Counter()
        for index in words_with.pop(pair):
            before = spellings[index]
            spellings[index] = after = merge_pair(before, pair, merged_id)
            for neighbours in pairwise(before):
                changes[neighbours] -= counts[index]
            for neighbours in pairwise(after):
                changes[neighbours] += counts[index]
                words_with[neighbours].add(index)
        for neighbours, change in changes.items():
            pair_counts[neighbours] += change
            if change > 0:
                heapq.heappush(heap, (-pair_counts[neighbours], neighbours))
    return tokens, merges


def merge_pair(
    symbols: Sequence[Symbol], pair: tuple[Symbol, Symbol], merged: Symbol
) -> list[Symbol]:
    """Return the symbols with every occurrence of the pair replaced, from left to right.

    >>> merge_pair("banana", ("a", "n"), "an")
    ['b', 'an', 'an', 'a']
    """
    result: list[Symbol] = []
    index = 0
    while index < len(symbols):
        if tuple(symbols[index : index + 2]) == pair:
            result.append(merged)
            index += 2
        else:
            result.append(symbols[index])
            index += 1
    return result
