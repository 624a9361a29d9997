"""A page that tells what a run found: tables, charts, pictures and text in one HTML file.

The file needs nothing else: no network, no script, no drawing library. Its charts are SVG in which
x is a percentage of the width and y is in pixels, so a chart stretches from a telephone to a wide
screen while its letters and strokes keep their size. Colours are CSS variables with a light and a
dark value. All text is escaped, and the same calls give the same bytes.

What this file does not do: measure, average or round. Callers bring numbers for charts and finished
text for tables.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from minift.recipes.pictures import encode_png
from minift.training.files import write_text

CHART_HEIGHT = 260  # pixels, without the labels around the chart
BAR_PITCH = 44  # pixels from one bar to the next; the bar's name stands above it
MARKS = (  # a shape for each series as well as a colour: not everyone sees the colours differ
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",  # disc
    "M-3.6,-3.6h7.2v7.2h-7.2z",  # square
    "M0,-4.8L4.8,3.6H-4.8z",  # triangle
    "M0,-5.2L5.2,0L0,5.2L-5.2,0z",  # diamond
    "M0,4.8L4.8,-3.6H-4.8z",  # triangle on its tip
    "M-1.4,-5h2.8v3.6h3.6v2.8h-3.6v3.6h-2.8v-3.6h-3.6v-2.8h3.6z",  # cross
)


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
        self._parts.append(_tag("h2", escape(heading), id=f"section-{len(self._headings)}"))
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            if paragraph:
                self._parts.append(_tag("p", escape(paragraph)))

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        caption: str | None = None,
        best: Mapping[str, Callable[[Iterable[float]], float]] | None = None,
    ) -> None:
        """Add a table; columns of numbers are flush right, as in `format_table`.

        Parameters
        ----------
        columns, rows : the header, and the cells, each shown as `str(cell)`.
        best : column -> `max` or `min`: which of its cells to set in bold. Cells are compared by
            the number they begin with, so "89.5% ± 0.4" counts as 89.5. None: no bold cells.

        Raises
        ------
        ValueError : a row longer or shorter than `columns`; a column in `best` that is not there.
        """
        cells = _as_text(columns, rows)
        is_numeric = _numeric_columns(columns, cells)
        winners: dict[int, float] = {}  # column -> the number to set in bold
        for name, choose in (best or {}).items():
            if name not in columns:
                raise ValueError(f"best must name columns out of {list(columns)}, got {name!r}")
            index = columns.index(name)
            values = [value for row in cells if (value := _leading_number(row[index])) is not None]
            if values:
                winners[index] = choose(values)

        def cell(index: int, text: str) -> str:
            shown = escape(text)
            if index in winners and _leading_number(text) == winners[index]:
                shown = _tag("strong", shown)
            if index == 0 and not is_numeric[0]:  # the row's name, read out with each of its cells
                return _tag("th", shown, scope="row")
            return _tag("td", shown, class_="number" if is_numeric[index] else None)

        head = [
            _tag("th", escape(name), scope="col", class_="number" if numeric else None)
            for name, numeric in zip(columns, is_numeric)
        ]
        body = [_tag("tr", "".join(cell(i, text) for i, text in enumerate(row))) for row in cells]
        content = _tag("thead", _tag("tr", "".join(head))) + _tag("tbody", "".join(body))
        # Focusable: a table wider than the screen scrolls, and must do so by keyboard as well.
        label = caption or "Table of " + ", ".join(columns)
        scroller = _tag(
            "div",
            _tag("table", content),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=label,
        )
        self._figure(scroller, caption)

    def lines(
        self,
        series: Mapping[str, Sequence[tuple[float, float]]],
        x_label: str,
        y_label: str,
        caption: str | None = None,
        baseline: Mapping[str, float] | None = None,
        spread: Mapping[str, Sequence[float]] | None = None,
        log_x: bool = False,
    ) -> None:
        """Add a line chart; the legend lists the lines from top to bottom as they end.

        Points that are not finite are left out: a run that diverged must not cost the report.

        Parameters
        ----------
        series : name -> points (x, y) with ascending x.
        baseline : name -> y of a dashed level to compare with, such as chance.
        spread : name -> half the length of the error bar at each point of that series; no bar where
            it is 0 or not finite, such as the deviation of a single seed.
        log_x : whether equal steps along x are equal factors; every x must then be positive.

        Raises
        ------
        ValueError : `log_x` with an x of 0 or less; a `spread` of another length than its series.
        """
        curves = _finite_curves(series, spread or {})
        chart = _line_chart(curves, x_label, y_label, baseline or {}, log_x)
        self._figure(_legend(curves) + chart, caption)

    def bars(
        self,
        values: Mapping[str, float],
        caption: str | None = None,
        spread: Mapping[str, float] | None = None,
        chance: float | None = None,
        limit: float | None = None,
        spec: str = ".1%",
    ) -> None:
        """Add a chart of horizontal bars, in the order given, each with its value at its end.

        Parameters
        ----------
        values : name -> length of the bar; one that is not finite is written out and has no length.
        spread : name -> half the length of its error bar; no bar where it is missing or not finite.
        chance : the value that guessing reaches, marked on every bar.
        limit : the value at the full width, so that charts can share a scale. None, or a limit that
            a bar exceeds: the largest value shown.
        spec : how values are written, a format specification; the default suits shares in [0, 1].
        """
        self._figure(_bar_chart(values, spread or {}, chance, limit, spec, caption), caption)

    def pictures(
        self, images: Tensor, captions: Sequence[str], scale: int = 3, caption: str | None = None
    ) -> None:
        """Add pictures side by side, as many in a row as fit.

        Parameters
        ----------
        images : uint8 (N, 3, H, W), or (N, H, W) in grey.
        captions : N lines, one below each picture.
        scale : side of a pixel on the page; pixels stay square and sharp.
        caption : said below all of them.

        Raises
        ------
        ValueError : not as many captions as pictures; pictures that `encode_png` refuses.
        """
        if len(images) != len(captions):
            raise ValueError(f"captions must be {len(images)}, one a picture, got {len(captions)}")
        tiles = []
        for image, text in zip(images, captions):
            height, width = (side * scale for side in image.shape[-2:])
            source = "data:image/png;base64," + base64.b64encode(encode_png(image)).decode("ascii")
            picture = _tag("img", src=source, alt=text, width=width, height=height)
            note = _tag("figcaption", escape(text))
            tiles.append(_tag("figure", picture + note, style=f"width:{width}px"))
        self._figure(_tag("div", "".join(tiles), class_="tiles"), caption)

    def text_block(self, lines: Sequence[str], caption: str | None = None) -> None:
        """Add lines of text as they are, in letters of one width; long lines wrap, indented."""
        spans = [_tag("span", escape(line)) for line in lines]
        self._figure(_tag("pre", "\n".join(spans)), caption)

    def html(self) -> str:
        """Return the whole page."""
        links = [
            _tag("a", escape(heading), href=f"#section-{number}")
            for number, heading in enumerate(self._headings, start=1)
        ]
        subtitle = _tag("p", escape(self.subtitle), class_="subtitle") if self.subtitle else ""
        contents = _tag("nav", "\n".join(links), aria_label="Sections") if len(links) > 2 else ""
        return "\n".join(
            [
                "<!DOCTYPE html>",
                '<html lang="en">',
                "<head>",
                '<meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                '<meta name="color-scheme" content="light dark">',
                # The promise of the first paragraph, kept by the browser: nothing may be fetched.
                '<meta http-equiv="Content-Security-Policy" '
                "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
                _tag("title", escape(self.title)),
                f"<style>{STYLE}</style>",
                "</head>",
                "<body>",
                _tag("header", _tag("h1", escape(self.title)) + subtitle + contents),
                "<main>",
                *self._parts,
                "</main>",
                "</body>",
                "</html>",
                "",
            ]
        )

    def write(self, path: str | Path) -> None:
        """Write the page to `path` in one piece; missing folders are made."""
        write_text(path, self.html())

    def _figure(self, content: str, caption: str | None) -> None:
        note = _tag("figcaption", escape(caption)) if caption else ""
        self._parts.append(_tag("figure", content + note))


def format_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return the table as aligned plain text for the terminal, without a final newline.

    A column is flush right if all its cells are numbers, perhaps with a unit or a spread ("3.1 s",
    "89.5% ± 0.4"); dashes and empty cells stand for missing ones.

    Examples
    --------
    >>> print(format_table(["method", "accuracy"], [["scratch", "9.8%"], ["frozen", "71.0%"]]))
    method   accuracy
    -------  --------
    scratch      9.8%
    frozen      71.0%
    """
    cells = _as_text(columns, rows)
    is_numeric = _numeric_columns(columns, cells)
    widths = [max(map(len, column)) for column in zip(columns, *cells)]
    lines = [list(columns), ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(line, widths, is_numeric)
        ).rstrip()
        for line in lines
    )


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` ascending multiples of 1, 2 or 5 times a power of ten around low..high.

    Examples
    --------
    >>> round_ticks(0.13, 0.87)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (high - low) or abs(high) or 1.0
    exponent = math.floor(math.log10(span / count))
    unit = 10.0**exponent
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit * count >= span * (1 - 1e-9))
    # The small slack keeps 0.6 / 0.2 = 2.9999999999999996 from costing a tick.
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, max(0, -exponent)) for k in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the ascending numbers 1, 2, 5 times a power of ten in low..high; 0 < low <= high.

    More than six of these would crowd, so then the powers of ten alone; where there are fewer than
    two, the range is so narrow that `round_ticks` serve better.
    """
    powers = [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    ticks = [m * power for power in powers for m in (1, 2, 5) if low <= m * power <= high]
    if len(ticks) < 2:
        return round_ticks(low, high)
    return ticks if len(ticks) <= 6 else [power for power in powers if low <= power <= high]


# Charts: lists of SVG elements, x as a percentage of the width, y in pixels from the top.


class _Curve(NamedTuple):
    slot: int  # picks its colour and mark
    name: str
    points: list[tuple[float, float, float]]  # x, y, half the length of the error bar


def _finite_curves(
    series: Mapping[str, Sequence[tuple[float, float]]], spread: Mapping[str, Sequence[float]]
) -> list[_Curve]:
    curves = []
    for slot, (name, line) in enumerate(series.items()):
        errors = spread.get(name, [0.0] * len(line))
        if len(errors) != len(line):
            raise ValueError(
                f"spread[{name!r}] must have {len(line)} values, one a point, got {len(errors)}"
            )
        points = [
            (float(x), float(y), _finite_or_zero(float(error)))
            for (x, y), error in zip(line, errors)
            if math.isfinite(x) and math.isfinite(y)
        ]
        curves.append(_Curve(slot, name, points))
    return curves


def _line_chart(
    curves: Sequence[_Curve],
    x_label: str,
    y_label: str,
    baseline: Mapping[str, float],
    log_x: bool,
) -> str:
    points = [point for curve in curves for point in curve.points] or [(1.0, 0.0, 0.0)]
    left, right = min(x for x, _, _ in points), max(x for x, _, _ in points)
    if log_x and left <= 0:
        raise ValueError(f"log_x must be False where an x is not positive, got x = {left:g}")
    levels = [y + side * error for _, y, error in points for side in (-1, 1)]
    levels += baseline.values()
    y_ticks = round_ticks(min(levels), max(levels))
    x_ticks = log_ticks(left, right) if log_x else round_ticks(left, right, count=6)
    bend = math.log if log_x else float
    x_of = _scale(bend(left), bend(right), 0, 100)
    y_of = _scale(y_ticks[0], y_ticks[-1], CHART_HEIGHT, 0)

    def position(x: float) -> str:
        return f"{x_of(bend(x)):.2f}%"

    svg = [_text(y_label, -48, -20, "label")]
    for y, label in zip(y_ticks, _tick_labels(y_ticks)):
        svg.append(_line("0%", "100%", y_of(y), y_of(y), "grid"))
        svg.append(_text(label, -10, y_of(y) + 4, "tick end"))
    # Equal decimals suit equal steps; on a logarithmic axis each tick has its own.
    x_labels = [_tick_labels([x])[0] for x in x_ticks] if log_x else _tick_labels(x_ticks)
    for x, label in zip(x_ticks, x_labels):
        if left <= x <= right:
            svg.append(_text(label, position(x), CHART_HEIGHT + 20, "tick middle"))
    svg.append(_text(x_label, "50%", CHART_HEIGHT + 42, "label middle"))
    for y in baseline.values():
        svg.append(_line("0%", "100%", y_of(y), y_of(y), "dashed"))
    for curve in curves:
        path = " ".join(f"{x_of(bend(x)):.2f},{y_of(y):.1f}" for x, y, _ in curve.points)
        # Only a viewBox lets a path stretch; the style sheet keeps its stroke from stretching too.
        drawn = [
            _tag(
                "svg",
                _tag("polyline", points=path),
                viewBox=f"0 0 100 {CHART_HEIGHT}",
                width="100%",
                height=CHART_HEIGHT,
                preserveAspectRatio="none",
            )
        ]
        # Marks on up to ten points, counted from the end, which always has one.
        marked = curve.points[:: -max(1, math.ceil(len(curve.points) / 10))]
        for x, y, error in curve.points:
            if error:
                drawn.append(_line(position(x), position(x), y_of(y - error), y_of(y + error)))
        for x, y, _ in marked:
            hint = _tag("title", escape(f"{curve.name}: {x:g}, {y:.4g}"))
            drawn.append(_mark(curve.slot, position(x), y_of(y), hint))
        svg.append(_tag("g", "".join(drawn), style=_colour(curve.slot)))
    for name, y in baseline.items():  # last, so that no line runs through the words
        svg.append(_text(name, "100%", y_of(y) - 7, "tick end halo"))

    ends = [f"{curve.name} ends at {curve.points[-1][1]:.4g}" for curve in _by_end(curves)]
    summary = f"Line chart of {y_label} against {x_label}. {'; '.join(ends)}."
    return _tag(
        "svg", "".join(svg), class_="chart", role="img", aria_label=summary, height=CHART_HEIGHT
    )


def _legend(curves: Sequence[_Curve]) -> str:
    items = []
    for curve in _by_end(curves):
        key = _line("0%", "100%", 6, 6) + _mark(curve.slot, "50%", 6)
        key = _tag("svg", key, width=26, height=12, aria_hidden="true", style=_colour(curve.slot))
        items.append(_tag("li", key + escape(curve.name)))
    return _tag("ul", "".join(items), class_="legend")


def _by_end(curves: Sequence[_Curve]) -> list[_Curve]:
    """The curves that have points, from the one that ends highest to the one that ends lowest."""
    return sorted((c for c in curves if c.points), key=lambda c: c.points[-1][1], reverse=True)


def _bar_chart(
    values: Mapping[str, float],
    spread: Mapping[str, float],
    chance: float | None,
    limit: float | None,
    spec: str,
    caption: str | None,
) -> str:
    lengths = {name: _finite_or_zero(value) for name, value in values.items()}
    errors = {name: _finite_or_zero(spread.get(name, 0.0)) for name in values}
    low = min([0.0, *(length - errors[name] for name, length in lengths.items())])
    tips = [length + errors[name] for name, length in lengths.items()]
    high = max([0.0, limit or 0.0, chance or 0.0, *tips]) or 1.0
    scale = _scale(low, high, 0, 100)

    def position(value: float) -> str:
        return f"{scale(value):.2f}%"

    svg = []
    for row, (name, length) in enumerate(lengths.items()):
        top, error = row * BAR_PITCH, errors[name]
        start, width = position(min(length, 0.0)), scale(abs(length)) - scale(0.0)
        svg.append(_tag("rect", x=start, y=top + 21, width=f"{width:.2f}%", height=12))
        svg.append(_line(position(0.0), position(0.0), top + 17, top + 37, "zero"))
        if error:
            ends = position(length - error), position(length + error)
            svg.append(_line(*ends, top + 27, top + 27, "error"))
        if chance is not None:  # at each bar, and not through the names between them
            svg.append(_line(position(chance), position(chance), top + 17, top + 37, "error"))
        svg.append(_text(name, 0, top + 13, "label"))
        end = position(max(length + error, 0.0))
        svg.append(_text(format(values[name], spec), end, top + 31, "halo", dx=8))
    height = BAR_PITCH * len(values)
    if chance is not None:
        # Written away from the nearer edge, so that it stays on the page.
        side = "tick" if 2 * chance < low + high else "tick end"
        svg.append(_text(f"chance {format(chance, spec)}", position(chance), height + 8, side))

    listed = "; ".join(f"{name} {format(value, spec)}" for name, value in values.items())
    summary = f"Bar chart. {caption or ''} {listed}."
    return _tag(
        "svg", "".join(svg), class_="chart bars", role="img", aria_label=summary, height=height
    )


def _finite_or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """The straight line that takes low..high to start..stop; all to the middle if low is high."""
    if low == high:
        return lambda value: (start + stop) / 2
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _tick_labels(ticks: Sequence[float]) -> list[str]:
    """All with as many decimals as the one that needs the most, and commas between thousands."""
    if not all(tick == 0 or 1e-5 <= abs(tick) < 1e6 for tick in ticks):
        return [f"{tick:g}" for tick in ticks]
    decimals = max(len(f"{tick:.10f}".rstrip("0").partition(".")[2]) for tick in ticks)
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def _line(x1: str, x2: str, y1: float, y2: float, kind: str | None = None) -> str:
    return _tag("line", class_=kind, x1=x1, x2=x2, y1=f"{y1:.1f}", y2=f"{y2:.1f}")


def _text(text: str, x: str | float, y: float, kind: str, dx: int | None = None) -> str:
    return _tag("text", escape(text), class_=kind, x=x, y=f"{y:.1f}", dx=dx)


def _mark(slot: int, x: str, y: float, hint: str = "") -> str:
    # A path takes no percentages, the drawing around it does.
    path = _tag("path", hint, d=MARKS[slot % len(MARKS)])
    return _tag("svg", path, class_="mark", x=x, y=f"{y:.1f}")


def _colour(slot: int) -> str:
    return f"color:var(--series-{slot % len(MARKS)})"


def _tag(name: str, content: str | None = None, **attributes: object) -> str:
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


# Tables: cells are text; what is a number is read off the text.

_NUMBER = re.compile(
    r"(?P<value>[+-]?(\d[\d,]*(\.\d*)?|\.\d+)(e[+-]?\d+)?)"  # 0.87, 1,280, 3e-05
    r"[^A-Za-z]*[A-Za-zµ]{0,3}"  # %, ± 0.4, (12), /20, s, min
)
_MISSING = {"", "-", "\N{EN DASH}", "\N{EM DASH}", "nan"}


def _as_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[list[str]]:
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(
                f"rows must have {len(columns)} cells, one a column, got {len(row)} in row {number}"
            )
    return [[str(cell) for cell in row] for row in rows]


def _numeric_columns(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[bool]:
    """For each column, whether it has cells that are not missing, and all of these are numbers."""
    flags = []
    for index in range(len(columns)):
        present = [row[index] for row in cells if row[index].strip() not in _MISSING]
        flags.append(bool(present) and all(_leading_number(text) is not None for text in present))
    return flags


def _leading_number(cell: str) -> float | None:
    """What a cell that is a number is worth, without its unit and spread; None for words."""
    match = _NUMBER.fullmatch(cell.strip().replace("\N{MINUS SIGN}", "-"))
    return float(match["value"].replace(",", "")) if match else None


# The series' colours differ in lightness as well as in hue, so that they stay apart for readers who
# see fewer hues, and in print without colour.
STYLE = """
:root {
  --page: #fff; --ink: #1b1f26; --quiet: #5b6472; --rule: #e3e6eb; --panel: #f6f7f9;
  --accent: #1769c2;
  --series-0: #1f83ea; --series-1: #a63603; --series-2: #046b3c;
  --series-3: #86198f; --series-4: #c4841d; --series-5: #5f6675;
  color-scheme: light dark;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --ink: #e6e9ee; --quiet: #9aa4b2; --rule: #2b3038; --panel: #1c2027;
    --accent: #7ab5f5;
    --series-0: #3d8fe6; --series-1: #e0703f; --series-2: #4fc08a;
    --series-3: #f0a0ee; --series-4: #f2cf3a; --series-5: #dfe5f2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 3.5rem 1.25rem 5rem; max-width: 48rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-text-size-adjust: 100%; overflow-wrap: break-word;
}
h1 { margin: 0; font-size: 2rem; line-height: 1.2; letter-spacing: -0.015em; font-weight: 650; }
h2 { margin: 3.5rem 0 0.75rem; font-size: 1.3rem; line-height: 1.3; font-weight: 650; }
p { margin: 0 0 1rem; max-width: 42rem; }
.subtitle { margin: 0.5rem 0 0; color: var(--quiet); }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin-top: 1.5rem;
  padding: 0.75rem 0; border: solid var(--rule); border-width: 1px 0; font-size: 0.9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 1.75rem 0 2.25rem; }
figcaption { margin-top: 0.75rem; max-width: 42rem; color: var(--quiet);
  font-size: 0.875rem; line-height: 1.5; }

.scroll { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; width: 100%;
  font-size: 0.9375rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
th, td { padding: 0.5rem 1.25rem 0.5rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--rule); font-weight: 400; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--quiet); font-size: 0.8125rem; border-bottom-color: var(--quiet); }
@media screen {  /* row names stay in view while a wide table scrolls */
  thead th:first-child:not(.number), tbody th {
    position: sticky; left: 0; background: var(--page);
  }
}
.number { text-align: right; white-space: nowrap; }
strong { font-weight: 700; }

.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.25rem; margin: 0 0 2.75rem; padding: 0;
  list-style: none; font-size: 0.875rem; }
.legend svg { margin-right: 0.5rem; overflow: visible; }
.chart { display: block; overflow: visible; font-size: 13px; font-variant-numeric: tabular-nums;
  width: calc(100% - 66px); margin: 0 18px 52px 48px; }
.bars { width: calc(100% - 72px); margin: 0 72px 20px 0; }
.chart text { fill: var(--ink); }
.chart .tick { fill: var(--quiet); font-size: 12px; }
.chart .end { text-anchor: end; }
.chart .middle { text-anchor: middle; }
.halo { paint-order: stroke; stroke: var(--page); stroke-width: 5px; stroke-linejoin: round; }
svg line { stroke: currentColor; stroke-width: 1.5; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .dashed { stroke: var(--quiet); stroke-dasharray: 4 4; stroke-width: 1; }
svg .error { stroke: var(--ink); }
svg .zero { stroke: var(--quiet); stroke-width: 1; }
polyline { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
.mark { overflow: visible; }
path { fill: currentColor; stroke: var(--page); stroke-width: 1; }
rect { fill: var(--series-0); }

.tiles { display: flex; flex-wrap: wrap; gap: 1.25rem 1rem; }
.tiles figure { margin: 0; }
.tiles figcaption { margin-top: 0.4rem; font-size: 0.8125rem; line-height: 1.35; }
img { display: block; max-width: 100%; height: auto; image-rendering: pixelated;
  border-radius: 3px; }
pre { margin: 0; padding: 1rem 1.25rem; border-radius: 6px; background: var(--panel);
  font: 0.8125rem/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  white-space: pre-wrap; }
pre span { display: inline-block; padding-left: 2ch; text-indent: -2ch; }

@media (max-width: 36rem) {
  body { padding-top: 2rem; }
  h1 { font-size: 1.6rem; }
  h2 { margin-top: 2.75rem; }
  th, td { padding-right: 0.9rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2, p { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
