"""A scatter chart puts points where they belong, and no name over another one."""

from __future__ import annotations

import math
from itertools import combinations
from xml.etree import ElementTree

from minift.recipes.scatter import LETTER, MAP_HEIGHT, NARROW, scatter_chart

Groups = dict[str, dict[str, tuple[float, float]]]


def chart_of(groups: Groups) -> ElementTree.Element:
    figure = ElementTree.fromstring(f"<figure>{scatter_chart(groups, 'across', 'up')}</figure>")
    return next(svg for svg in figure.iter("svg") if svg.get("role") == "img")


def marks(chart: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """Group and name -> x in per cent and y in pixels of its mark."""
    return {
        mark.findtext("path/title") or "": (
            float((mark.get("x") or "").rstrip("%")),
            float(mark.get("y") or "nan"),
        )
        for mark in chart.iter("svg")
        if mark.find("path") is not None
    }


def covered(chart: ElementTree.Element, width: float) -> dict[str, tuple[float, float, float]]:
    """Name -> its left, right and y in pixels, on a chart of that width."""
    found = {}
    for text in chart.findall("g/text"):
        x = float((text.get("x") or "").rstrip("%")) * width / 100 + float(text.get("dx") or 0)
        name, is_left = text.text or "", "end" in (text.get("class") or "")
        near, far = (x - LETTER * len(name), x) if is_left else (x, x + LETTER * len(name))
        found[name] = (near, far, float(text.get("y") or "nan"))
    return found


def crowd() -> Groups:
    """Twenty words in four tight clusters, as word vectors have them."""
    return {
        f"kind {k}": {
            f"word{k}{n}": (math.cos(k * 1.6) + n * 0.02, math.sin(k * 1.6) + n % 2 * 0.03)
            for n in range(5)
        }
        for k in range(4)
    }


def test_points_stand_where_they_belong() -> None:
    chart = chart_of({"a": {"low": (0.0, 0.0), "middle": (5.0, 1.0)}, "b": {"high": (10.0, 2.0)}})
    places = marks(chart)
    assert list(places) == ["a: low", "a: middle", "b: high"]
    assert places["a: middle"] == (50.0, MAP_HEIGHT / 2)
    assert places["a: low"][0] < 50 < places["b: high"][0]
    assert places["a: low"][1] > MAP_HEIGHT / 2 > places["b: high"][1]  # y counts from the top


def test_no_name_covers_another_on_a_narrow_or_a_wide_screen() -> None:
    chart = chart_of(crowd())
    for width in (NARROW, 700):
        for one, other in combinations(covered(chart, width).values(), 2):
            is_beside = one[1] <= other[0] or other[1] <= one[0]
            assert is_beside or abs(one[2] - other[2]) >= 14
    assert all(0 <= left < right <= NARROW for left, right, _ in covered(chart, NARROW).values())


def test_a_name_that_was_moved_away_has_a_line_from_its_point() -> None:
    chart = chart_of(crowd())
    moved = [g for g in chart.findall("g") if g.find("svg/line") is not None]
    places, names = marks(chart), covered(chart, NARROW)
    for group in chart.findall("g"):
        name = group.findtext("text") or ""
        y = next(place[1] for key, place in places.items() if key.endswith(f": {name}"))
        assert (group in moved) == (abs(names[name][2] - 4 - y) > 8)
    assert moved


def test_groups_differ_in_colour_and_mark_and_are_read_out() -> None:
    chart = chart_of({"a": {"one": (0, 0)}, "b": {"two": (1, 1)}})
    assert len({group.get("style") for group in chart.findall("g")}) == 2
    assert len({path.get("d") for path in chart.iter("path")}) == 2
    assert "a: one; b: two" in (chart.get("aria-label") or "")


def test_points_that_are_nowhere_are_left_out() -> None:
    assert list(marks(chart_of({"a": {"x": (math.nan, 0.0), "y": (1.0, 1.0)}}))) == ["a: y"]
    assert list(marks(chart_of({}))) == []
