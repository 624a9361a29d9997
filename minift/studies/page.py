"""What a study leaves behind: results.json, with every number, and report.html, made from it.

The page has the claim and its source, the verdict with the rule beside it, the set-up, the
pictures, the tables, and what is needed to repeat it. Both files are written from the same values,
so that the page and the verdict can be made anew without measuring anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from minift.recipes.report import Report
from minift.studies.results import Results
from minift.studies.statistics import Summary
from minift.studies.study import Figure, Study
from minift.studies.verdict import RULE, Finding, verdict_of
from minift.training.files import write_text

FINDING_COLUMNS = ("finding", "mean", "95% interval", "claimed", "outcome")


def results_of(measured: dict[str, Any]) -> Results:
    """The rows of all cells of what `runner.measure` returned."""
    return Results([row for cell in measured["cells"] for row in cell["rows"]])


def write_results(study: Study, measured: dict[str, Any], folder: Path) -> list[Finding]:
    """Judge, write both files into the folder, and return the findings."""
    results = results_of(measured)
    findings = study.judge(results)
    content = {
        "study": study.name,
        "claim": study.claim,
        "source": study.source,
        "rule": study.rule,
        "verdict": verdict_of(findings),
        "findings": [
            {
                "what": finding.what,
                **_plain(finding.estimate),
                "claimed": finding.claimed,
                "outcome": finding.outcome,
            }
            for finding in findings
        ],
        "summary": [
            {"figure": figure.name, **factors, **_plain(summary), **levels}
            for figure in study.figures
            for factors, summary, levels in summaries(study, figure, results)
        ],
        "measured": measured,
    }
    page = make_page(study, measured, findings)  # before anything is written
    write_text(folder / "results.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    page.write(folder / "report.html")
    return findings


def read_measured(folder: Path) -> dict[str, Any]:
    """What was measured, out of results.json.

    Raises
    ------
    ValueError : there is no such file, or it is another.
    """
    path = folder / "results.json"
    if not path.exists():
        raise ValueError(f"{path} is missing: run the study first")
    try:
        return json.loads(path.read_text(encoding="utf-8"))["measured"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} must be the results of a study; delete it and run anew") from None


def summaries(
    study: Study, figure: Figure, results: Results
) -> Iterator[tuple[dict[str, Any], Summary, dict[str, float]]]:
    """For each set of factors that has the figure: the factors, the figure, and its levels."""
    for factors in combinations(results, figure, study.factors):
        levels = {name: results.summary(name, **factors).mean for name in figure.levels}
        yield factors, results.summary(figure.name, **factors), levels


def make_page(study: Study, measured: dict[str, Any], findings: Sequence[Finding]) -> Report:
    results = results_of(measured)
    form, num_seeds = measured["form"], len(measured["seeds"])
    report = Report(f"Study: {study.name}", f"{form} form, {num_seeds} seeds")
    report.section("The claim", f"{study.claim}\n\nSource: {study.source}")

    report.section(f"The verdict: {verdict_of(findings)} at this scale", f"{study.rule}\n\n{RULE}")
    report.table(FINDING_COLUMNS, [finding_cells(finding) for finding in findings])

    report.section("The set-up", study.setup)
    settings = [[name.replace("_", " "), value] for name, value in flat(measured["settings"])]
    report.table(["setting", "value"], settings)

    report.section("The picture", "Means over the seeds; error bars are standard deviations.")
    (study.draw or partial(draw_bars, study))(report, results)

    interval = (
        "The interval is that of the mean: between two percentiles of 10,000 bootstrap means over "
        f"the {num_seeds} seeds, the further out the fewer seeds there are."
    )
    if 1 < num_seeds < 5:  # the truth lies outside if all values fall to one side of it
        interval += (
            " Of so few it goes from the lowest value to the highest, and holds the truth about "
            f"{1 - 2 ** (1 - num_seeds):.0%} of the time, not 95%."
        )
    report.section("The numbers", interval)
    for figure in study.figures:
        levels = [name.replace("_", " ") for name in figure.levels]
        found = list(summaries(study, figure, results))
        columns = [*found[0][0], "mean", "standard deviation", "95% interval", *levels]
        rows = [
            [*factors.values(), *_cells(summary, figure.spec, with_sd=True)]
            + [format(level, figure.spec) for level in levels.values()]
            for factors, summary, levels in found
        ]
        report.table(columns, rows, caption=figure.label)

    _repeat(report, measured)
    return report


def combinations(results: Results, figure: Figure, factors: Sequence[str]) -> list[dict[str, Any]]:
    """The values of the factors that occur together where the figure was measured, in order.

    Factors that those rows do not have are left out.
    """
    rows = [row for row in results.rows if figure.name in row]
    factors = [name for name in factors if all(name in row for row in rows)]
    found = list(dict.fromkeys(tuple(row[name] for name in factors) for row in rows))
    levels = [results.levels(name) for name in factors]
    found.sort(key=lambda key: [each.index(value) for each, value in zip(levels, key)])
    return [dict(zip(factors, key)) for key in found]


def draw_bars(study: Study, report: Report, results: Results) -> None:
    """A bar for each value of the last factor; a chart for each figure and the other factors."""
    *others, last = study.factors
    for figure in study.figures:
        for factors in combinations(results, figure, others) if figure.is_drawn else ():
            chance, level = None, ""
            if figure.levels:
                level = figure.levels[-1]
                chance = results.summary(level, **factors).mean
            report.bars(
                **results.bars(figure.name, by=last, **factors),
                caption=", ".join([figure.label, *map(str, factors.values())]),
                chance=chance,
                limit=1.0 if figure.spec.endswith("%") else None,
                spec=figure.spec,
                level=level.replace("_", " "),
            )


def finding_cells(finding: Finding) -> list[str]:
    """A row of the table of findings; its short cells are not broken over lines."""
    numbers = _cells(finding.estimate, finding.spec)
    words = (finding.claimed, finding.outcome)
    return [finding.what, *numbers, *(each.replace(" ", "\N{NO-BREAK SPACE}") for each in words)]


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings one by one: {"source": {"epochs": 3}} gives ("source epochs", 3)."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name} ")
        else:
            listed = isinstance(value, list | tuple)
            yield prefix + name, ", ".join(map(str, value)) if listed else value


def _repeat(report: Report, measured: dict[str, Any]) -> None:
    seconds = [part["seconds"] for part in measured["cells"] + measured["ingredients"]]
    seeds = ", ".join(map(str, measured["seeds"]))
    report.section("To repeat it", "results.json beside this page has every number.")
    report.text_block([measured["command"]])
    for name in dict.fromkeys(each["name"] for each in measured["ingredients"]):
        _ingredients(report, name, measured["ingredients"])
    facts = {
        "seeds": seeds,
        "runs": len(measured["cells"]),
        "computing": f"{sum(seconds):.0f} seconds, one thread a run",
        "last command": f"{measured['seconds']:.0f} seconds, {measured['workers']} processes, "
        f"{measured['num_kept']} runs kept from before",
        **measured["versions"],
    }
    report.table(["fact", "value"], [[name, str(value)] for name, value in facts.items()])


def _ingredients(report: Report, name: str, ingredients: list[dict[str, Any]]) -> None:
    """A line for each ingredient of that name: the arguments that tell them apart, the figures."""
    made = [each for each in ingredients if each["name"] == name]
    arguments = [key for key in made[0]["about"] if len({str(m["about"][key]) for m in made}) > 1]
    figures = list(dict.fromkeys(figure for each in made for figure in each["result"]))
    rows = [
        [str(each["about"][key]) for key in arguments]
        + [_figure(each["result"][key]) if key in each["result"] else "" for key in figures]
        for each in made
    ]
    columns = [key.replace("_", " ") for key in arguments + figures]
    report.table(columns, rows, caption=f"What the runs started from: {name}.")


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _cells(summary: Summary, spec: str, with_sd: bool = False) -> list[str]:
    mean, sd, low, high, _ = summary
    interval = "" if math.isnan(low) else f"{low:{spec}} .. {high:{spec}}"
    spread = ["" if math.isnan(sd) else f"{sd:{spec.lstrip('+')}}"]
    return ["" if math.isnan(mean) else f"{mean:{spec}}", *(spread if with_sd else []), interval]


def _plain(summary: Summary) -> dict[str, Any]:
    """For JSON, which has no NaN."""
    values = summary._asdict()
    return {name: None if math.isnan(value) else value for name, value in values.items()}
