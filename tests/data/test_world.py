from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from minift.data.world import (
    ANALOGY_PAIRS,
    world_analogies,
    world_documents,
)
from minift.data.world_words import BLAME, KINDS, OPINIONS, PEOPLE, PRAISE, plural


def count_words(documents: list[list[str]]) -> Counter[str]:
    return Counter(word for document in documents for line in document for word in line.split())


@pytest.fixture(scope="module")
def documents() -> list[list[str]]:
    return world_documents(3000, seed=0)


@pytest.fixture(scope="module")
def counts(documents: list[list[str]]) -> Counter[str]:
    return count_words(documents)


def test_the_same_seed_tells_the_same_documents() -> None:
    assert world_documents(20, seed=3) == world_documents(20, seed=3)
    assert world_documents(20, seed=3) != world_documents(20, seed=4)


def test_more_documents_begin_with_the_fewer() -> None:
    assert world_documents(20, seed=3)[:5] == world_documents(5, seed=3)


def test_documents_have_five_to_nine_sentences(documents: list[list[str]]) -> None:
    assert {len(document) for document in documents} == {5, 6, 7, 8, 9}


def test_sentences_are_lower_case_words_between_single_spaces(
    documents: list[list[str]],
) -> None:
    for sentence in (line for document in documents for line in document):
        *words, last = sentence.split(" ")
        assert last in {".", "?", "!"}
        assert all(word in {",", "?"} or (word.isalpha() and word.islower()) for word in words), (
            sentence
        )


def test_there_are_a_few_hundred_words(counts: Counter[str]) -> None:
    assert 300 <= len(counts) <= 1000


def test_a_document_is_about_the_two_people_of_a_house(documents: list[list[str]]) -> None:
    names = {name for people in PEOPLE for name in people}
    for document in documents:
        words = {word for line in document for word in line.split()}
        assert tuple(sorted(words & names)) in {tuple(sorted(people)) for people in PEOPLE}


def test_both_halves_of_most_documents_share_a_name_or_a_thing(
    documents: list[list[str]],
) -> None:
    telling = {*(name for people in PEOPLE for name in people)}
    telling |= {thing for things in KINDS.values() for thing in things}

    def link(first: list[str], second: list[str]) -> bool:
        words = [{word for line in half for word in line.split()} for half in (first, second)]
        return bool(telling & words[0] & words[1])

    halves = [(d[: len(d) // 2], d[len(d) // 2 :]) for d in documents]
    true = sum(link(*pair) for pair in halves) / len(halves)
    strange = sum(link(a, b) for (a, _), (_, b) in pairwise(halves)) / len(halves)

    assert true > 0.9
    assert strange < 0.4


def test_opinions_of_a_document_are_on_one_side(documents: list[list[str]]) -> None:
    for document in documents:
        words = {word for line in document for word in line.split()}
        praises = words & {*PRAISE, *OPINIONS[True]["mood"], "good"}
        blames = words & {*BLAME, *OPINIONS[False]["mood"], "bad"}
        assert not (praises and blames)


def test_documents_only_tell_true_kinds(documents: list[list[str]]) -> None:
    kind_of = {thing: kind for kind, things in KINDS.items() for thing in things}
    told: set[tuple[str, str]] = set()
    for words in (line.split() for document in documents for line in document):
        if words[-1] == ".":  # a question may ask about a wrong kind
            match words[-6:]:
                case ["a", thing, "is", "a", kind, "."]:
                    told.add((thing, kind))

    assert told <= set(kind_of.items())
    assert len(told) > 0.9 * len(kind_of)


def test_planted_analogies_are_frequent_in_the_pretraining_corpus() -> None:
    counts = count_words(world_documents(20_000, seed=0))

    for pairs in ANALOGY_PAIRS.values():
        assert len(pairs) >= 8
        assert all(counts[word] >= 50 for pair in pairs for word in pair)


def test_analogies_join_each_pair_with_each_other_pair() -> None:
    analogies = world_analogies()

    assert ("dog", "puppy", "cat", "kitten") in analogies
    assert ("king", "queen", "actor", "actress") in analogies
    assert len(analogies) == sum(len(pairs) * (len(pairs) - 1) for pairs in ANALOGY_PAIRS.values())


def test_plural_knows_the_endings() -> None:
    assert [plural(noun) for noun in ("dog", "puppy", "finch", "goose")] == [
        "dogs",
        "puppies",
        "finches",
        "geese",
    ]


def test_a_negative_number_of_documents_is_refused() -> None:
    with pytest.raises(ValueError, match="num_documents must be 0 or more, got -1"):
        world_documents(-1, seed=0)
