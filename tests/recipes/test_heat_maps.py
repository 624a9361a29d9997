"""A heat map's shades follow its values, its names fit, and its numbers can be read."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from minift.recipes.heat_maps import CELL_WIDTH, SHADE_UNDER_NUMBERS, heat_map


def cells(drawn: str) -> list[ElementTree.Element]:
    return [r for r in ElementTree.fromstring(drawn).iter("rect") if r.get("class") != "ground"]


def shades(drawn: str) -> list[float]:
    return [float(cell.get("fill-opacity") or "nan") for cell in cells(drawn)]


def words(drawn: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(drawn).iter("text")]


def test_shades_follow_the_values_up_to_the_limit() -> None:
    drawn = heat_map([[0.0, 0.5], [1.0, 4.0]], ["a", "b"], ["c", "d"], limit=2.0)
    assert shades(drawn) == [0.0, 0.25, 0.5, 1.0]
    assert shades(heat_map([[1.0, 2.0]], ["a"], ["c", "d"])) == [0.5, 1.0]


def test_cells_stand_in_rows_and_columns() -> None:
    found = cells(heat_map([[1.0, 2.0], [3.0, 4.0]], ["a", "b"], ["c", "d"]))
    assert [cell.get("x") for cell in found] == ["0.00%", "50.00%"] * 2
    tops = [float(cell.get("y") or "nan") for cell in found]
    assert tops[0] == tops[1] < tops[2] == tops[3]
    hints = [cell.findtext("title") for cell in found]
    assert hints == ["a, c: 1", "a, d: 2", "b, c: 3", "b, d: 4"]


def test_numbers_are_written_where_asked_for_but_not_zeros() -> None:
    table = [[12.0, 0.0], [3.0, 7.0]]
    assert {"12", "3", "7"} <= set(words(heat_map(table, ["a", "b"], ["c", "d"], spec=".0f")))
    assert "0" not in words(heat_map(table, ["a", "b"], ["c", "d"], spec=".0f"))
    assert "12" not in words(heat_map(table, ["a", "b"], ["c", "d"]))
    assert max(shades(heat_map(table, ["a", "b"], ["c", "d"], spec=".0f"))) == SHADE_UNDER_NUMBERS


def test_what_it_says_is_read_out() -> None:
    drawn = heat_map([[1, 2], [4, 3]], ["a", "b"], ["c", "d"], "true", "named", spec="d")
    label = ElementTree.fromstring(drawn).get("aria-label")
    assert label == "Heat map of true by named. The largest of each row: a: d 2; b: c 4."


def test_names_have_room_and_very_long_ones_are_cut() -> None:
    def left(name: str) -> float:
        style = heat_map([[1.0]], [name], ["c"], "", "")
        return float(re.findall(r"--left:(\d+)px", style)[0])

    assert left("a" * 4) < left("a" * 12) < left("a" * 13 + "b") == left("a" * 99)
    drawn = heat_map([[1.0, 1.0]], ["row"], ["x" * 20, "y"])
    assert f"--most:{2 * CELL_WIDTH}px" in drawn
    assert "x" * 13 + "…" in words(drawn)
    assert f"row, {'x' * 20}: 1" in drawn


@pytest.mark.parametrize("values", [[[math.nan, 1.0]], [[0.0, 0.0]], [[-1.0, math.inf]]])
def test_a_map_of_odd_numbers_is_drawn(values: list[list[float]]) -> None:
    assert all(0 <= shade <= 1 for shade in shades(heat_map(values, ["a"], ["c", "d"])))
    assert heat_map([], [], [])


def test_a_table_that_does_not_fit_its_names_is_refused() -> None:
    with pytest.raises(ValueError, match="values must be 1 rows of 2, one a name"):
        heat_map([[1.0]], ["a"], ["c", "d"])
