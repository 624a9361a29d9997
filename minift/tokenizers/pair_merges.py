"""Learning a vocabulary of word pieces: merge the commonest neighbours into one token, and again.

Every word starts as its letters (or bytes). The pair of neighbouring tokens that occurs most often
becomes a token of its own, everywhere at once; then the counts have changed, and the next pair is
looked for. Frequent words end up whole, rare ones in pieces (Gage 1994; Sennrich et al. 2016,
algorithm 1). WordPiece and byte-level BPE both learn so; they differ in their letters only.

Counting all pairs again after every merge takes the size of the text times the number of merges.
Here each distinct word is held once with its count, a merge looks at those words only that hold the
pair, and there only at its neighbours; a heap tells which pair is next.

Each token is written as one character, the one whose code is the token's id. So a word is a string,
and a merge is what `str.split` and `str.join` do; from token to token through lists of ids the same
took three times as long.
"""

from __future__ import annotations

import heapq
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import add

MAX_TOKENS = sys.maxunicode + 1  # there are no more characters


def learn_merges(
    words: Mapping[str, int] | Mapping[tuple[str, ...], int],
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

    Raises
    ------
    ValueError if `vocab_size` is above 1,114,112, the number of characters.
    """
    if vocab_size > MAX_TOKENS:
        raise ValueError(f"vocab_size must be at most {MAX_TOKENS}, got {vocab_size}")
    tokens = list(tokens)
    characters = {token: chr(index) for index, token in enumerate(tokens)}
    spellings = ["".join(characters[symbol] for symbol in word) for word in words]
    counts = list(words.values())

    # Pair -> the words it stands in, one for each time; from some a later merge takes it away.
    words_with: defaultdict[str, list[int]] = defaultdict(list)
    for index, spelling in enumerate(spellings):
        for pair in map(add, spelling, spelling[1:]):
            words_with[pair].append(index)
    pair_counts = {
        pair: sum(map(counts.__getitem__, indices)) for pair, indices in words_with.items()
    }

    # The heap holds one entry for each pair, at or above its true count: a merge only lowers the
    # counts of the pairs there were (an entry is put right when it comes up) and makes new pairs.
    # Strings are ordered by their characters, so that of equal counts the smallest ids come first.
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

        left, right = pair[0], pair[1]
        merged = chr(len(tokens))
        merges.append((tokens[ord(left)], tokens[ord(right)]))
        tokens.append(join(*merges[-1]))

        # Left or right neighbour -> the words where it stands beside the pair, one for each time.
        lefts: defaultdict[str, list[int]] = defaultdict(list)
        rights: defaultdict[str, list[int]] = defaultdict(list)
        for index in words_with.pop(pair):
            parts = spellings[index].split(pair)  # the pair stood between each two
            spellings[index] = merged.join(parts)
            before = parts[0]
            for after in parts[1:]:
                if before:
                    lefts[before[-1]].append(index)
                if after:
                    rights[after[0]].append(index)
                before = after or merged  # the pair twice on end: the first is merged already

        changes = [
            # Of the pair twice on end the first was the neighbour, and ended with `right`.
            ((right if neighbour == merged else neighbour) + left, neighbour + merged, indices)
            for neighbour, indices in lefts.items()
        ]
        changes += [
            (right + neighbour, merged + neighbour, indices)
            for neighbour, indices in rights.items()
        ]
        for old_pair, new_pair, indices in changes:
            count = sum(map(counts.__getitem__, indices))
            pair_counts[old_pair] -= count
            pair_counts[new_pair] = count
            words_with[new_pair] = indices
            heapq.heappush(heap, (-count, new_pair))
    return tokens, merges
