"""Charts as SVG: lines with error bars, and bars.

In every chart x is a percentage of the width and y is in pixels, so that it stretches from a
telephone to a wide screen while its letters and strokes keep their size. How it looks, the colours
above all, is said in the style sheet of the page it stands on (`report.STYLE`).

What this file does not do: measure, average or round. It draws the numbers it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

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


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_label: str,
    baseline: Mapping[str, float] | None = None,
    spread: Mapping[str, Sequence[float]] | None = None,
    log_x: bool = False,
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

    Raises
    ------
    ValueError : `log_x` with an x of 0 or less; a `spread` of another length than its series.
    """
    baseline = baseline or {}
    curves = _finite_curves(series, spread or {})
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
                drawn.append(_line(position(x), position(x), y_of(y - error), y_of(y + error)))
        for x, y, _ in marked:
            hint = tag("title", escape(f"{curve.name}: {x:g}, {y:.4g}"))
            drawn.append(_mark(curve.slot, position(x), y_of(y), hint))
        svg.append(tag("g", "".join(drawn), style=_colour(curve.slot)))
    for name, y in baseline.items():  # last, so that no line runs through the words
        svg.append(_text(name, "100%", y_of(y) - 7, "tick end halo"))

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
) -> str:
    """Draw horizontal bars, in the order given, each with its value at its end.

    Parameters
    ----------
    values : name -> length of the bar; one that is not finite is written out and has no length.
    caption : what it shows, for those who have it read out; None: its values alone.
    spread : name -> half the length of its error bar; no bar where it is missing or not finite.
    chance : the value that guessing reaches, marked on every bar.
    limit : the value at the full width, so that charts can share a scale. None, or a limit that a
        bar exceeds: the largest value shown.
    spec : how values are written, a format specification; the default suits shares in [0, 1].
    """
    lengths = {name: _finite_or_zero(value) for name, value in values.items()}
    errors = {name: _finite_or_zero((spread or {}).get(name, 0.0)) for name in values}
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
        svg.append(tag("rect", x=start, y=top + 21, width=f"{width:.2f}%", height=12))
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
    return tag(
        "svg", "".join(svg), class_="chart bars", role="img", aria_label=summary, height=height
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


# Parts: a chart is a list of SVG elements, x as a percentage, y in pixels from the top.


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


def _legend(curves: Sequence[_Curve]) -> str:
    items = []
    for curve in _by_end(curves):
        key = _line("0%", "100%", 6, 6) + _mark(curve.slot, "50%", 6)
        key = tag("svg", key, width=26, height=12, aria_hidden="true", style=_colour(curve.slot))
        items.append(tag("li", key + escape(curve.name)))
    return tag("ul", "".join(items), class_="legend")


def _by_end(curves: Sequence[_Curve]) -> list[_Curve]:
    """The curves that have points, from the one that ends highest to the one that ends lowest."""
    return sorted((c for c in curves if c.points), key=lambda c: c.points[-1][1], reverse=True)


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
    return tag("line", class_=kind, x1=x1, x2=x2, y1=f"{y1:.1f}", y2=f"{y2:.1f}")


def _text(text: str, x: str | float, y: float, kind: str, dx: int | None = None) -> str:
    return tag("text", escape(text), class_=kind, x=x, y=f"{y:.1f}", dx=dx)


def _mark(slot: int, x: str, y: float, hint: str = "") -> str:
    # A path takes no percentages, the drawing around it does.
    path = tag("path", hint, d=MARKS[slot % len(MARKS)])
    return tag("svg", path, class_="mark", x=x, y=f"{y:.1f}")


def _colour(slot: int) -> str:
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
