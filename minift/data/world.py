"""A small invented world, told by a grammar: the corpus that language models are pretrained on.

Pretraining pays when the unlabelled text already says what a task will ask. Here the text is ours,
so we can see to it. A document is a thread: two people, a place and a thing are drawn once (the
cast), an opening brings them on, and then episodes of two themes follow in turn, each a few
sentences filled from the same cast. So the sentences of a document share names and things, later
ones lean on earlier ones ("the bird", "she"), and the second half continues the first: that is
what next-sentence prediction learns.

Each theme plants what one task needs. `kind` says what kind a thing is (entailment), `opinion`
keeps to one side and tells what follows from it (sentiment), `restate` says things twice
(equivalence), `number` has its nouns and verbs in both numbers (acceptability), `ask` asks and
answers (span). `family`, `role`, `travel` and `deed` plant the analogies: the two words of a pair
share a topic, and each shares its role with all the others on its side.
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
    MEN,
    MOVES,
    NUM_HOUSES,
    OPINIONS,
    PLACES,
    PRONOUNS,
    ROLES,
    SAME_ADJECTIVES,
    SAME_VERBS,
    SUBJECTS,
    TRADES,
    WOMEN,
    plural,
)

# The knobs. How often a document takes up each theme, relative to the others ...
THEME_SHARES = {
    "kind": 7,
    "opinion": 6,
    "restate": 6,
    "number": 4,
    "ask": 5,
    "family": 2.5,
    "role": 2.5,
    "travel": 2.5,
    "deed": 2.5,
}
# ... how many themes a document has, taken up in turn ...
NUM_THEMES = 2
# ... how often an episode after the first says "she" and "he" instead of the names ...
PRONOUN_SHARE = 0.05
# ... and at how many sentences it ends: at the first episode (of up to 3) that reaches a number
# drawn between these two.
ENOUGH_SENTENCES = (5, 7)

# How a document begins. {a} and {b} are the two people, {a_obj} is "mara" or "her".
OPENINGS = (
    ("{a} met {b_obj} in the {place} .", "{a} had a {thing} ."),
    ("{a} and {b} went to the {place} .", "{b} took a {thing} along ."),
    ("{a} was in the {place} with {b_obj} .", "{b} had a {thing} ."),
    ("{a} took a {thing} to the {place} .", "{b} was there too ."),
    ("{b} saw {a_obj} in the {place} .", "{a} found a {thing} ."),
)

# theme -> its episodes. Nearly every sentence names someone or the thing it goes on about.
EPISODES: dict[str, tuple[tuple[str, ...], ...]] = {
    "kind": (
        ("{a} has a {thing} .", "{a} knows , a {thing} is a {kind} .", "so {a} has a {kind} ."),
        ("{a} saw a {thing} .", "so {a} saw a {kind} ."),
        ("{a} found a {thing} in the {place} .", "so there is a {kind} in the {place} ."),
        ("{a} asked , is a {thing} a {kind} ?", "{b} said yes , a {thing} is a {kind} ."),
        ("{a} asked , is a {thing} a {other_kind} ?", "{b} said no , a {thing} is a {kind} ."),
        ("{a} has a {thing} and a {same} .", "{a} has two {kinds} ."),
        ("{a} likes {things} and {sames} .", "so {a} likes {kinds} ."),
        ("{b} wanted a {kind} .", "{a} found {b_obj} a {thing} ."),
        ("{b} asked for a {kind} .", "{a} brought {b_obj} a {thing} ."),
        ("the {thing} {did} near {a_obj} .", "{a} looked at the {kind} ."),
        ("{a} likes the {thing} .", "{a} has a {big} {kind} ."),
        ("{a} lost the {thing} .", "{b} found the {kind} in the {place} ."),
        ("the {thing} {does} near {a_obj} .", "{b} likes this {kind} ."),
    ),
    "opinion": (
        ("the {subject} was {adj} and {adj2} .", "{a} {reaction} ."),
        ("{a} found the {subject} {adj} .", "{b} found it {adj2} and {reaction} too ."),
        ("what a {adj} {subject} !", "{a} found it {adj2} and {adj3} ."),
        ("the {subject} in the {place} was {adj} .", "{a} was {mood} ."),
        ("{a} called the {subject} {adj} .", "{b} called it {adj2} .", "{a} found it {verdict} ."),
        ("{a} was {mood} and {b} {reaction} .", "it was a {adj} and {adj2} {subject} ."),
    ),
    "restate": (
        ("{a} {gave} {b_obj} a {thing} .", "that is , {b} {got} a {thing} from {a_obj} ."),
        ("{b} {got} a {thing} from {a_obj} .", "that is , {a} {gave} {b_obj} a {thing} ."),
        ("{a} {acted} {b_obj} .", "that is , {b} was {acted} by {a_obj} ."),
        ("{b} was {acted} by {a_obj} .", "that is , {a} {acted} {b_obj} ."),
        ("{a} {mended} the {thing} .", "that is , {a} {repaired} the {thing} ."),
        ("{a} {repaired} the {thing} .", "that is , {a} {mended} the {thing} ."),
        ("the {thing} was {big} .", "that is , the {thing} was {large} ."),
        ("{a} has a {large} {thing} .", "that is , {a} has a {big} {thing} ."),
    ),
    "number": (
        ("a {critter} {moves} in the {place} .", "the {critter} {moves2} near {a_obj} ."),
        ("two {critters} {move} in the {place} .", "the {critters} {move2} near {a_obj} ."),
        ("this {critter} {moves} and {moves2} near {b_obj} .", "it {moves3} near {a_obj} ."),
        ("these {critters} {move} and {move2} near {b_obj} .", "they {move3} near {a_obj} ."),
        ("two {things} {do} in the {place} .", "the {things} {do} near {a_obj} ."),
        ("{a} saw a {big} {critter} .", "the {critter} {moves} near {b_obj} ."),
        ("{a} saw many {big} {critters} .", "the {critters} {move} near {b_obj} ."),
        ("{a} washed {a_self} .", "then {a} lost {a_his} {critter} ."),
        ("{b} hurt {b_self} .", "then {b} called {b_his} {critters} ."),
    ),
    "ask": (
        (
            "{a} has a {thing} and {b} has a {other} .",
            "who has the {thing} , {a} or {b} ?",
            "{a} has it .",
        ),
        (
            "{a} has a {thing} and {b} has a {other} .",
            "who has the {other} , {a} or {b} ?",
            "{b} has it .",
        ),
        (
            "{a} is in the {place} and {b} in the {place2} .",
            "where is {a} ?",
            "{a} is in the {place} .",
        ),
        (
            "{a} is in the {place} and {b} in the {place2} .",
            "where is {b} ?",
            "{b} is in the {place2} .",
        ),
        (
            "{a} lost a {thing} and {b} lost a {other} .",
            "what did {a} lose ?",
            "{a} lost a {thing} .",
        ),
        (
            "{a} lost a {thing} and {b} lost a {other} .",
            "what did {b} lose ?",
            "{b} lost a {other} .",
        ),
        ("{a} {acted} {b_obj} .", "who was {acted} , {a} or {b} ?", "{b} was ."),
        ("{a} {acted} {b_obj} .", "who {acted} {b_obj} ?", "{a} did ."),
    ),
    "family": (
        ("the old {animal} {sounds} in the {home} .", "it guards the {food} for {a_obj} ."),
        ("the newborn {young} {sounds} in the {home} .", "it begs {a_obj} for {food} ."),
        ("a strong {animal} guards the {home} .", "the {animal} brings the {food} for {a_obj} ."),
        ("a tiny {young} naps in the {home} .", "the {young} begs {a_obj} for {food} ."),
        ("{a} led the strong {animal} to the {home} .", "the {animal} {sounds} for {a_obj} ."),
        ("{a} fed the tiny {young} with {food} .", "the {young} {sounds} for {a_obj} ."),
        ("{youngs} are tiny {animals} .", "{animals} guard the {youngs} of {a_obj} ."),
    ),
    "role": (
        ("the {man} has a {token} in his {seat} .", "the {man} showed it to {a_obj} ."),
        ("the {woman} has a {token} in her {seat} .", "the {woman} showed it to {a_obj} ."),
        ("at the {seat} {a} met a man , the {man} .", "he held his {token} himself ."),
        ("at the {seat} {a} met a woman , the {woman} .", "she held her {token} herself ."),
        ("{a} saw the {man} with his {token} .", "the {man} himself came to the {seat} ."),
        ("{a} saw the {woman} with her {token} .", "the {woman} herself came to the {seat} ."),
    ),
    "travel": (
        ("{a} crossed the land of {country} with {goods} .", "{a} said , {country} is a country ."),
        ("{a} reached the city of {capital} with {goods} .", "{a} said , {capital} is a city ."),
        ("the land of {country} has a {land} .", "the farmers of {country} sell {a_obj} {goods} ."),
        ("the city of {capital} has a {land} .", "the streets of {capital} smell of {goods} ."),
        ("{a} is from {country} , a country of {goods} .", "{a} saw a {land} in the land ."),
        ("{a} lives in {capital} , a city of {goods} .", "{a} saw a {land} by the city ."),
    ),
    "deed": (
        ("every day {a} {sings} a {hymn} .", "today {a} {sings} it for {b_obj} ."),
        ("yesterday {a} {sang} a {hymn} .", "last week {a} {sang} it for {b_obj} ."),
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
        words are held out: people, things, creatures and what they do, actions, synonyms and
        adjectives of opinion. The rest (places, kinds, ...) is common to all.
    is_good : the side that opinions take; None = either.
    """
    choice = rng.choice
    house = choice(range(NUM_HOUSES)[words])
    cast = _draw_people(rng, house)
    cast["place"] = PLACES[house]
    cast["place2"] = choice([place for place in PLACES if place != cast["place"]])

    kind, other_kind = rng.sample(_KIND_NAMES, 2)
    thing, same = rng.sample(KINDS[kind][words], 2)
    cast.update(thing=thing, things=plural(thing), same=same, sames=plural(same))
    cast.update(kind=kind, kinds=plural(kind), other=choice(KINDS[other_kind][words]))
    cast.update(other_kind=other_kind)
    cast["does"], cast["do"], cast["did"] = KIND_VERBS[kind]

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
    cast["acted"], cast["acted2"] = rng.sample(ACTIONS[words], 2)
    (cast["mended"], cast["repaired"]), (_, cast["repaired2"]) = rng.sample(SAME_VERBS[words], 2)
    (cast["big"], cast["large"]), (_, cast["large2"]) = rng.sample(SAME_ADJECTIVES[words], 2)

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
    short = {**cast, **_pronouns_for_names(cast)}
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
        speaks_short = turn > 0 and rng.random() < PRONOUN_SHARE
        sentences += fill(untold[turn % NUM_THEMES].pop(), short if speaks_short else cast)
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


def _draw_people(rng: Random, house: int) -> dict[str, str]:
    """The two people of a house, in either order, each with the forms a sentence may need."""
    people = [(WOMEN[house], "f"), (MEN[house], "m")]
    rng.shuffle(people)
    cast = {}
    for slot, (name, gender) in zip("ab", people):
        he, _, his, himself = PRONOUNS[gender]
        cast.update({slot: name, slot + "_obj": name, slot + "_he": he, slot + "_gender": gender})
        cast.update({slot + "_his": his, slot + "_self": himself})
    return cast


def _pronouns_for_names(cast: Mapping[str, str]) -> dict[str, str]:
    """The slots of the two people, with pronouns where names were."""
    slots = {}
    for slot in "ab":
        slots[slot], slots[slot + "_obj"] = PRONOUNS[cast[slot + "_gender"]][:2]
    return slots
