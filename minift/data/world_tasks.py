"""Labelled tasks about the small world: a few labels do for who has read its documents.

A task is a table of sentence templates; the words come from a cast, as in the documents. Training
examples use half of the words (see `world.draw_cast`) and the first templates; validation and test
examples use the other half of the words, and all templates. The documents use all words alike. So
a model that only saw the labelled examples meets strangers in the test, and one that has read the
documents meets old acquaintances.

Right and wrong sentences come from the same row and hold the same words equally often in training,
so counting words says nothing about grammar, equivalence or entailment: one has to know what fits.
A shortcut is left: equivalent sentences begin with different names, others with the same, so that
to compare the first words is enough. (In the test these are names that no label has told of.)
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
WHOLE = "whole"  # not parted: all words and templates, as in the documents
TASKS = ("acceptability", "sentiment", "equivalence", "entailment", "answer")
TASK_CLASSES: dict[str, tuple[str, ...]] = {
    "acceptability": ("unacceptable", "acceptable"),
    "sentiment": ("negative", "positive"),
    "equivalence": ("different", "equivalent"),
    "entailment": ("not entailed", "entailed"),
}

# Templates in two groups: the first serves all splits, the second is held out of training.
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
    ),
    (
        ("this {critter} {moves} .", "this {critters} {move} ."),
        ("these {critters} {move} .", "these {critter} {moves} ."),
        ("the {critters} {move} near {a} .", "the {move} {critters} near {a} ."),
        ("{a} saw many {big} {critters} .", "{a} saw many {big} {critter} ."),
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
        (
            "{a} {gave} {b} a {thing} .",
            "{b} {got} a {thing} from {a} .",
            "{a} {got} a {thing} from {b} .",
        ),
        (
            "{b} {got} a {thing} from {a} .",
            "{a} {gave} {b} a {thing} .",
            "{b} {gave} {a} a {thing} .",
        ),
        ("{a} {acted} {b} .", "{b} was {acted} by {a} .", "{a} was {acted} by {b} ."),
    ),
    (("{a} was {acted} by {b} .", "{b} {acted} {a} .", "{a} {acted} {b} ."),),
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
        ("where is {a} ?", "in the {place}", "{a} is in the {place} with a {thing} ."),
        ("what has {a} ?", "a {thing}", "{a} is in the {place} with a {thing} ."),
        ("who has the {thing} ?", "{a}", "{a} is in the {place} with a {thing} ."),
        ("where was the {thing} ?", "in the {place}", "in the {place} {a} found a {thing} ."),
        ("what did {a} find ?", "a {thing}", "in the {place} {a} found a {thing} ."),
        ("who found the {thing} ?", "{a}", "in the {place} {a} found a {thing} ."),
    ),
    (
        ("who is in the {place} ?", "{a}", "{a} is in the {place} with a {thing} ."),
        ("where was the {thing} ?", "in the {place}", "{a} found a {thing} in the {place} ."),
        ("who found the {thing} ?", "{a}", "{a} found a {thing} in the {place} ."),
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
            "{a} found a {thing} .",
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
            "{a} met {b} in the {place} .",
            "{a} {gave} {b} the {thing} .",
        ),
    ),
)


def world_task(name: str, num_examples: int, *, seed: int, split: str = "train") -> list[Example]:
    """Make labelled examples of one task, the same ones for the same arguments.

    Parameters
    ----------
    name : one of TASKS.
    num_examples : how many; classes come equally often (of an odd number, one more of class 0).
    split : one of SPLITS. "validation" and "test" use words and templates that "train" never does;
        each split draws its own random numbers. WHOLE is no split, and uses all of both.

    Examples
    --------
    >>> len(world_task("entailment", 64, seed=0))
    64
    """
    _check(name, TASKS, num_examples, split)
    rng = Random(f"{name} {split} {seed}")
    make = _answer_example if name == "answer" else _labelled_example
    examples = [make(rng, name, split, index % 2) for index in range(num_examples)]
    rng.shuffle(examples)
    return examples


def text_to_text(
    name: str, num_examples: int, *, seed: int, split: str = "train"
) -> list[tuple[str, str]]:
    """Make (source, target) texts for a model that reads and writes text.

    `name` is "summary" (4 to 6 sentences -> their main event), "question" (question and context ->
    the answer) or "class" (a sentence -> "positive" or "negative"). Splits as in `world_task`.
    """
    _check(name, tuple(_AS_TEXT), num_examples, split)
    rng = Random(f"{name} {split} {seed}")
    pairs = [_AS_TEXT[name](rng, split, index % 2) for index in range(num_examples)]
    rng.shuffle(pairs)
    return pairs


def _labelled_example(rng: Random, name: str, split: str, label: int) -> Example:
    cast = draw_cast(rng, _words(split), is_good=bool(label))
    sentences = fill(_draw_templates(rng, _LABELLED[name], split), cast)
    if name == "sentiment":
        return Example(sentences[0], label=label)
    *first, right, wrong = sentences
    chosen = right if label else wrong
    return Example(first[0], chosen, label) if first else Example(chosen, label=label)


def _answer_example(rng: Random, name: str, split: str, _: int) -> Example:
    cast = draw_cast(rng, _words(split))
    question, answer, *context = fill(_draw_templates(rng, ANSWER, split), cast)
    pair = " ".join(_with_asides(rng, context, cast, least=1, most=2, shuffle=True))
    return Example(question, pair, answer=answer, start=pair.index(answer))


def _summary(rng: Random, split: str, _: int) -> tuple[str, str]:
    cast = draw_cast(rng, _words(split))
    event, *story = fill(_draw_templates(rng, SUMMARY, split), cast)
    told = _with_asides(rng, story, cast, least=1, most=3)
    return f"summarize : {' '.join(told)}", event


def _question(rng: Random, split: str, label: int) -> tuple[str, str]:
    example = _answer_example(rng, "answer", split, label)
    assert example.answer is not None
    return f"question : {example.text} context : {example.pair}", example.answer


def _class(rng: Random, split: str, label: int) -> tuple[str, str]:
    example = _labelled_example(rng, "sentiment", split, label)
    return f"classify : {example.text}", TASK_CLASSES["sentiment"][label]


_LABELLED = {
    "acceptability": ACCEPTABILITY,
    "sentiment": SENTIMENT,
    "equivalence": EQUIVALENCE,
    "entailment": ENTAILMENT,
}
_AS_TEXT = {"summary": _summary, "question": _question, "class": _class}


def _words(split: str) -> slice:
    """Which places of the word tables a split may use: even for training, odd for the rest."""
    if split == WHOLE:
        return slice(None)
    return slice(0 if split == "train" else 1, None, 2)


def _draw_templates(rng: Random, groups: Groups, split: str) -> tuple[str, ...]:
    shared, held_out = groups
    return rng.choice(shared if split == "train" else shared + held_out)


def _with_asides(
    rng: Random,
    sentences: Sequence[str],
    cast: Mapping[str, str],
    *,
    least: int = 0,
    most: int,
    shuffle: bool = False,
) -> list[str]:
    """Put `least` to `most` asides at random places among the sentences."""
    told = list(sentences)
    if shuffle:
        rng.shuffle(told)
    for aside in rng.sample(ASIDES, rng.randint(least, most)):
        told.insert(rng.randint(0, len(told)), *fill(aside, cast))
    return told


def _check(name: str, names: Sequence[str], num_examples: int, split: str) -> None:
    if name not in names:
        raise ValueError(f"name must be one of {', '.join(names)}, got {name!r}")
    if split not in (*SPLITS, WHOLE):
        raise ValueError(f"split must be one of {', '.join(SPLITS)} or {WHOLE}, got {split!r}")
    if num_examples < 0:
        raise ValueError(f"num_examples must be 0 or more, got {num_examples}")
