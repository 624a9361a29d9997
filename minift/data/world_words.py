"""The words of the small world, as tables: who and what there is, and what belongs together.

Everything that is true in this world is a row here: which thing is of which kind, which animal has
which young, which adjectives praise. The documents (`world.py`) tell these rows in sentences, the
labelled tasks (`world_tasks.py`) ask about them. Every noun that follows "a" begins with a
consonant, so "an" is never needed.

The order of a table matters in one way: labelled training examples use its even places, labelled
validation and test examples its odd places (see `world.draw_cast`).
"""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """Read a list of words."""
    return tuple(text.split())


def rows(text: str) -> tuple[tuple[str, ...], ...]:
    """Read a table: a row per line, a word per column."""
    return tuple(tuple(line.split()) for line in text.strip().splitlines())


def plural(noun: str) -> str:
    """More than one of `noun`."""
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "ch", "sh")) else "s")


IRREGULAR_PLURALS = {"calf": "calves", "goose": "geese"}

# A house is a row of each table that has eight: who lives there, where they go, the animal they
# keep, what they talk of. So a few words of a text already say what it may go on with.
NUM_HOUSES = 8

# the two people of each house
PEOPLE = rows("""
    mara  tom
    ada   otto
    nell  finn
    ruth  karl
    vera  hugo
    tess  boris
    lena  leo
    hilda rolf
""")

PLACES = words("garden park market mill harbor forest kitchen school")

# kind -> its things
KINDS: dict[str, tuple[str, ...]] = {
    row[0]: row[1:]
    for row in rows("""
        bird       sparrow robin heron crow
        fish       trout carp pike perch
        fruit      pear plum cherry melon
        tool       hammer chisel rake spade
    """)
}
# kind -> what one of it did
KIND_VERBS = {
    kind: did
    for kind, did in rows("""
        bird       chirped
        fish       swam
        fruit      ripened
        tool       rusted
    """)
}

# animal, its young, the sound of both, their home, their food
ANIMALS = rows("""
    dog    puppy     barks    kennel  bones
    cat    kitten    meows    sofa    cream
    cow    calf      moos     barn    hay
    horse  foal      neighs   stable  oats
    goat   kid       bleats   hill    thistles
    bear   cub       growls   cave    honey
    duck   duckling  quacks   pond    crumbs
    goose  gosling   honks    lake    corn
""")

# a man, a woman, where either is found, what either has
ROLES = rows("""
    king         queen         palace   crown
    prince       princess      castle   ring
    father       mother        nursery  cradle
    brother      sister        attic    kite
    grandfather  grandmother   cottage  shawl
    actor        actress       stage    mask
    waiter       waitress      inn      tray
    wizard       witch         hut      wand
""")

# country, its capital, what is made there, what the land is like
COUNTRIES = rows("""
    velia    sunport    saffron  desert
    norrin   greywick   wool     glacier
    brask    highmoor   copper   volcano
    lumor    redford    silk     jungle
    tavia    oakhelm    timber   prairie
    quorra   stonebay   salt     reef
    zelmar   fairholm   tea      terrace
    pellan   windell    paper    canal
""")

# what one does, what many do, what one did, to what
DEEDS = rows("""
    sings   sing   sang    hymn
    bakes   bake   baked   loaf
    draws   draw   drew    portrait
    writes  write  wrote   letter
    builds  build  built   wall
    drinks  drink  drank   juice
    rides   ride   rode    pony
    sews    sew    sewed   dress
""")

# what one creature does, what many do
MOVES = rows("""
    runs     run
    sleeps   sleep
    hides    hide
    waits    wait
    rests    rest
    jumps    jump
""")
CRITTERS = tuple(row[0] for row in ANIMALS)

# one gives, the other gets
TRADES = rows("""
    gave    got
    sold    bought
    handed  received
""")
# done by one person to another; the same word stands in the active and in the passive
ACTIONS = words("helped followed thanked greeted")
# what a creature looks like
SIZES = words("big small fat thin")

# what opinions are about, and the two sides an opinion can take
SUBJECTS = words("soup story concert dance speech party poem cake")
PRAISE = words("wonderful lovely splendid superb charming delightful")
BLAME = words("awful terrible horrid dreadful nasty dull")
# side -> the verdict, the adjectives, the moods, what follows
OPINIONS: dict[bool, dict[str, tuple[str, ...]]] = {
    True: {
        "verdict": ("good",),
        "adjective": PRAISE,
        "mood": words("happy glad cheerful"),
        "reaction": (
            "smiled",
            "clapped",
            "asked for more",
            "stayed until the end",
        ),
    },
    False: {
        "verdict": ("bad",),
        "adjective": BLAME,
        "mood": words("sad angry gloomy"),
        "reaction": (
            "frowned",
            "yawned",
            "asked for nothing",
            "left before the end",
        ),
    },
}
