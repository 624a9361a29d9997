"""Learning merges: what is planted is found, and counting incrementally changes nothing."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from minift.tokenizers.pair_merges import learn_merges

Words = dict[tuple[str, ...], int]


def merge_pair(symbols: list[str], pair: tuple[str, str], merged: str) -> list[str]:
    """Replace every occurrence of the pair, from left to right."""
    result: list[str] = []
    for symbol in symbols:
        if result and (result[-1], symbol) == pair:
            result[-1] = merged
        else:
            result.append(symbol)
    return result


def naive_merges(
    words: Words, tokens: list[str], vocab_size: int, min_count: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """Count every pair of every word again before each merge."""
    spellings = {word: list(word) for word in words}
    tokens, merges = list(tokens), []
    while len(tokens) < vocab_size:
        pair_counts: Counter[tuple[int, int]] = Counter()
        for word, spelling in spellings.items():
            for left, right in pairwise(spelling):
                pair_counts[tokens.index(left), tokens.index(right)] += words[word]
        if not pair_counts or max(pair_counts.values()) < min_count:
            break
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))
        left, right = (tokens[index] for index in best)
        merges.append((left, right))
        tokens.append(left + right)
        spellings = {
            word: merge_pair(spelling, (left, right), left + right)
            for word, spelling in spellings.items()
        }
    return tokens, merges


def test_the_commonest_pairs_are_merged_in_turn() -> None:
    words: Words = {tuple("low"): 5, tuple("lower"): 2, tuple("lowest"): 3}

    tokens, merges = learn_merges(words, sorted("lowerst"), 12, str.__add__)

    # l-o and o-w both occur 10 times; "l" has the smaller id. Then lo-w has all of these, ...
    assert merges[:3] == [("l", "o"), ("lo", "w"), ("low", "e")]
    # ... and of e-s, s-t (3 times) e-s is gone, for "e" belongs to "lowe".
    assert merges[3] == ("s", "t")
    assert merges[4] == ("lowe", "st")
    assert tokens[7:] == ["lo", "low", "lowe", "st", "lowest"]


def test_of_equal_counts_the_pair_of_smallest_ids_is_merged() -> None:
    words: Words = {("c", "d"): 4, ("a", "b"): 4, ("a", "c"): 4}

    assert learn_merges(words, list("abcd"), 7, str.__add__)[1] == [
        *[("a", "b"), ("a", "c"), ("c", "d")]
    ]
    assert learn_merges(words, list("dcba"), 7, str.__add__)[1] == [
        *[("c", "d"), ("a", "c"), ("a", "b")]
    ]


def test_pairs_rarer_than_min_count_are_left() -> None:
    words: Words = {("a", "b"): 3, ("c", "d"): 2}

    assert learn_merges(words, list("abcd"), 99, str.__add__, min_count=3)[1] == [("a", "b")]


@pytest.mark.parametrize("letters", ["ab", "abcde"])
@pytest.mark.parametrize("seed", range(10))
def test_incremental_counts_equal_counting_anew(letters: str, seed: int) -> None:
    # Two letters make runs like "aaaa", where pairs overlap.
    draw = random.Random(seed)
    words: Words = {
        tuple(draw.choices(letters, k=draw.randint(1, 12))): draw.randint(1, 9) for _ in range(30)
    }

    tokens, merges = naive_merges(words, list(letters), 60, min_count=2)

    assert learn_merges(words, list(letters), 60, str.__add__) == (tokens, merges)
    assert len(set(tokens)) == len(tokens) == len(letters) + len(merges)


def test_overlapping_pairs_are_merged_from_the_left() -> None:
    # aa aa a, of which the last two have the smaller ids
    assert learn_merges({"aaaaa": 2}, ["a"], 9, str.__add__)[1] == [
        *[("a", "a"), ("aa", "a"), ("aa", "aaa")]
    ]


def test_more_tokens_than_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="vocab_size must be at most 1114112, got 1114113"):
        learn_merges({"ab": 2}, ["a", "b"], 1_114_113, str.__add__)
