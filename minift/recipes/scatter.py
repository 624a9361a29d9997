"""Scatter charts as SVG: points with their names beside them, such as words on a map.

A name must be near its point and cover no other, on a telephone as on a wide screen. Names are
placed for a narrow one: on a wider one they are only further apart.

What this file does not do: measure, average or round. It draws the numbers it is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from minift.recipes.svg import draw_mark, draw_text, linear_scale, series_colour, tag

MAP_HEIGHT = 420  # pixels, of a scatter chart
NARROW = 300  # pixels: on a screen that leaves a chart so much, no name may cover another
LETTER = 7  # pixels, about, of a letter that is 12 pixels high


def scatter_chart(
    groups: Mapping[str, Mapping[str, tuple[float, float]]], x_label: str, y_label: str
) -> str:
    """Draw points with their names beside them, such as words; the axes have no numbers.

    A name is moved up or down until it covers no other and no point, with a line from its point.
    Points that are not finite are left out.

    Parameters
    ----------
    groups : name of the group -> name of the point -> (x, y); a group is a colour and a mark.
    x_label, y_label : what the directions mean.
    """
    named = [
        (slot, name, x, y)
        for slot, points in enumerate(groups.values())
        for name, (x, y) in points.items()
        if math.isfinite(x) and math.isfinite(y)
    ]
    across, down = [x for *_, x, _ in named] or [0.0], [y for *_, y in named] or [0.0]
    x_of = linear_scale(min(across), max(across), 3, 97)
    y_of = linear_scale(min(down), max(down), MAP_HEIGHT - 16, 16)
    spots = [(x_of(x), y_of(y), name) for _, name, x, y in named]
    svg = [
        tag("rect", class_="ground", width="100%", height=MAP_HEIGHT),
        draw_text(y_label, 0, -10, "label"),
        draw_text(x_label, "100%", MAP_HEIGHT + 22, "label end"),
    ]
    for (slot, name, *_), (x, y, _), (side, shift) in zip(named, spots, _name_places(spots)):
        position = f"{x:.2f}%"
        hint = tag("title", escape(f"{list(groups)[slot]}: {name}"))
        drawn = draw_mark(slot, position, y, hint)
        if abs(shift) > 8:
            leader = tag("line", x1=0, y1=0, x2=9 * side, y2=shift, class_="zero")
            drawn = tag("svg", leader, class_="mark", x=position, y=f"{y:.1f}") + drawn
        kind = "tick end" if side < 0 else "tick"
        drawn += draw_text(name, position, y + shift + 4, kind, dx=11 * side)
        svg.append(tag("g", drawn, style=series_colour(slot)))
    said = "; ".join(f"{group}: {', '.join(points)}" for group, points in groups.items())
    summary = f"Scatter chart of {y_label} against {x_label}. {said}."
    chart = tag(
        "svg", "".join(svg), class_="chart map", role="img", aria_label=summary, height=MAP_HEIGHT
    )
    keys = [
        tag("svg", draw_mark(slot, "50%", 6), width=12, height=12, aria_hidden="true",
            style=series_colour(slot)) + escape(group)
        for slot, group in enumerate(groups)
    ]  # fmt: skip
    return tag("ul", "".join(tag("li", key) for key in keys), class_="legend") + chart


class _Room(NamedTuple):
    """What something covers on a narrow screen, in pixels."""

    left: float
    right: float
    top: float
    bottom: float

    def is_inside(self) -> bool:
        is_across = self.left >= 0 and self.right <= NARROW
        return is_across and self.top >= 0 and self.bottom <= MAP_HEIGHT

    def overlaps(self, other: _Room) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def _name_places(spots: Sequence[tuple[float, float, str]]) -> list[tuple[int, int]]:
    """Where the names of points (x in per cent, y in pixels, name) stand: on the right, 1, or left,
    -1, and how many pixels further down; beside it, over what is there, if no place is free."""
    taken = [_room(x, y, "", 0) for x, y, _ in spots]
    shifts = sorted(range(-120, 121, 3), key=abs)
    places = []
    for x, y, name in spots:
        free = (
            (side, shift, room)
            for shift in shifts
            for side in (1, -1)
            if (room := _room(x, y + shift, name, side)).is_inside()
            and not any(room.overlaps(other) for other in taken)
        )
        side, shift, room = next(free, (1, 0, taken[0]))
        taken.append(room)
        places.append((side, shift))
    return places


def _room(x: float, y: float, name: str, side: int) -> _Room:
    """What the name covers on one side of a point; on side 0, what the point itself does."""
    middle = x * NARROW / 100
    if side == 0:
        return _Room(middle - 5, middle + 5, y - 5, y + 5)
    near, far = middle + 10 * side, middle + (10 + LETTER * len(name)) * side
    return _Room(min(near, far), max(near, far), y - 7, y + 7)
