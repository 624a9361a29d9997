"""A page that tells what a run found: tables, charts, pictures and text in one HTML file.

The file needs nothing else: no network, no script, no drawing library (its charts are SVG, drawn by
`charts.py`, `heat_maps.py` and `scatter.py`). Colours are CSS variables with a light and a dark
value. All text is escaped, and the same calls give the same bytes.

What this file does not do: measure, average or round. Callers bring numbers for charts and finished
text for tables.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from torch import Tensor

from minift.recipes.charts import bar_chart, dot_chart, line_chart
from minift.recipes.heat_maps import heat_map
from minift.recipes.pictures import encode_png
from minift.recipes.scatter import scatter_chart
from minift.recipes.svg import tag
from minift.training.files import write_text


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
        self._parts.append(tag("h2", escape(heading), id=f"section-{len(self._headings)}"))
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            if paragraph:
                self._parts.append(tag("p", escape(paragraph)))

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
                shown = tag("strong", shown)
            if index == 0 and not is_numeric[0]:  # the row's name, read out with each of its cells
                return tag("th", shown, scope="row")
            return tag("td", shown, class_="number" if is_numeric[index] else None)

        head = [
            tag("th", escape(name), scope="col", class_="number" if numeric else None)
            for name, numeric in zip(columns, is_numeric)
        ]
        body = [tag("tr", "".join(cell(i, text) for i, text in enumerate(row))) for row in cells]
        content = tag("thead", tag("tr", "".join(head))) + tag("tbody", "".join(body))
        # Focusable: a table wider than the screen scrolls, and must do so by keyboard as well.
        label = caption or "Table of " + ", ".join(columns)
        scroller = tag(
            "div",
            tag("table", content),
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
        log_y: bool = False,
    ) -> None:
        """Add a line chart; see `charts.line_chart`."""
        drawn = line_chart(series, x_label, y_label, baseline, spread, log_x, log_y)
        self._figure(drawn, caption)

    def bars(
        self,
        values: Mapping[str, float],
        caption: str | None = None,
        spread: Mapping[str, float] | None = None,
        chance: float | None = None,
        limit: float | None = None,
        spec: str = ".1%",
        level: str = "chance",
    ) -> None:
        """Add a chart of horizontal bars; see `charts.bar_chart`."""
        self._figure(bar_chart(values, caption, spread, chance, limit, spec, level), caption)

    def dots(
        self,
        values: Mapping[str, Sequence[float]],
        x_label: str,
        caption: str | None = None,
        baseline: Mapping[str, float] | None = None,
    ) -> None:
        """Add a chart of dots, a row for each name; see `charts.dot_chart`."""
        self._figure(dot_chart(values, x_label, baseline), caption)

    def scatter(
        self,
        groups: Mapping[str, Mapping[str, tuple[float, float]]],
        x_label: str,
        y_label: str,
        caption: str | None = None,
    ) -> None:
        """Add a chart of named points; see `scatter.scatter_chart`."""
        self._figure(scatter_chart(groups, x_label, y_label), caption)

    def heat_map(
        self,
        maps: Mapping[str, Sequence[Sequence[float]]],
        row_names: Sequence[str],
        column_names: Sequence[str],
        caption: str | None = None,
        row_label: str = "row",
        column_label: str = "column",
        spec: str | None = None,
        limit: float | None = None,
    ) -> None:
        """Add heat maps with the same rows and columns, side by side where there is room.

        maps : name, said above the map -> its values; the rest as in `heat_maps.heat_map`.
        """
        drawn = [
            tag("figure", tag("figcaption", escape(name)) + heat_map(
                values, row_names, column_names, row_label, column_label, spec, limit
            ))
            for name, values in maps.items()
        ]  # fmt: skip
        self._figure(tag("div", "".join(drawn), class_="maps"), caption)

    def tokens(self, rows: Mapping[str, Sequence[str]], caption: str | None = None) -> None:
        """Add texts as their tokens, each set apart; rows is name -> tokens, from the top."""
        listed = []
        for name, tokens in rows.items():
            # The space between two lets a long row wrap, and keeps them apart when it is copied.
            chips = " ".join(tag("span", escape(token), class_="token") for token in tokens)
            count = f"{len(tokens)} token" + "s" * (len(tokens) != 1)
            heading = tag("dt", escape(f"{name}: {count}"))
            listed.append(heading + tag("dd", chips))
        self._figure(tag("dl", "".join(listed)), caption)

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
            picture = tag("img", src=source, alt=text, width=width, height=height)
            note = tag("figcaption", escape(text))
            tiles.append(tag("figure", picture + note, style=f"width:{width}px"))
        self._figure(tag("div", "".join(tiles), class_="tiles"), caption)

    def text_block(self, lines: Sequence[str], caption: str | None = None) -> None:
        """Add lines of text as they are, in letters of one width; long lines wrap, indented."""
        spans = [tag("span", escape(line)) for line in lines]
        self._figure(tag("pre", "\n".join(spans)), caption)

    def html(self) -> str:
        """Return the whole page."""
        links = [
            tag("a", escape(heading), href=f"#section-{number}")
            for number, heading in enumerate(self._headings, start=1)
        ]
        subtitle = tag("p", escape(self.subtitle), class_="subtitle") if self.subtitle else ""
        contents = tag("nav", "\n".join(links), aria_label="Sections") if len(links) > 2 else ""
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
                tag("title", escape(self.title)),
                f"<style>{STYLE}</style>",
                "</head>",
                "<body>",
                tag("header", tag("h1", escape(self.title)) + subtitle + contents),
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
        note = tag("figcaption", escape(caption)) if caption else ""
        self._parts.append(tag("figure", content + note))


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
  --series-6: #b3123b; --series-7: #0b7a8c;
  color-scheme: light dark;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --ink: #e6e9ee; --quiet: #9aa4b2; --rule: #2b3038; --panel: #1c2027;
    --accent: #7ab5f5;
    --series-0: #3d8fe6; --series-1: #e0703f; --series-2: #4fc08a;
    --series-3: #f0a0ee; --series-4: #f2cf3a; --series-5: #dfe5f2;
    --series-6: #ff8fa3; --series-7: #37c8d8;
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
tbody th { min-width: 10rem; }
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
.dots { width: calc(100% - 36px); margin: 24px 18px 52px; }
.dots .box { fill: var(--rule); }
.dots path { fill: var(--series-0); fill-opacity: 0.7; }
.map { width: 100%; margin: 0 0 36px; }
.heat { width: min(100% - var(--left), var(--most)); margin: 0 0 4px var(--left);
  font-size: 12px; }
.heat rect { stroke: var(--page); stroke-width: 1; }
.chart .ground { fill: var(--panel); stroke: none; }
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

.maps { display: grid; gap: 1.5rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.maps figure { margin: 0; min-width: 0; }
.maps figcaption { margin: 0 0 0.5rem; color: var(--ink); }
dl { margin: 0; }
dt { color: var(--quiet); font-size: 0.875rem; }
dd { margin: 0.25rem 0 1rem; line-height: 2; }
.token { padding: 0.15rem 0.4rem; border-radius: 4px; background: var(--panel);
  border: 1px solid var(--rule); white-space: pre; font: 0.8125rem/1 ui-monospace, "SF Mono",
  Menlo, Consolas, "Liberation Mono", monospace; }
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
