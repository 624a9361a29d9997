"""The table of rows: what is picked, averaged and paired."""

from __future__ import annotations

import pytest

from minift.studies.results import Results

TABLE = Results(
    [
        {"seed": seed, "method": method, "size": size, "score": score + seed / 10 + size / 1000}
        for seed in (1, 0)
        for method, score in (("old", 0.1), ("new", 0.3))
        for size in (100, 10)
    ]
)


def test_levels_come_in_the_order_of_the_rows() -> None:
    assert TABLE.levels("method") == ["old", "new"]
    assert TABLE.levels("size") == [100, 10]


def test_what_is_not_named_is_averaged_within_a_seed() -> None:
    assert TABLE.by_seed("score", method="old") == pytest.approx({0: 0.155, 1: 0.255})
    assert TABLE.summary("score", method="old").num_seeds == 2


def test_differences_are_taken_seed_by_seed() -> None:
    gain = TABLE.difference("score", {"method": "new"}, {"method": "old"})
    assert gain.mean == pytest.approx(0.2)
    assert gain.sd == pytest.approx(0)  # although the seeds differ
    assert TABLE.summary("score", method="new").sd > 0.05


def test_ratios_are_taken_seed_by_seed() -> None:
    rows = [{"seed": s, "way": w, "t": t} for s, w, t in [(0, "a", 2), (0, "b", 1), (1, "a", 9),
                                                          (1, "b", 3)]]  # fmt: skip
    assert Results(rows).ratio("t", {"way": "a"}, {"way": "b"}).mean == 2.5


def test_unequal_seeds_cannot_be_compared() -> None:
    rows = [row for row in TABLE.rows if (row["seed"], row["method"]) != (1, "new")]
    with pytest.raises(ValueError, match=r"score must have the same seeds .*\[0\] and \[0, 1\]"):
        Results(rows).difference("score", {"method": "new"}, {"method": "old"})


def test_factors_that_no_row_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"factors must be those of a row, got .*'newest'"):
        TABLE.summary("score", method="newest")


def test_rows_without_the_figure_do_not_count() -> None:
    rows = [{"seed": 0, "task": "a", "score": 0.5}, {"seed": 0, "task": "b", "seconds": 3.0}]
    assert Results(rows).by_seed("score") == {0: 0.5}


def test_charts_get_means_and_deviations() -> None:
    bars = TABLE.bars("score", by="method", size=10)
    assert bars["values"] == pytest.approx({"old": 0.16, "new": 0.36})
    assert bars["spread"]["old"] == pytest.approx(0.0707, abs=1e-3)
    lines = TABLE.lines("score", x="size", by="method")
    assert [x for x, _ in lines["series"]["old"]] == [10, 100]  # ascending, as charts want it
    assert [y for _, y in lines["series"]["old"]] == pytest.approx([0.16, 0.25])
    assert lines["spread"]["new"] == pytest.approx([0.0707, 0.0707], abs=1e-3)
