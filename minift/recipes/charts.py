"""Charts as SVG: lines with error bars, bars, and dots over boxes.

What this file does not do: measure, average or round. It draws the numbers it is given, and as
a box their quartiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import quantiles
from typing import NamedTuple

from minift.recipes.svg import draw_line, draw_mark, draw_text, linear_scale, series_colour, tag

CHART_HEIGHT = 260  # pixels, without the labels around the chart
BAR_PITCH = 44  # pixels from one bar to the next; the bar's name stands above it
DOT_PITCH = 56  # pixels from one row of dots to the next; its name stands above it


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_label: str,
    baseline: Mapping[str, float] | None = None,
    spread: Mapping[str, Sequence[float]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Draw lines; the legend above them lists them from top to bottom as they end.

    Points that are not finite are left out: a run that diverged must not cost the report.

    Parameters
    ----------
    series : name -> points (x, y) with ascending x.
    baseline : name -> y of a dashed level to compare with, such as chance.
    spread : name -> half the length of the error bar at each point of that series; no bar where it
        is 0 or not finite, such as the deviation of a single seed.
    log_x : whether equal steps along x are equal factors; every x must then be positive.
    log_y : the same for y; points at 0 or below are left out, as a gradient that has vanished is.

    Raises
    ------
    ValueError : `log_x` with an x of 0 or less; a `spread` of another length than its series;
        `log_y` with a `spread`, or with a `baseline` of 0 or less.
    """
    baseline = baseline or {}
    if log_y and (spread or min(baseline.values(), default=1.0) <= 0):
        raise ValueError("log_y must be False with a spread, or a baseline that is not positive")
    curves = _finite_curves(series, spread or {}, above=0.0 if log_y else -math.inf)
    points = [point for curve in curves for point in curve.points] or [(1.0, 1.0, 0.0)]
    left, right = min(x for x, _, _ in points), max(x for x, _, _ in points)
    if log_x and left <= 0:
        raise ValueError(f"log_x must be False where an x is not positive, got x = {left:g}")
    levels = [y + side * error for _, y, error in points for side in (-1, 1)]
    levels += baseline.values()
    bottom, top = min(levels), max(levels)
    y_ticks = log_ticks(bottom, top) if log_y else round_ticks(bottom, top)
    if not log_y:
        bottom, top = y_ticks[0], y_ticks[-1]
    x_ticks = log_ticks(left, right) if log_x else round_ticks(left, right, count=6)
    if all(x == round(x) for x, _, _ in points):  # what is counted has no halves
        x_ticks = [tick for tick in x_ticks if tick == round(tick)]
    bend = math.log if log_x else float
    x_of = linear_scale(bend(left), bend(right), 0, 100)
    bend_y = math.log if log_y else float
    y_straight = linear_scale(bend_y(bottom), bend_y(top), CHART_HEIGHT, 0)

    def position(x: float) -> str:
        return f"{x_of(bend(x)):.2f}%"

    def y_of(y: float) -> float:
        return y_straight(bend_y(y))

    svg = [draw_text(y_label, -48, -20, "label")]
    for y, label in zip(y_ticks, _tick_labels(y_ticks, log_y)):
        if bottom <= y <= top:
            svg.append(draw_line("0%", "100%", y_of(y), y_of(y), "grid"))
            svg.append(draw_text(label, -10, y_of(y) + 4, "tick end"))
    for x, label in zip(x_ticks, _tick_labels(x_ticks, log_x)):
        if left <= x <= right:
            svg.append(draw_text(label, position(x), CHART_HEIGHT + 20, "tick middle"))
    svg.append(draw_text(x_label, "50%", CHART_HEIGHT + 42, "label middle"))
    for y in baseline.values():
        svg.append(draw_line("0%", "100%", y_of(y), y_of(y), "dashed"))
    for curve in curves:
        path = " ".join(f"{x_of(bend(x)):.2f},{y_of(y):.1f}" for x, y, _ in curve.points)
        # Only a viewBox lets a path stretch; the style sheet keeps its stroke from stretching too.
        drawn = [
            tag(
                "svg",
                tag("polyline", points=path),
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
                drawn.append(draw_line(position(x), position(x), y_of(y - error), y_of(y + error)))
        for x, y, _ in marked:
            hint = tag("title", escape(f"{curve.name}: {x:g}, {y:.4g}"))
            drawn.append(draw_mark(curve.slot, position(x), y_of(y), hint))
        svg.append(tag("g", "".join(drawn), style=series_colour(curve.slot)))
    for name, y in baseline.items():  # last, so that no line runs through the words
        svg.append(draw_text(name, "100%", y_of(y) - 7, "tick end halo"))

    ends = [f"{curve.name} ends at {curve.points[-1][1]:.4g}" for curve in _by_end(curves)]
    summary = f"Line chart of {y_label} against {x_label}. {'; '.join(ends)}."
    chart = tag(
        "svg", "".join(svg), class_="chart", role="img", aria_label=summary, height=CHART_HEIGHT
    )
    return _legend(curves) + chart


def bar_chart(
    values: Mapping[str, float],
    caption: str | None = None,
    spread: Mapping[str, float] | None = None,
    chance: float | None = None,
    limit: float | None = None,
    spec: str = ".1%",
    level: str = "chance",
) -> str:
    """Draw horizontal bars, in the order given, each with its value at its end.

    Parameters
    ----------
    values : name -> length of the bar; one that is not finite is written out and has no length.
    caption : what it shows, for those who have it read out; None: its values alone.
    spread : name -> half the length of its error bar; no bar where it is missing or not finite.
    chance : the value that guessing reaches, or another to compare with, marked on every bar.
    limit : the value at the full width, so that charts can share a scale. None, or a limit that a
        bar exceeds: the largest value shown.
    spec : how values are written, a format specification; the default suits shares in [0, 1].
    level : what `chance` is called.
    """
    lengths = {name: _finite_or_zero(value) for name, value in values.items()}
    errors = {name: _finite_or_zero((spread or {}).get(name, 0.0)) for name in values}
    low = min([0.0, *(length - errors[name] for name, length in lengths.items())])
    tips = [length + errors[name] for name, length in lengths.items()]
    high = max([0.0, limit or 0.0, chance or 0.0, *tips]) or 1.0
    scale = linear_scale(low, high, 0, 100)

    def position(value: float) -> str:
        return f"{scale(value):.2f}%"

    svg = []
    for row, (name, length) in enumerate(lengths.items()):
        top, error = row * BAR_PITCH, errors[name]
        start, width = position(min(length, 0.0)), scale(abs(length)) - scale(0.0)
        svg.append(tag("rect", x=start, y=top + 21, width=f"{width:.2f}%", height=12))
        svg.append(draw_line(position(0.0), position(0.0), top + 17, top + 37, "zero"))
        if error:
            ends = position(length - error), position(length + error)
            svg.append(draw_line(*ends, top + 27, top + 27, "error"))
        if chance is not None:  # at each bar, and not through the names between them
            svg.append(draw_line(position(chance), position(chance), top + 17, top + 37, "error"))
        svg.append(draw_text(name, 0, top + 13, "label"))
        end = position(max(length + error, 0.0))
        svg.append(draw_text(format(values[name], spec), end, top + 31, "halo", dx=8))
    height = BAR_PITCH * len(values)
    if chance is not None:
        # Written away from the nearer edge, so that it stays on the page.
        side = "tick" if 2 * chance < low + high else "tick end"
        svg.append(draw_text(f"{level} {format(chance, spec)}", position(chance), height + 8, side))

    listed = "; ".join(f"{name} {format(value, spec)}" for name, value in values.items())
    summary = f"Bar chart. {caption or ''} {listed}."
    return tag(
        "svg", "".join(svg), class_="chart bars", role="img", aria_label=summary, height=height
    )


def dot_chart(
    values: Mapping[str, Sequence[float]],
    x_label: str,
    baseline: Mapping[str, float] | None = None,
) -> str:
    """Draw a row of dots for each name, one a value, over a box that holds the middle half of them.

    The box reaches from the lower to the upper quartile, with a stroke at the median. Dots are
    spread up and down, in ascending order, only to be told apart.

    Parameters
    ----------
    values : name -> its values, in any order; those that are not finite are left out. A single one
        has no box.
    baseline : name -> a dashed level across all rows, such as chance.
    """
    baseline = baseline or {}
    rows = {name: sorted(filter(math.isfinite, several)) for name, several in values.items()}
    shown = [value for several in rows.values() for value in several] + [*baseline.values()]
    ticks = round_ticks(min(shown, default=0.0), max(shown, default=0.0))
    scale = linear_scale(ticks[0], ticks[-1], 0, 100)

    def position(value: float) -> str:
        return f"{scale(value):.2f}%"

    svg, said = [], []
    height = DOT_PITCH * len(rows)
    for tick, label in zip(ticks, _tick_labels(ticks)):
        svg.append(draw_line(position(tick), position(tick), 0, height, "grid"))
        svg.append(draw_text(label, position(tick), height + 20, "tick middle"))
    svg.append(draw_text(x_label, "50%", height + 42, "label middle"))
    for name, level in baseline.items():
        svg.append(draw_line(position(level), position(level), 0, height, "dashed"))
        # Written away from the nearer edge, so that it stays on the page.
        side = "tick" if scale(level) < 50 else "tick end"
        svg.append(draw_text(name, position(level), -7, side))
    for row, (name, several) in enumerate(rows.items()):
        top, middle = row * DOT_PITCH, row * DOT_PITCH + 34
        svg.append(draw_text(name, 0, top + 14, "label halo"))
        if len(several) > 1:
            low, median, high = quantiles(several, n=4, method="inclusive")
            summary = f"{name}: median {median:.4g}, quartiles {low:.4g} and {high:.4g}"
            width = f"{scale(high) - scale(low):.2f}%"
            hint = tag("title", escape(summary))
            svg.append(tag("rect", hint, class_="box", x=position(low), y=top + 20, width=width,
                           height=28))  # fmt: skip
            svg.append(draw_line(position(median), position(median), top + 20, top + 48, "error"))
            said.append(summary)
        for rank, value in enumerate(several):
            hint = tag("title", escape(f"{name}: {value:.4g}"))
            svg.append(draw_mark(0, position(value), middle + 5 * (rank % 5 - 2), hint))
    label = f"Dot chart of {x_label}. {'; '.join(said)}."
    return tag(
        "svg", "".join(svg), class_="chart dots", role="img", aria_label=label, height=height
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


class _Curve(NamedTuple):
    slot: int  # picks its colour and mark
    name: str
    points: list[tuple[float, float, float]]  # x, y, half the length of the error bar


def _finite_curves(
    series: Mapping[str, Sequence[tuple[float, float]]],
    spread: Mapping[str, Sequence[float]],
    above: float,
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
            if math.isfinite(x) and above < y < math.inf
        ]
        curves.append(_Curve(slot, name, points))
    return curves


def _legend(curves: Sequence[_Curve]) -> str:
    items = []
    for curve in _by_end(curves):
        key = draw_line("0%", "100%", 6, 6) + draw_mark(curve.slot, "50%", 6)
        key = tag(
            "svg", key, width=26, height=12, aria_hidden="true", style=series_colour(curve.slot)
        )
        items.append(tag("li", key + escape(curve.name)))
    return tag("ul", "".join(items), class_="legend")


def _by_end(curves: Sequence[_Curve]) -> list[_Curve]:
    """The curves that have points, from the one that ends highest to the one that ends lowest."""
    return sorted((c for c in curves if c.points), key=lambda c: c.points[-1][1], reverse=True)


def _finite_or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _tick_labels(ticks: Sequence[float], is_log: bool = False) -> list[str]:
    """With commas between thousands, and all with as many decimals as the one that needs the most.

    Equal decimals suit equal steps; on a logarithmic axis each tick has its own.
    """
    if is_log:
        return [label for tick in ticks for label in _tick_labels([tick])]
    if not all(tick == 0 or 1e-5 <= abs(tick) < 1e6 for tick in ticks):
        return [f"{tick:g}" for tick in ticks]
    decimals = max(len(f"{tick:.10f}".rstrip("0").partition(".")[2]) for tick in ticks)
    return [f"{tick:,.{decimals}f}" for tick in ticks]
