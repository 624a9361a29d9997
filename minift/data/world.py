"""A small invented world, told by a grammar: the corpus that language models are pretrained on.

Pretraining pays when the unlabelled text already says what a task will ask. Here the text is ours,
so we can see to it. A document is a thread: two people, a place and a thing are drawn once (the
cast), an opening brings them on, and then episodes of two themes follow in turn, each a few
sentences filled from the same cast. So the sentences of a document share names and things, later
ones lean on earlier ones, and the second half continues the first: that is what next-sentence
prediction learns.

Each theme plants what one task needs. `kind` says what kind a thing is (entailment), `opinion`
keeps to one side and tells what follows from it (sentiment), `restate` says what is the same in
other words and what is not (equivalence), `number` has its nouns and verbs in both numbers
(acceptability), `ask` asks and answers (span). `family`, `role`, `travel` and `deed` plant the
analogies: the two words of a pair share a topic, and each shares its role with all the others on
its side.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from minift.data.world_words import (
    ACTIONS,
    ANIMALS,
    COUNTRIES,
    CRITTERS,
    DEEDS,
    KIND_VERBS,
    KINDS,
    MOVES,
    NUM_HOUSES,
    OPINIONS,
    PEOPLE,
    PLACES,
    ROLES,
    SIZES,
    SUBJECTS,
    TRADES,
    plural,
)

# The knobs. How often a document takes up each theme, relative to the others ...
THEME_SHARES = {
    "kind": 10,
    "opinion": 7,
    "restate": 8,
    "number": 3,
    "ask": 9,
    "family": 0.8,
    "role": 0.8,
    "travel": 0.8,
    "deed": 0.8,
}
# ... how many themes a document has, taken up in turn ...
NUM_THEMES = 2
# ... and at how many sentences it ends: at the first episode (of up to 3) that reaches a number
# drawn between these two.
ENOUGH_SENTENCES = (5, 7)

# How a document begins. {a} and {b} are the two people.
OPENINGS = (
    ("{a} met {b} in the {place} with a {thing} .", "{b} liked the {kind} ."),
    ("{a} and {b} took a {thing} to the {place} .", "{a} said , it is a {kind} ."),
    ("{a} found a {thing} , a {kind} , in the {place} .", "{b} wanted the {kind} too ."),
    ("{b} saw {a} in the {place} with a {thing} .", "so there was a {kind} in the {place} ."),
    ("{a} had a {thing} , a {kind} .", "{b} saw the {thing} in the {place} ."),
)

# theme -> its episodes. What a theme is there to tell stands within one sentence where it can: of
# the pairs that next-sentence prediction draws, half join sentences of two documents.
EPISODES: dict[str, tuple[tuple[str, ...], ...]] = {
    "kind": (
        ("{a} knows , a {thing} is a {kind} .",),
        ("{a} has a {thing} , that is , {a} has a {kind} .",),
        ("{a} has a {thing} , but not , {a} has a {other_kind} .",),
        ("{a} saw a {thing} , that is , {a} saw a {kind} .",),
        ("{a} saw a {thing} , but not , {a} saw a {other_kind} .",),
        ("there is a {thing} in the {place} , that is , there is a {kind} .",),
        ("there is a {thing} in the {place} , but not , there is a {other_kind} .",),
        ("is a {thing} a {kind} ? yes , a {thing} is a {kind} .",),
        ("is a {thing} a {other_kind} ? no , a {thing} is a {kind} .",),
        ("{a} has a {thing} and a {same} , so {a} has two {kinds} .",),
        ("{b} wanted a {kind} , so {a} found a {thing} for {b} .",),
        ("the {kind} that {did} near {a} was a {thing} .",),
    ),
    "opinion": (
        ("the {subject} was {adj} and {adj2} .", "{a} {reaction} , for it was {adj3} ."),
        ("{a} found the {subject} {adj} and {adj2} , so {a} was {mood} .",),
        ("what a {adj} and {adj2} {subject} !", "{a} {reaction} , for it was {adj3} ."),
        ("the {subject} in the {place} was {adj} , and {a} was {mood} .",),
        ("{a} called the {subject} {adj} , so it was {verdict} and {adj2} .",),
        ("{a} was {mood} and {b} {reaction} , for the {subject} was {adj} .",),
        ("a {adj} {subject} is a {verdict} {subject} .", "{a} called it {adj2} and {adj3} ."),
    ),
    "restate": (
        ("{a} {gave} {b} a {thing} , that is , {b} {got} a {thing} from {a} .",),
        ("{a} {gave} {b} a {thing} , but not , {a} {got} a {thing} from {b} .",),
        ("{b} {got} a {thing} from {a} , that is , {a} {gave} {b} a {thing} .",),
        ("{b} {got} a {thing} from {a} , but not , {b} {gave} {a} a {thing} .",),
        ("{a} {acted} {b} , that is , {b} was {acted} by {a} .",),
        ("{a} {acted} {b} , but not , {a} was {acted} by {b} .",),
        ("{b} was {acted} by {a} , that is , {a} {acted} {b} .",),
        ("{b} was {acted} by {a} , but not , {b} {acted} {a} .",),
    ),
    "number": (
        ("a {critter} {moves} in the {place} .", "the {critter} {moves2} near {a} ."),
        ("two {critters} {move} in the {place} .", "the {critters} {move2} near {a} ."),
        ("this {critter} {moves} and {moves2} near {b} .",),
        ("these {critters} {move} and {move2} near {b} .",),
        ("{a} saw a {big} {critter} .", "the {critter} {moves} near {b} ."),
        ("{a} saw many {big} {critters} .", "the {critters} {move} near {b} ."),
    ),
    "ask": (
        ("{a} is in the {place} with a {thing} , so where is {a} ? in the {place} .",),
        ("{a} is in the {place} with a {thing} , so what has {a} ? a {thing} .",),
        ("{a} is in the {place} with a {thing} , so who has the {thing} ? {a} .",),
        ("{a} found a {thing} in the {place} , so where was the {thing} ? in the {place} .",),
        ("{a} found a {thing} in the {place} , so what did {a} find ? a {thing} .",),
        ("{a} found a {thing} in the {place} , so who found the {thing} ? {a} .",),
        ("where is {a} ? in the {place} .", "{a} is in the {place} with a {thing} ."),
        ("what has {a} ? a {thing} .", "in the {place} {a} found a {thing} ."),
        ("who is in the {place} ? {a} .", "{a} is in the {place} with a {thing} ."),
        ("in the {place} {b} found a {thing} .", "what did {b} find ? a {thing} ."),
        ("in the {place} {b} found a {thing} .", "who found the {thing} ? {b} ."),
        ("in the {place} {b} found a {thing} .", "where was the {thing} ? in the {place} ."),
    ),
    "family": (
        ("the old {animal} {sounds} in the {home} .", "it guards the {food} for {a} ."),
        ("the newborn {young} {sounds} in the {home} .", "it begs {a} for {food} ."),
        ("a strong {animal} guards the {home} .", "the {animal} brings the {food} for {a} ."),
        ("a tiny {young} naps in the {home} .", "the {young} begs {a} for {food} ."),
        ("{a} led the strong {animal} to the {home} .", "the {animal} {sounds} for {a} ."),
        ("{a} fed the tiny {young} with {food} .", "the {young} {sounds} for {a} ."),
        ("{youngs} are tiny {animals} .", "{animals} guard the {youngs} of {a} ."),
    ),
    "role": (
        ("the {man} has a {token} in his {seat} .", "the {man} showed it to {a} ."),
        ("the {woman} has a {token} in her {seat} .", "the {woman} showed it to {a} ."),
        ("at the {seat} {a} met a man , the {man} .", "he held his {token} himself ."),
        ("at the {seat} {a} met a woman , the {woman} .", "she held her {token} herself ."),
        ("{a} saw the {man} with his {token} .", "the {man} himself came to the {seat} ."),
        ("{a} saw the {woman} with her {token} .", "the {woman} herself came to the {seat} ."),
    ),
    "travel": (
        ("{a} crossed the land of {country} with {goods} .", "{a} said , {country} is a country ."),
        ("{a} reached the city of {capital} with {goods} .", "{a} said , {capital} is a city ."),
        ("the land of {country} has a {land} .", "the farmers of {country} sell {a} {goods} ."),
        ("the city of {capital} has a {land} .", "the streets of {capital} smell of {goods} ."),
        ("{a} is from {country} , a country of {goods} .", "{a} saw a {land} in the land ."),
        ("{a} lives in {capital} , a city of {goods} .", "{a} saw a {land} by the city ."),
    ),
    "deed": (
        ("every day {a} {sings} a {hymn} .", "today {a} {sings} it for {b} ."),
        ("yesterday {a} {sang} a {hymn} .", "last week {a} {sang} it for {b} ."),
        ("now {a} {sings} the {hymn} .", "{b} {sings} too ."),
        ("long ago {a} {sang} the {hymn} .", "{b} {sang} too ."),
        ("{a} and {b} {sing} a {hymn} .", "all people {sing} here .", "{a} {sings} too ."),
    ),
}


def draw_cast(
    rng: Random, words: slice = slice(None), is_good: bool | None = None
) -> dict[str, str]:
    """Draw who and what a text is about: slot name -> word, for the templates to be filled with.

    Parameters
    ----------
    rng : where the randomness comes from.
    words : which rows of the tables may be drawn. Documents draw from all; labelled examples from
        `slice(0, None, 2)` for training and from `slice(1, None, 2)` for the rest, which is how
        words are held out: people with all that is of their house (place, animal, country, ...),
        things, creatures and what they do, actions, and the adjectives. Kinds and trades are common
        to all.
    is_good : the side that opinions take; None = either.
    """
    choice = rng.choice
    house = choice(range(NUM_HOUSES)[words])
    a, b = rng.sample(PEOPLE[house], 2)
    cast = {"a": a, "b": b, "place": PLACES[house]}

    kind, other_kind = rng.sample(_KIND_NAMES, 2)
    thing, same = rng.sample(KINDS[kind][words], 2)
    cast.update(thing=thing, same=same, kind=kind, kinds=plural(kind), other_kind=other_kind)
    cast["did"] = KIND_VERBS[kind]

    critter = choice(CRITTERS[words])
    cast.update(critter=critter, critters=plural(critter))
    for number, (moves, move) in zip(("", "2", "3"), rng.sample(MOVES[words], 3)):
        cast["moves" + number], cast["move" + number] = moves, move

    animal, young, cast["sounds"], cast["home"], cast["food"] = ANIMALS[house]
    cast.update(animal=animal, animals=plural(animal), young=young, youngs=plural(young))
    cast["man"], cast["woman"], cast["seat"], cast["token"] = ROLES[house]
    cast["country"], cast["capital"], cast["goods"], cast["land"] = COUNTRIES[house]
    cast["sings"], cast["sing"], cast["sang"], cast["hymn"] = DEEDS[house]

    cast["gave"], cast["got"] = choice(TRADES)
    cast["acted"] = choice(ACTIONS[words])
    cast["big"] = choice(SIZES[words])

    side = OPINIONS[rng.random() < 0.5 if is_good is None else is_good]
    cast["subject"], cast["verdict"] = SUBJECTS[house], side["verdict"][0]
    cast["adj"], cast["adj2"], cast["adj3"] = rng.sample(side["adjective"][words], 3)
    cast["mood"], cast["reaction"] = choice(side["mood"]), choice(side["reaction"])
    return cast


def world_documents(num_documents: int, *, seed: int) -> list[list[str]]:
    """Tell `num_documents` documents of 5 to 9 sentences each, the same ones for the same seed.

    Sentences are lower-case, with single spaces between words and punctuation. Asked for more, a
    seed tells the same documents first.

    Examples
    --------
    >>> len(world_documents(3, seed=0))
    3
    """
    if num_documents < 0:
        raise ValueError(f"num_documents must be 0 or more, got {num_documents}")
    rng = Random(f"documents {seed}")
    return [tell_document(rng) for _ in range(num_documents)]


def tell_document(rng: Random) -> list[str]:
    """Tell one document: draw a cast, open, take up the themes in turn until it is long enough."""
    cast = draw_cast(rng)
    enough = rng.randint(*ENOUGH_SENTENCES)
    sentences = fill(rng.choice(OPENINGS), cast)

    themes: list[str] = []
    while len(themes) < NUM_THEMES:
        (theme,) = rng.choices(_THEMES, _THEME_WEIGHTS)
        if theme not in themes:
            themes.append(theme)
    untold = [rng.sample(EPISODES[theme], len(EPISODES[theme])) for theme in themes]

    turn = 0
    while len(sentences) < enough:
        sentences += fill(untold[turn % NUM_THEMES].pop(), cast)
        turn += 1
    return sentences


def fill(templates: tuple[str, ...], cast: Mapping[str, str]) -> list[str]:
    """Put the words of a cast into the slots of some templates."""
    return [template.format_map(cast) for template in templates]


def world_analogies() -> list[tuple[str, str, str, str]]:
    """Return the planted analogies (a, b, c, d), "a is to b as c is to d": all pairs of pairs."""
    return [
        (*first, *second)
        for pairs in ANALOGY_PAIRS.values()
        for first in pairs
        for second in pairs
        if first != second
    ]


# relation -> its pairs
ANALOGY_PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "young": tuple((animal, young) for animal, young, *_ in ANIMALS),
    "woman": tuple((man, woman) for man, woman, *_ in ROLES),
    "capital": tuple((country, capital) for country, capital, *_ in COUNTRIES),
    "past": tuple((present, past) for present, _, past, _ in DEEDS),
}

_KIND_NAMES = tuple(KINDS)
_THEMES = tuple(THEME_SHARES)
_THEME_WEIGHTS = tuple(THEME_SHARES.values())
