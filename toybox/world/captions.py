"""The closed language of captions.

    caption = things " on " floor ", " wall " wall"
    things  = thing { ", " thing } [ " and " thing ]           one to four, from left to right
    thing   = article [ size " " ] colour " " kind
    floor   = "a wooden floor" [ " with " article colour " rug" ]
            | article colour ( " checkered" | " tiled" | " plain" ) " floor"
    article = "a " | "an "                                    "an" before "orange"
    size    = "big" | "small"                                 exactly for the kinds of SIZED

For example: "a red ball, a big blue cube and a green figure on a wooden floor, cream wall" is not
in the language, because a ball has a size; "a small red ball, a big blue cube and a green figure
on a wooden floor, cream wall" is.
"""

import re
from dataclasses import dataclass, replace

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.13, 0.13),
    "orange": (0.97, 0.50, 0.07),
    "yellow": (0.98, 0.83, 0.14),
    "green": (0.15, 0.62, 0.23),
    "blue": (0.12, 0.35, 0.86),
    "purple": (0.48, 0.20, 0.70),
    "pink": (0.97, 0.52, 0.70),
    "white": (0.95, 0.95, 0.94),
    "black": (0.10, 0.10, 0.11),
    "brown": (0.47, 0.27, 0.13),
}
"""Colours of things and floors, as sRGB in [0, 1]."""

WALLS: dict[str, tuple[float, float, float]] = {
    "cream": (0.95, 0.89, 0.75),
    "grey": (0.68, 0.69, 0.71),
    "mint": (0.69, 0.87, 0.74),
    "teal": (0.24, 0.55, 0.55),
    "rose": (0.87, 0.64, 0.64),
    "navy": (0.19, 0.25, 0.45),
    "lilac": (0.75, 0.69, 0.89),
    "azure": (0.55, 0.78, 0.93),
}
"""Colours of walls, as sRGB in [0, 1]; no word is shared with COLOURS."""

SIZED = ("ball", "cube", "cone", "cylinder")
KINDS = (*SIZED, "tower", "table", "chair", "house", "tree", "car", "figure")
SIZES = ("big", "small")
FLOORS = ("wooden", "checkered", "tiled", "plain")

VOCABULARY = tuple(
    sorted(
        {",", "a", "an", "and", "on", "floor", "wall", "with", "rug"}
        | {*COLOURS, *WALLS, *KINDS, *SIZES, *FLOORS}
    )
)
"""Every word of the language; a comma is a word of its own."""

MAX_WORDS = 4 * 4 + 3 + 8 + 3
"""No caption has more words: four sized things, their separators, the floor, the wall."""


@dataclass(frozen=True)
class Thing:
    """A thing that a caption names; `size` is empty for kinds that have none."""

    kind: str
    colour: str
    size: str = ""


@dataclass(frozen=True)
class Meaning:
    """What a caption says: things from left to right, floor and wall."""

    things: tuple[Thing, ...]
    floor: str
    floor_colour: str
    """Colour of the floor, or of the rug on a wooden floor; empty for bare wood."""
    wall: str


def write_caption(meaning: Meaning) -> str:
    """Say `meaning` in the language; `read_caption` is the inverse."""
    names = [_noun(f"{t.size} {t.colour} {t.kind}".strip()) for t in meaning.things]
    things = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    if meaning.floor == "wooden":
        rug = f" with {_noun(meaning.floor_colour)} rug" if meaning.floor_colour else ""
        floor = f"a wooden floor{rug}"
    else:
        floor = f"{_noun(meaning.floor_colour)} {meaning.floor} floor"
    return f"{things} on {floor}, {meaning.wall} wall"


def read_caption(caption: str) -> Meaning:
    """Return what a caption means.

    Raises:
        TypeError: not a string.
        ValueError: not in the language; see the grammar at the top of this module.
    """
    if not isinstance(caption, str):
        raise TypeError(f"expected a caption as a string, got {type(caption).__name__}")
    match = _CAPTION.fullmatch(caption)
    things = [_THING.fullmatch(t) for t in re.split(", | and ", match["things"])] if match else []
    if match and all(things):
        meaning = Meaning(
            tuple(Thing(t["kind"], t["colour"], t["size"] or "") for t in things),
            match["floor"] or "wooden",
            match["floor_colour"] or match["rug"] or "",
            match["wall"],
        )
        # Writing it again settles articles, commas and which kinds have a size.
        sized = all(bool(t.size) == (t.kind in SIZED) for t in meaning.things)
        if sized and 1 <= len(things) <= 4 and write_caption(meaning) == caption:
            return meaning
    raise ValueError(
        f"expected a caption such as 'a small red ball and a green figure on a wooden floor, "
        f"cream wall', got {caption!r}; the grammar stands in toybox/world/captions.py"
    )


def repaint(meaning: Meaning, number: int) -> str:
    """Return a caption of the same things in other colours; number 0 keeps them all.

    The things' kinds, places and sizes stay, so that a control image of the scene fits it too.
    """
    colours, walls = list(COLOURS), list(WALLS)

    def turned(names: list[str], name: str, by: int) -> str:
        return names[(names.index(name) + by * number) % len(names)] if name else name

    # Trees come in few colours and keep theirs.
    things = tuple(
        thing
        if thing.kind == "tree"
        else replace(thing, colour=turned(colours, thing.colour, 3 + 2 * place))
        for place, thing in enumerate(meaning.things)
    )
    return write_caption(
        replace(
            meaning,
            things=things,
            floor_colour=turned(colours, meaning.floor_colour, 1),
            wall=turned(walls, meaning.wall, 3),
        )
    )


def split_words(caption: str) -> list[str]:
    """Split a caption into words of VOCABULARY."""
    return caption.replace(",", " ,").split()


def _noun(words: str) -> str:
    return ("an " if words.startswith("orange") else "a ") + words


def _any(words: dict | tuple) -> str:
    return "|".join(words)


_THING = re.compile(
    rf"an? (?:(?P<size>{_any(SIZES)}) )?(?P<colour>{_any(COLOURS)}) (?P<kind>{_any(KINDS)})"
)
_CAPTION = re.compile(
    rf"(?P<things>.+) on (?:a wooden floor(?: with an? (?P<rug>{_any(COLOURS)}) rug)?"
    rf"|an? (?P<floor_colour>{_any(COLOURS)}) (?P<floor>{_any(FLOORS[1:])}) floor)"
    rf", (?P<wall>{_any(WALLS)}) wall"
)
