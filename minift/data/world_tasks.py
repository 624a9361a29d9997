"""Labelled tasks about the small world, made so that few labels suffice for those who read its documents.

A task is a table of sentence templates; the words come from the same cast as the documents' (see
`world.draw_cast`). Training examples use half of the names, things, verbs and adjectives and the first
templates; validation and test examples use the other half of the words and all templates. The documents
use all words alike. So a model that only saw the labelled examples meets unknown words in the test, and
one that read the documents meets old acquaintances.

Right and wrong answers come from the same templates and hold the same words equally often, so that
counting words says nothing about grammar, equivalence or entailment: one has to know how they fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from minift.data.world import draw_cast, fill


class Example(NamedTuple):
    """One labelled example. What a task does not use is None."""

    text: str  # the sentence, or the question
    pair: str | None = None  # the second sentence, or the context of a question
    label: int | None = None  # a place in TASK_CLASSES[task]
    answer: str | None = None  # words that occur in `pair` exactly once ...
    start: int | None = None  # ... beginning at this character


SPLITS = ("train", "validation", "test")
TASKS = ("acceptability", "sentiment", "equivalence", "entailment", "answer")
TASK_CLASSES: dict[str, tuple[str, ...]] = {
    "acceptability": ("unacceptable", "acceptable"),
    "sentiment": ("negative", "positive"),
    "equivalence": ("different", "equivalent"),
    "entailment": ("not entailed", "entailed"),
}

# Below, the first group of each pair of groups serves all splits, the second never the training split.
Groups = tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]

# (acceptable, unacceptable)
ACCEPTABILITY: Groups = (
    (
        ("the {critter} {moves} .", "the {critter} {move} ."),
        ("the {critters} {move} .", "the {critters} {moves} ."),
        ("a {critter} {moves} in the {place} .", "a {critters} {moves} in the {place} ."),
        ("two {critters} {move} in the {place} .", "two {critter} {move} in the {place} ."),
        ("the {critter} {moves} and {moves2} .", "the {moves} {critter} and {moves2} ."),
        ("{a} saw a {big} {critter} .", "{a} saw a {critter} {big} ."),
        ("{a} washed {a_self} .", "{a} washed {b_self} ."),
    ),
    (
        ("this {critter} {moves} .", "this {critters} {move} ."),
        ("these {critters} {move} .", "these {critter} {moves} ."),
        ("the {critters} {move} near {a} .", "the {move} {critters} near {a} ."),
        ("{a} saw many {big} {critters} .", "{a} saw many {big} {critter} ."),
        ("{a} hurt {a_self} .", "{a} hurt {b_self} ."),
    ),
)

# one sentence of one side; the label is the side of the cast
SENTIMENT: Groups = (
    (
        ("the {subject} was {adj} .",),
        ("{a} found the {subject} {adj} .",),
        ("the {subject} was {adj} and {adj2} .",),
    ),
    (
        ("what a {adj} {subject} !",),
        ("{a} called the {subject} {adj} .",),
        ("the {subject} in the {place} was {adj} .",),
    ),
)

# (a sentence, what says the same, what says something else)
EQUIVALENCE: Groups = (
    (
        ("{a} {gave} {b} a {thing} .", "{b} {got} a {thing} from {a} .", "{a} {got} a {thing} from {b} ."),
        ("{a} {acted} {b} .", "{b} was {acted} by {a} .", "{a} was {acted} by {b} ."),
        ("{a} {mended} the {thing} .", "{a} {repaired} the {thing} .", "{a} {repaired2} the {thing} ."),
        ("the {thing} was {big} .", "the {thing} was {large} .", "the {thing} was {large2} ."),
    ),
    (
        ("{b} {got} a {thing} from {a} .", "{a} {gave} {b} a {thing} .", "{b} {gave} {a} a {thing} ."),
        ("{a} was {acted} by {b} .", "{b} {acted} {a} .", "{a} {acted} {b} ."),
        ("{a} has a {big} {thing} .", "{a} has a {large} {thing} .", "{a} has a {large2} {thing} ."),
    ),
)

# (a premise, what follows from it, what does not)
ENTAILMENT: Groups = (
    (
        ("{a} saw a {thing} .", "{a} saw a {kind} .", "{a} saw a {other_kind} ."),
        ("{a} has a {thing} .", "{a} has a {kind} .", "{a} has a {other_kind} ."),
        ("{a} found a {thing} .", "{a} found a {kind} .", "{a} found a {other_kind} ."),
    ),
    (
        ("there is a {thing} in the {place} .", "there is a {kind} .", "there is a {other_kind} ."),
        ("{a} {gave} {b} a {thing} .", "{b} has a {kind} .", "{b} has a {other_kind} ."),
    ),
)

# (a question, its answer, the sentences of the context)
ANSWER: Groups = (
    (
        ("who has the {thing} ?", "{a}", "{a} has a {thing} .", "{b} has a {other} ."),
        ("where is {a} ?", "in the {place}", "{a} is in the {place} .", "{b} is in the {place2} ."),
        ("what did {a} lose ?", "a {thing}", "{a} lost a {thing} .", "{b} lost a {other} ."),
    ),
    (
        ("who is in the {place} ?", "{a}", "{a} is in the {place} .", "{b} is in the {place2} ."),
        ("what has {a} ?", "a {thing}", "{a} has a {thing} .", "{b} has a {other} ."),
        ("who lost the {thing} ?", "{a}", "{a} lost a {thing} .", "{b} lost a {other} ."),
    ),
)
# sentences that are put among those of a context or of a story, and change nothing
ASIDES: tuple[tuple[str, ...], ...] = (
    ("the {subject} was {adj} .",),
    ("the {critter} {moves} .",),
    ("two {critters} {move} .",),
)

# (a story's main event, then the story)
SUMMARY: Groups = (
    (
        (
            "{a} found a {thing} in the {place} .",
            "{a} went to the {place} .",
            "{a_he} found a {thing} .",
            "{b} was there too .",
        ),
        (
            "{a} {acted} {b} in the {place} .",
            "{a} and {b} were in the {place} .",
            "{a} {acted} {b} .",
            "then {b} {reaction} .",
        ),
    ),
    (
        (
            "{a} {gave} {b} a {thing} .",
            "{a} had a {thing} .",
            "{a_he} met {b} in the {place} .",
            "{a_he} {gave} {b} the {thing} .",
        ),
    ),
)
