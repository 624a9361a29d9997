"""The rows of all runs as one table, and what is asked of it.

A row is a line of plain values: {"seed": 0, "method": "frozen", "accuracy": 0.71, "chance": 0.1}.
What is compared is compared seed by seed: two methods that shared a seed shared the pretrained
trunk, the labels and the order of the rows, and what was easy for one was easy for the other.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from minift.studies.statistics import Summary, summarize

Row = dict[str, Any]


def minus(first: Mapping[int, float], second: Mapping[int, float]) -> Summary:
    """`first` minus `second`, seed by seed, of what `by_seed` or `differences` returns."""
    return summarize(list(paired("differences", operator.sub, first, second).values()))


def paired(
    what: str,
    compare: Callable[[float, float], float],
    first: Mapping[int, float],
    second: Mapping[int, float],
) -> dict[int, float]:
    """seed -> the two values compared; `what` they are, for the message.

    Raises
    ------
    ValueError : the seeds are not the same.
    """
    if first.keys() != second.keys():
        raise ValueError(
            f"{what} must have the same seeds to be compared, got {list(first)} and {list(second)}"
        )
    return {seed: compare(first[seed], second[seed]) for seed in first}


@dataclass(frozen=True)
class Results:
    """All rows of a study."""

    rows: list[Row]

    def where(self, **factors: Any) -> Results:
        """The rows that have these values.

        Raises
        ------
        ValueError : there are none.
        """
        kept = [row for row in self.rows if all(row.get(k) == v for k, v in factors.items())]
        if not kept:
            raise ValueError(f"factors must be those of a row, got {factors}")
        return Results(kept)

    def levels(self, factor: str) -> list[Any]:
        """The values that a factor takes, in the order in which they come."""
        return list(dict.fromkeys(row[factor] for row in self.rows if factor in row))

    def by_seed(self, figure: str, **factors: Any) -> dict[int, float]:
        """seed -> the figure, averaged over the rows that have it and these factors."""
        kept: dict[int, list[float]] = {}
        for row in self.where(**factors).rows:
            if figure in row:
                kept.setdefault(row["seed"], []).append(row[figure])
        return {seed: mean(kept[seed]) for seed in sorted(kept)}

    def summary(self, figure: str, **factors: Any) -> Summary:
        """The figure over the seeds, where rows have these factors."""
        return summarize(list(self.by_seed(figure, **factors).values()))

    def difference(self, figure: str, first: Row, second: Row) -> Summary:
        """The figure where rows have the factors `first`, minus that of `second`, seed by seed."""
        return summarize(list(self.differences(figure, first, second).values()))

    def differences(self, figure: str, first: Row, second: Row) -> dict[int, float]:
        """seed -> what `difference` summarizes, for differences of differences."""
        return self._paired(operator.sub, figure, first, second)

    def ratio(self, figure: str, first: Row, second: Row) -> Summary:
        """How many times as much `first` is as `second`, seed by seed."""
        return summarize(list(self._paired(operator.truediv, figure, first, second).values()))

    def _paired(
        self, compare: Callable[[float, float], float], figure: str, first: Row, second: Row
    ) -> dict[int, float]:
        return paired(
            figure, compare, self.by_seed(figure, **first), self.by_seed(figure, **second)
        )

    def bars(self, figure: str, by: str, **factors: Any) -> dict[str, Any]:
        """Means and standard deviations for `Report.bars`, a bar for each value of `by`."""
        rows = self.where(**factors)
        found = {str(level): rows.summary(figure, **{by: level}) for level in rows.levels(by)}
        return {
            "values": {name: summary.mean for name, summary in found.items()},
            "spread": {name: summary.sd for name, summary in found.items()},
        }

    def lines(self, figure: str, x: str, by: str, **factors: Any) -> dict[str, Any]:
        """Means and standard deviations for `Report.lines`: a line for each value of `by`."""
        series: dict[str, list[tuple[float, float]]] = {}
        spread: dict[str, list[float]] = {}
        for level in self.where(**factors).levels(by):
            rows = self.where(**factors, **{by: level})
            found = {at: rows.summary(figure, **{x: at}) for at in sorted(rows.levels(x))}
            series[str(level)] = [(at, summary.mean) for at, summary in found.items()]
            spread[str(level)] = [summary.sd for summary in found.values()]
        return {"series": series, "spread": spread}
