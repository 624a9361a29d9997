"""Heat maps as SVG: tables of numbers as shades, such as attention weights or confused classes.

The room for the rows' names is set by the longest of them; the rest is as in all charts (`svg.py`).

What this file does not do: measure, average or round. It draws the numbers it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from minift.recipes.svg import draw_text, tag

ROW_HEIGHT = 24  # pixels
BASELINE = 16  # pixels below the top of a row, where its letters stand
CELL_WIDTH = 56  # pixels, at most: a map of two columns should not fill a wide page
LETTER = 7.2  # pixels, about, of a letter that is 12 pixels high
LONGEST_NAME = 14  # letters; a longer name is cut, and stands whole in the hint of its cells
# With a number on it no cell is darker than this: the number must stand out from it.
SHADE_UNDER_NUMBERS = 0.65


def heat_map(
    values: Sequence[Sequence[float]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    row_label: str = "row",
    column_label: str = "column",
    spec: str | None = None,
    limit: float | None = None,
) -> str:
    """Draw a table as shades: the larger a value, the darker (on a dark page: the brighter) it is.

    Parameters
    ----------
    values : (R, K), the rows from the top; 0 and below have no shade, nor has what is not finite.
    row_names, column_names : R and K; a name may occur more than once.
    row_label, column_label : what the rows and the columns are.
    spec : how the values are written into their cells, a format specification; zeros are not.
        None: no numbers, for tables whose pattern matters.
    limit : the value of the full shade, so that maps can share a scale; None: the largest here.

    Raises
    ------
    ValueError : `values` has another number of rows or columns than there are names.
    """
    shape = (len(row_names), len(column_names))
    if len(values) != shape[0] or any(len(row) != shape[1] for row in values):
        raise ValueError(f"values must be {shape[0]} rows of {shape[1]}, one a name")
    rows, columns = ([_short(name) for name in names] for names in (row_names, column_names))
    finite = [value for row in values for value in row if math.isfinite(value)]
    full = limit or max([0.0, *finite]) or 1.0
    # Turned names need no width, so that twenty columns fit a telephone; they need height.
    top = round(LETTER * max(map(len, columns), default=0)) + 30
    width = 100 / max(1, len(columns))  # per cent

    svg = [
        draw_text(f"{row_label} \N{DOWNWARDS ARROW}", -8, 12, "tick end"),
        draw_text(f"{column_label} \N{RIGHTWARDS ARROW}", 0, 12, "tick"),
    ]
    for place, name in enumerate(columns):
        turned = tag("text", escape(name), transform="rotate(-90)", y=4)
        svg.append(tag("svg", turned, class_="mark", x=f"{width * (place + 0.5):.2f}%", y=top - 6))
    for index, name in enumerate(rows):
        y = top + ROW_HEIGHT * index
        svg.append(draw_text(name, -8, y + BASELINE, "end"))
        for place, value in enumerate(values[index]):
            share = min(max(value / full, 0.0), 1.0) if math.isfinite(value) else 0.0
            hint = f"{row_names[index]}, {column_names[place]}: {format(value, spec or '.2g')}"
            svg.append(
                tag(
                    "rect",
                    tag("title", escape(hint)),
                    x=f"{width * place:.2f}%",
                    y=y,
                    width=f"{width:.2f}%",
                    height=ROW_HEIGHT,
                    fill_opacity=f"{share * (SHADE_UNDER_NUMBERS if spec else 1):.3f}",
                )
            )
            if spec and value:
                middle = f"{width * (place + 0.5):.2f}%"
                svg.append(draw_text(format(value, spec), middle, y + BASELINE, "middle"))
    height = top + ROW_HEIGHT * len(rows)
    ground = tag("rect", class_="ground", y=top, width="100%", height=height - top)
    left = round(LETTER * max(map(len, [*rows, f"{row_label}  "]), default=0)) + 10
    return tag(
        "svg",
        ground + "".join(svg),
        class_="chart heat",
        role="img",
        aria_label=_summary(values, row_names, column_names, row_label, column_label, spec),
        height=height,
        style=f"--left:{left}px;--most:{CELL_WIDTH * len(columns)}px",
    )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _summary(
    values: Sequence[Sequence[float]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    row_label: str,
    column_label: str,
    spec: str | None,
) -> str:
    """What the map says, for those who have it read out: the largest value of each row."""
    said = []
    for name, row in zip(row_names, values):
        finite = [place for place, value in enumerate(row) if math.isfinite(value)]
        if finite:
            best = max(finite, key=lambda place: row[place])
            said.append(f"{name}: {column_names[best]} {format(row[best], spec or '.2g')}")
    return f"Heat map of {row_label} by {column_label}. The largest of each row: {'; '.join(said)}."
