"""A page that tells what a run found: tables, charts, pictures and text in one HTML file.

The file needs nothing else: no network, no script, no library to draw with. Charts are SVG of a mixed
kind, so that one drawing suits a telephone and a wide screen: x is in percent of the width and y in
pixels, hence a chart stretches and its letters keep their size. Colours are CSS variables with a light
and a dark value. All text is escaped; the same calls give the same bytes.

What is not here: no measuring and no formatting of results. Callers pass numbers for charts and text
for tables.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor

from minift.recipes.pictures import encode_png
from minift.training.files import write_text

Point = tuple[float, float]


class Report:
    """Collects parts in the order of the calls and writes them as one HTML page.

    Examples
    --------
    >>> report = Report("Shapes", "three seeds")
    >>> report.section("Accuracy", "The trunk was frozen.")
    >>> report.table(["method", "accuracy"], [["scratch", "10.1%"]], best={"accuracy": max})
    >>> "10.1%" in report.html()
    True
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._headings: list[str] = []
        self._parts: list[str] = []

    def section(self, heading: str, text: str = "") -> None:
        """Start a section; an empty line in `text` starts a new paragraph."""
        self._headings.append(heading)
        self._parts.append(f'<h2 id="section-{len(self._headings)}">{escape(heading)}</h2>')
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            if paragraph:
                self._parts.append(f"<p>{escape(paragraph)}</p>")

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        caption: str | None = None,
        best: Mapping[str, Callable[[Iterable[float]], float]] | None = None,
    ) -> None:
        """Add a table; columns of numbers are set flush right, as in `format_table`.

        Parameters
        ----------
        columns, rows : header and cells; a cell is shown as `str(cell)`.
        caption : said below the table; None for nothing.
        best : column -> `max` or `min`, which cell of that column to set in bold. Cells are compared
            by the number they begin with, so "89.5% ± 0.4" counts as 89.5.

        Raises
        ------
        ValueError : a row of another length than `columns`, or a column in `best` that is not there.
        """
        cells = _cells(columns, rows)
        for column in best or {}:
            if column not in columns:
                raise ValueError(f"best names column {column!r}, which is not in {list(columns)}")
        is_numeric = _numeric_columns(cells)
        winners = {column: choose(_numbers(cells, columns.index(column)) or [math.nan])
                   for column, choose in (best or {}).items()}  # fmt: skip
        kinds = [' class="number"' if numeric else "" for numeric in is_numeric]
        head = "".join(
            f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(cells[0], kinds)
        )
        body = []
        for row in cells[1:]:
            tags = []
            for index, text in enumerate(row):
                shown = escape(text)
                if _number(text) is not None and _number(text) == winners.get(columns[index]):
                    shown = f"<strong>{shown}</strong>"
                # A first column of words names its row, which is what a screen reader reads out.
                is_name = index == 0 and not is_numeric[0]
                tag, scope = ("th", ' scope="row"') if is_name else ("td", "")
                tags.append(f"<{tag}{scope}{kinds[index]}>{shown}</{tag}>")
            body.append(f"<tr>{''.join(tags)}</tr>")
        # Focusable, because a wide table scrolls sideways on a narrow screen, also by keyboard.
        label = escape(caption or "Table: " + ", ".join(columns))
        self._figure(
            f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>",
            caption,
        )

    def lines(
        self,
        series: Mapping[str, Sequence[Point]],
        x_label: str,
        y_label: str,
        caption: str | None = None,
        baseline: Mapping[str, float] | None = None,
        spread: Mapping[str, Sequence[float]] | None = None,
        log_x: bool = False,
    ) -> None:
        """Add a line chart; its legend lists the lines from top to bottom as they end.

        Points that are not finite are left out, so that a run that diverged can be reported too.

        Parameters
        ----------
        series : name -> points (x, y), x ascending.
        baseline : name -> y of a dashed level to compare with, such as chance.
        spread : name -> one half-length of the error bar for each point of that series.
        log_x : equal steps along x are equal factors; every x must be positive.
        """
        kept = {}
        for name, points in series.items():
            errors = (spread or {}).get(name) or [0.0] * len(points)
            triples = [(float(x), float(y), float(e)) for (x, y), e in zip(points, errors)]
            kept[name] = [triple for triple in triples if math.isfinite(sum(triple))]
        flat = [triple for triples in kept.values() for triple in triples] or [(1.0, 0.0, 0.0)]
        xs = [x for x, _, _ in flat]
        if log_x and min(xs) <= 0:
            raise ValueError(f"log_x needs every x to be positive, got {min(xs)}")

        levels = [y + side * error for _, y, error in flat for side in (-1, 1)]
        levels += list((baseline or {}).values())
        y_ticks = round_ticks(min(levels), max(levels))
        x_ticks = _log_ticks(min(xs), max(xs)) if log_x else round_ticks(min(xs), max(xs))
        scale_x = math.log if log_x else float
        across = _Scale(scale_x(min(xs)), scale_x(max(xs)), 0.0, 100.0)  # percent of the width
        down = _Scale(y_ticks[0], y_ticks[-1], CHART_HEIGHT, 0.0)  # pixels from the top

        drawn = [f'<text class="axis" x="-44" y="-18">{escape(y_label)}</text>']
        for tick, label in zip(y_ticks, _tick_labels(y_ticks)):
            y = f"{down(tick):.1f}"
            drawn.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
            drawn.append(f'<text class="tick end" x="-10" y="{y}" dy=".33em">{label}</text>')
        for tick in x_ticks:
            if min(xs) <= tick <= max(xs):
                label = _tick_labels([tick] if log_x else x_ticks)[0 if log_x else x_ticks.index(tick)]
                x = f"{across(scale_x(tick)):.2f}%"
                drawn.append(f'<line class="notch" x1="{x}" x2="{x}" y1="100%" y2="100%"/>')
                drawn.append(f'<text class="tick middle" x="{x}" y="{CHART_HEIGHT + 20}">{label}</text>')
        drawn.append(
            f'<text class="axis middle" x="50%" y="{CHART_HEIGHT + 42}">{escape(x_label)}</text>'
        )
        self._parts.append("".join(drawn))
