"""Charts put numbers where they belong, name what they show, and survive runs that went wrong."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from minift.recipes.charts import bar_chart, dot_chart, line_chart, log_ticks, round_ticks


def chart_of(drawn: str) -> ElementTree.Element:
    """The chart without its legend, read as XML, which is stricter than HTML."""
    figure = ElementTree.fromstring(f"<figure>{drawn}</figure>")
    return next(svg for svg in figure.iter("svg") if svg.get("role") == "img")


def words(chart: ElementTree.Element, kind: str) -> list[str]:
    return [t.text or "" for t in chart.iter("text") if kind in (t.get("class") or "").split()]


def lines_of(chart: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [line for line in chart.iter("line") if line.get("class") == kind]


def test_line_chart_puts_points_where_they_belong() -> None:
    chart = chart_of(line_chart({"loss": [(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)]}, "step", "loss"))
    (polyline,) = chart.iter("polyline")
    assert polyline.get("points") == "0.00,260.0 50.00,130.0 100.00,0.0"


def test_log_axis_gives_equal_room_to_equal_factors() -> None:
    drawn = line_chart(
        {"a": [(10, 0.0), (100, 0.5), (1000, 1.0)]}, "labels", "accuracy", log_x=True
    )
    (polyline,) = chart_of(drawn).iter("polyline")
    across = [point.split(",")[0] for point in (polyline.get("points") or "").split()]
    assert across == ["0.00", "50.00", "100.00"]
    with pytest.raises(ValueError, match="log_x must be False"):
        line_chart({"a": [(0, 1.0)]}, "labels", "accuracy", log_x=True)


def test_log_axis_of_y_leaves_out_what_has_vanished() -> None:
    curve = {"norm": [(0.0, 0.01), (1.0, 0.1), (2.0, 1.0), (3.0, 0.0)]}
    chart = chart_of(line_chart(curve, "step", "norm", log_y=True))
    (polyline,) = chart.iter("polyline")
    assert polyline.get("points") == "0.00,260.0 50.00,130.0 100.00,0.0"
    assert words(chart, "end") == ["0.01", "0.1", "1"]
    for argument in ({"spread": {"norm": [0.1] * 4}}, {"baseline": {"none": 0.0}}):
        with pytest.raises(ValueError, match="log_y must be False"):
            line_chart(curve, "step", "norm", log_y=True, **argument)


def test_legend_lists_lines_from_top_to_bottom_as_they_end() -> None:
    drawn = line_chart({"low": [(0, 9), (1, 1)], "high": [(0, 0), (1, 3)], "none": []}, "x", "y")
    assert re.findall(r"<li>.*?</svg>(\w+)</li>", drawn) == ["high", "low"]
    assert "high ends at 3; low ends at 1" in (chart_of(drawn).get("aria-label") or "")


def test_each_line_of_eight_has_its_own_colour_and_mark() -> None:
    drawn = line_chart({f"line {k}": [(0, k), (1, k)] for k in range(8)}, "x", "y")
    groups = list(chart_of(drawn).iter("g"))
    assert len({group.get("style") for group in groups}) == 8
    assert len({next(group.iter("path")).get("d") for group in groups}) == 8


@pytest.mark.parametrize("count", [1, 7, 10, 11, 995])
def test_long_lines_have_few_marks_and_one_at_their_end(count: int) -> None:
    drawn = line_chart({"a": [(float(k), float(k)) for k in range(count)]}, "x", "y")
    (group,) = chart_of(drawn).iter("g")
    hints = [title.text for title in group.iter("title")]
    assert min(count, 5) <= len(hints) <= 10
    assert f"a: {count - 1:g}, {count - 1:.4g}" in hints


def test_baseline_is_drawn_named_and_inside_the_chart() -> None:
    chart = chart_of(line_chart({"a": [(0, 0.6), (1, 0.8)]}, "x", "y", baseline={"chance": 0.1}))
    (level,) = lines_of(chart, "dashed")
    assert 0 <= float(level.get("y1") or "nan") <= 260
    assert words(chart, "halo") == ["chance"]


def test_error_bars_span_the_spread_and_a_missing_deviation_costs_no_point() -> None:
    spread = {"a": [0.5, math.nan]}
    drawn = line_chart({"a": [(0.0, 0.5), (1.0, 0.5)]}, "x", "y", spread=spread)
    (group,) = chart_of(drawn).iter("g")
    (bar,) = group.iter("line")
    assert {bar.get("y1"), bar.get("y2")} == {"0.0", "260.0"}
    assert len(list(group.iter("title"))) == 2
    with pytest.raises(ValueError, match=r"spread\['a'\] must have 2 values"):
        line_chart({"a": [(0, 1), (1, 1)]}, "x", "y", spread={"a": [0.1]})


@pytest.mark.parametrize(
    "points",
    [[], [(1.0, math.nan)], [(1.0, 2.0), (2.0, math.inf)], [(5.0, 0.0)], [(3.0, 1e30)]],
)
@pytest.mark.parametrize("is_log", [False, True])
def test_line_chart_survives_a_run_that_went_wrong(
    points: list[tuple[float, float]], is_log: bool
) -> None:
    drawn = line_chart({"a": points}, "x", "y", log_x=is_log, log_y=is_log)
    svg = ElementTree.tostring(chart_of(drawn), encoding="unicode")
    assert not re.search(r"\b(nan|inf)\b", svg)


def test_bars_are_as_long_as_their_values() -> None:
    chart = chart_of(bar_chart({"a": 0.25, "b": 0.5}, limit=1.0, chance=0.1))
    assert [bar.get("width") for bar in chart.iter("rect")] == ["25.00%", "50.00%"]
    assert words(chart, "halo") == ["25.0%", "50.0%"]
    assert words(chart, "tick") == ["chance 10.0%"]
    named = chart_of(bar_chart({"a": 0.25}, chance=0.1, spec=".2f", level="before"))
    assert words(named, "tick") == ["before 0.10"]


def test_negative_bars_run_left_from_zero() -> None:
    drawn = bar_chart({"gain": 0.3, "harm": -0.1})
    gain, harm = chart_of(drawn).iter("rect")
    assert (harm.get("x"), harm.get("width")) == ("0.00%", "25.00%")
    assert (gain.get("x"), gain.get("width")) == ("25.00%", "75.00%")


@pytest.mark.parametrize("values", [{}, {"a": 0.0}, {"a": math.nan}, {"a": 2.0}])
def test_bars_stay_on_the_page(values: dict[str, float]) -> None:
    drawn = bar_chart(values, limit=1.0, spread={"a": math.nan})
    for bar in chart_of(drawn).iter("rect"):
        start, width = (float((bar.get(key) or "").rstrip("%")) for key in ("x", "width"))
        assert 0 <= start <= start + width <= 100


def test_each_run_is_a_dot_and_the_box_holds_the_middle_half() -> None:
    chart = chart_of(dot_chart({"a": [0.4, 0.0, 0.2, 0.6, 1.0]}, "accuracy", {"majority": 0.5}))
    marks = [svg for svg in chart.iter("svg") if svg.get("class") == "mark"]
    assert [mark.get("x") for mark in marks] == ["0.00%", "20.00%", "40.00%", "60.00%", "100.00%"]
    (box,) = chart.iter("rect")
    assert (box.get("x"), box.get("width")) == ("20.00%", "40.00%")
    assert [line.get("x1") for line in lines_of(chart, "error")] == ["40.00%"]  # the median
    assert [line.get("x1") for line in lines_of(chart, "dashed")] == ["50.00%"]
    assert "a: median 0.4, quartiles 0.2 and 0.6" in (chart.get("aria-label") or "")


def test_dots_of_equal_values_are_told_apart() -> None:
    chart = chart_of(dot_chart({"a": [0.5] * 5}, "accuracy"))
    assert len({mark.get("y") for mark in chart.iter("svg") if mark.get("class") == "mark"}) == 5


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [math.nan, 0.3]}, {"a": [2, 2]}])
def test_dots_survive_a_run_that_went_wrong(values: dict[str, list[float]]) -> None:
    chart = chart_of(dot_chart(values, "accuracy"))
    finite = [value for several in values.values() for value in several if math.isfinite(value)]
    assert len([svg for svg in chart.iter("svg") if svg.get("class") == "mark"]) == len(finite)
    assert len(list(chart.iter("rect"))) == (len(finite) > 1)


@pytest.mark.parametrize(
    ("low", "high"), [(0.13, 0.87), (-3, 11), (0, 1280), (2.5e-5, 1e-3), (5, 5), (0, 0), (-2, -2)]
)
def test_ticks_are_round_even_few_and_cover_the_range(low: float, high: float) -> None:
    ticks = round_ticks(low, high)
    step = ticks[1] - ticks[0]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5)) < 1e-6
    assert all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in pairwise(ticks))
    assert ticks[0] <= low <= high <= ticks[-1]
    assert 2 <= len(ticks) <= 7


def test_counts_along_x_have_no_halves() -> None:
    drawn = line_chart({"a": [(1, 0.0), (4, 1.0)]}, "stages", "score")
    ticks = re.findall(r'class="tick middle"[^>]*>([^<]+)<', drawn)
    assert ticks == ["1", "2", "3", "4"]
    fine = line_chart({"a": [(1, 0.0), (3.5, 1.0)]}, "seconds", "score")
    assert ">1.5<" in fine


def test_ticks_print_without_rounding_dust() -> None:
    assert round_ticks(0.0, 0.6, count=6) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_log_ticks_thin_out_as_the_range_grows() -> None:
    assert log_ticks(100, 4000) == [100, 200, 500, 1000, 2000]
    assert log_ticks(1, 1e5) == [1, 10, 100, 1000, 1e4, 1e5]
    assert all(tick == round(tick, -1) for tick in log_ticks(310, 420))


def test_tick_labels_share_their_decimals() -> None:
    chart = chart_of(line_chart({"a": [(0, 0.0), (2000, 1.0)]}, "step", "y"))
    assert words(chart, "end") == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert words(chart, "tick")[-1] == "2,000"
