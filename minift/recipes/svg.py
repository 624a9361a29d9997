"""The parts that charts are made of: elements of SVG, and where things stand in it.

In every chart x is a percentage of the width and y is in pixels from the top, so that it stretches
from a telephone to a wide screen while its letters and strokes keep their size. How it looks, the
colours above all, is said in the style sheet of the page it stands on (`report.STYLE`).
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

MARKS = (  # a shape for each series as well as a colour: not everyone sees the colours differ
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",  # disc
    "M-3.6,-3.6h7.2v7.2h-7.2z",  # square
    "M0,-4.8L4.8,3.6H-4.8z",  # triangle
    "M0,-5.2L5.2,0L0,5.2L-5.2,0z",  # diamond
    "M0,4.8L4.8,-3.6H-4.8z",  # triangle on its tip
    "M-1.4,-5h2.8v3.6h3.6v2.8h-3.6v3.6h-2.8v-3.6h-3.6v-2.8h3.6z",  # cross
    "M0,-4.8L4.6,-1.5L2.8,3.9H-2.8L-4.6,-1.5z",  # pentagon
    "M-4.4,-2h8.8v4h-8.8z",  # bar
)


def linear_scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """The straight line that takes low..high to start..stop; all to the middle if low is high."""
    if low == high:
        return lambda value: (start + stop) / 2
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def draw_line(x1: str, x2: str, y1: float, y2: float, kind: str | None = None) -> str:
    return tag("line", class_=kind, x1=x1, x2=x2, y1=f"{y1:.1f}", y2=f"{y2:.1f}")


def draw_text(text: str, x: str | float, y: float, kind: str, dx: int | None = None) -> str:
    return tag("text", escape(text), class_=kind, x=x, y=f"{y:.1f}", dx=dx)


def draw_mark(slot: int, x: str, y: float, hint: str = "") -> str:
    # A path takes no percentages, the drawing around it does.
    path = tag("path", hint, d=MARKS[slot % len(MARKS)])
    return tag("svg", path, class_="mark", x=x, y=f"{y:.1f}")


def series_colour(slot: int) -> str:
    return f"color:var(--series-{slot % len(MARKS)})"


def tag(name: str, content: str | None = None, **attributes: object) -> str:
    """One element of HTML or SVG. `content` is markup, already escaped; None: it never has any.

    Attributes are escaped here; those that are None are left out. `class_` is `class`, and other
    underscores are hyphens.
    """
    pairs = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    opening = f"<{name}{''.join(pairs)}"
    return f"{opening}/>" if content is None else f"{opening}>{content}</{name}>"
