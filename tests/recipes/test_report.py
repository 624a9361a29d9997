"""The page is well formed, escaped, self-contained and says what it was given."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from minift.recipes.pictures import encode_png
from minift.recipes.report import MARKS, STYLE, Report, format_table, log_ticks, round_ticks

NASTY = "<script>alert(1)</script> & \"quotes' <b>"
COLUMNS = ["method", "accuracy", "loss"]
ROWS = [
    ["scratch", "9.8% ± 0.4", "2.31"],
    ["frozen", "71.0% ± 1.2", "0.92"],
    ["tuned", "38.5% ± 3.0", "—"],
]
SERIES = {"tuned": [(1.0, 0.2), (2.0, 0.6)], "frozen": [(1.0, 0.5), (2.0, 0.4)]}


def full_report(word: str = "plain") -> Report:
    report = Report(word, word)
    for _ in range(3):
        report.section(word, f"{word}\n\n{word}")
    report.table([word, "accuracy"], [[word, "9.8%"]], word, best={"accuracy": max})
    named = {word: [(1.0, 2.0), (3.0, 4.0)]}
    report.lines(named, word, word, word, baseline={word: 1.0}, spread={word: [0.1, 0.2]})
    report.bars({word: 0.5}, word, spread={word: 0.1}, chance=0.1)
    report.pictures(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), [word], caption=word)
    report.text_block([word, f"  {word}"], word)
    return report


class Balance(HTMLParser):
    """Collects the tags and texts of a page and checks that what opens also closes, in order."""

    VOID = ("meta", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def with_tag(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def charts(report: Report) -> list[ElementTree.Element]:
    """Every chart of the page, read as XML, which is stricter than HTML."""
    found = re.findall(r"<figure>.*?</figure>", report.html(), flags=re.DOTALL)
    figures = [ElementTree.fromstring(figure) for figure in found if 'role="img"' in figure]
    return [next(svg for svg in f.iter("svg") if svg.get("role") == "img") for f in figures]


def words(chart: ElementTree.Element, kind: str) -> list[str]:
    return [t.text or "" for t in chart.iter("text") if kind in (t.get("class") or "").split()]


def test_page_is_well_formed_and_all_words_are_escaped() -> None:
    page = Balance(full_report(NASTY).html())
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "b"}
    assert page.texts.count(NASTY) >= 15  # each part says it, and says it whole
    assert page.with_tag("img")[0]["alt"] == NASTY


def test_page_asks_the_network_for_nothing() -> None:
    page = full_report().html()
    assert not re.search(r"https?:|@import|url\(|<script|<link|<iframe", page)
    assert "default-src 'none'" in page


def test_same_calls_give_same_bytes() -> None:
    assert full_report().html() == full_report().html()


def test_parts_stand_in_the_order_of_the_calls() -> None:
    report = Report("title")
    report.text_block(["first"])
    report.section("second")
    report.table(["third"], [["x"]])
    page = report.html()
    assert page.index("first") < page.index("second") < page.index("third")


def test_links_lead_to_the_sections() -> None:
    page = Balance(full_report().html())
    targets = [f"#{attrs['id']}" for attrs in page.with_tag("h2")]
    assert [attrs["href"] for attrs in page.with_tag("a")] == targets


def test_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    report = full_report("naïve ±")
    path = tmp_path / "runs" / "report.html"
    report.write(path)
    report.write(path)
    assert path.read_text(encoding="utf-8") == report.html()
    assert list(path.parent.iterdir()) == [path]


def test_table_marks_headers_numbers_and_the_best_cells() -> None:
    report = Report("title")
    report.table(COLUMNS, ROWS, best={"accuracy": max, "loss": min})
    html = report.html()
    page = Balance(html)
    assert [attrs["scope"] for attrs in page.with_tag("th")] == ["col"] * 3 + ["row"] * 3
    assert all(attrs["class"] == "number" for attrs in page.with_tag("td"))
    assert re.findall("<strong>(.*?)</strong>", html) == ["71.0% ± 1.2", "0.92"]


def test_table_refuses_ragged_rows_and_unknown_columns() -> None:
    report = Report("title")
    with pytest.raises(ValueError, match="rows must have 2 cells, one a column, got 1 in row 1"):
        report.table(["a", "b"], [["1", "2"], ["3"]])
    with pytest.raises(ValueError, match=r"best must name columns out of .*, got 'c'"):
        report.table(["a", "b"], [["1", "2"]], best={"c": max})


def test_line_chart_puts_points_where_they_belong() -> None:
    report = Report("title")
    report.lines({"loss": [(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)]}, "step", "loss")
    (chart,) = charts(report)
    (polyline,) = chart.iter("polyline")
    assert polyline.get("points") == "0.00,260.0 50.00,130.0 100.00,0.0"


def test_log_axis_gives_equal_room_to_equal_factors() -> None:
    report = Report("title")
    report.lines({"a": [(10, 0.0), (100, 0.5), (1000, 1.0)]}, "labels", "accuracy", log_x=True)
    (polyline,) = charts(report)[0].iter("polyline")
    across = [point.split(",")[0] for point in (polyline.get("points") or "").split()]
    assert across == ["0.00", "50.00", "100.00"]
    with pytest.raises(ValueError, match="log_x must be False"):
        report.lines({"a": [(0, 1.0)]}, "labels", "accuracy", log_x=True)


def test_legend_lists_lines_from_top_to_bottom_as_they_end() -> None:
    report = Report("title")
    report.lines({"low": [(0, 9), (1, 1)], "high": [(0, 0), (1, 3)], "none": []}, "x", "y")
    assert re.findall(r"<li>.*?</svg>(\w+)</li>", report.html()) == ["high", "low"]
    assert "high ends at 3; low ends at 1" in (charts(report)[0].get("aria-label") or "")


def test_each_line_of_six_has_its_own_colour_and_mark() -> None:
    report = Report("title")
    report.lines({f"line {k}": [(0, k), (1, k)] for k in range(6)}, "x", "y")
    groups = list(charts(report)[0].iter("g"))
    assert len({group.get("style") for group in groups}) == 6
    assert len({next(group.iter("path")).get("d") for group in groups}) == 6


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb, as the accessibility guidelines define it."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    shares = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_the_page(theme: int) -> None:
    block = re.findall(r":root {(.*?)}", STYLE, flags=re.DOTALL)[theme]
    colours = {name: luminance(c) for name, c in re.findall(r"--([\w-]+): #(\w+);", block)}
    page = colours["page"]
    for name, colour in colours.items():
        dark, light = sorted([page, colour])
        contrast = (light + 0.05) / (dark + 0.05)
        if name.startswith("series"):
            assert contrast >= 3, name  # the guidelines' bound for lines
        elif name in ("ink", "quiet", "accent"):
            assert contrast >= 4.5, name  # and the one for text
    assert sum(name.startswith("series") for name in colours) == len(MARKS)


@pytest.mark.parametrize("count", [1, 7, 10, 11, 995])
def test_long_lines_have_few_marks_and_one_at_their_end(count: int) -> None:
    report = Report("title")
    report.lines({"a": [(float(k), float(k)) for k in range(count)]}, "x", "y")
    (group,) = charts(report)[0].iter("g")
    hints = [title.text for title in group.iter("title")]
    assert min(count, 5) <= len(hints) <= 10
    assert f"a: {count - 1:g}, {count - 1:.4g}" in hints


def test_baseline_is_drawn_named_and_inside_the_chart() -> None:
    report = Report("title")
    report.lines({"a": [(0, 0.6), (1, 0.8)]}, "x", "y", baseline={"chance": 0.1})
    (chart,) = charts(report)
    (level,) = [line for line in chart.iter("line") if line.get("class") == "dashed"]
    assert 0 <= float(level.get("y1") or "nan") <= 260
    assert words(chart, "halo") == ["chance"]


def test_error_bars_span_the_spread_and_a_missing_deviation_costs_no_point() -> None:
    report = Report("title")
    spread = {"a": [0.5, math.nan]}
    report.lines({"a": [(0.0, 0.5), (1.0, 0.5)]}, "x", "y", spread=spread)
    (group,) = charts(report)[0].iter("g")
    (bar,) = group.iter("line")
    assert {bar.get("y1"), bar.get("y2")} == {"0.0", "260.0"}
    assert len(list(group.iter("title"))) == 2
    with pytest.raises(ValueError, match=r"spread\['a'\] must have 2 values"):
        report.lines({"a": [(0, 1), (1, 1)]}, "x", "y", spread={"a": [0.1]})


@pytest.mark.parametrize(
    "points",
    [[], [(1.0, math.nan)], [(1.0, 2.0), (2.0, math.inf)], [(5.0, 0.0)], [(3.0, 1e30)]],
)
@pytest.mark.parametrize("log_x", [False, True])
def test_line_chart_survives_a_run_that_went_wrong(
    points: list[tuple[float, float]], log_x: bool
) -> None:
    report = Report("title")
    report.lines({"a": points}, "x", "y", log_x=log_x)
    svg = ElementTree.tostring(charts(report)[0], encoding="unicode")
    assert not re.search(r"\b(nan|inf)\b", svg)


def test_bars_are_as_long_as_their_values() -> None:
    report = Report("title")
    report.bars({"a": 0.25, "b": 0.5}, limit=1.0, chance=0.1)
    (chart,) = charts(report)
    assert [bar.get("width") for bar in chart.iter("rect")] == ["25.00%", "50.00%"]
    assert words(chart, "halo") == ["25.0%", "50.0%"]
    assert words(chart, "tick") == ["chance 10.0%"]


def test_negative_bars_run_left_from_zero() -> None:
    report = Report("title")
    report.bars({"gain": 0.3, "harm": -0.1})
    gain, harm = charts(report)[0].iter("rect")
    assert (harm.get("x"), harm.get("width")) == ("0.00%", "25.00%")
    assert (gain.get("x"), gain.get("width")) == ("25.00%", "75.00%")


@pytest.mark.parametrize("values", [{}, {"a": 0.0}, {"a": math.nan}, {"a": 2.0}])
def test_bars_stay_on_the_page(values: dict[str, float]) -> None:
    report = Report("title")
    report.bars(values, limit=1.0, spread={"a": math.nan})
    for bar in charts(report)[0].iter("rect"):
        start, width = (float((bar.get(key) or "").rstrip("%")) for key in ("x", "width"))
        assert 0 <= start <= start + width <= 100


def test_pictures_are_png_data_of_whole_size() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    report = Report("title")
    report.pictures(images, ["one", "two"], scale=3)
    found = Balance(report.html()).with_tag("img")
    assert [(attrs["width"], attrs["height"]) for attrs in found] == [("15", "12")] * 2
    data = (found[1]["src"] or "").removeprefix("data:image/png;base64,")
    assert base64.b64decode(data) == encode_png(images[1])
    with pytest.raises(ValueError, match="captions must be 2, one a picture, got 1"):
        report.pictures(images, ["one"])


def test_text_block_keeps_lines_and_leading_spaces() -> None:
    report = Report("title")
    report.text_block(["  a < b", "", "c"])
    page = report.html()
    block = page[page.index("<pre>") : page.index("</pre>")]
    assert "".join(Balance(block + "</pre>").texts) == "  a < b\n\nc"


def test_figures_have_captions_and_charts_have_names() -> None:
    page = Balance(full_report("seen").html())
    tags = [tag for tag, _ in page.tags]
    assert tags.count("figcaption") == tags.count("figure") == 6  # five parts and one tile
    named = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(named) == 2
    assert all("seen" in (attrs["aria-label"] or "") for attrs in named)


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


def test_ticks_print_without_rounding_dust() -> None:
    assert round_ticks(0.0, 0.6, count=6) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_log_ticks_thin_out_as_the_range_grows() -> None:
    assert log_ticks(100, 4000) == [100, 200, 500, 1000, 2000]
    assert log_ticks(1, 1e5) == [1, 10, 100, 1000, 1e4, 1e5]
    assert all(tick == round(tick, -1) for tick in log_ticks(310, 420))


def test_tick_labels_share_their_decimals() -> None:
    report = Report("title")
    report.lines({"a": [(0, 0.0), (2000, 1.0)]}, "step", "y")
    (chart,) = charts(report)
    assert words(chart, "end") == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert words(chart, "tick")[-1] == "2,000"


def test_text_table_aligns_words_left_and_numbers_right() -> None:
    assert format_table(COLUMNS, ROWS).splitlines() == [
        "method      accuracy  loss",
        "-------  -----------  ----",
        "scratch   9.8% ± 0.4  2.31",
        "frozen   71.0% ± 1.2  0.92",
        "tuned    38.5% ± 3.0     —",
    ]


@pytest.mark.parametrize(
    ("cell", "is_number"),
    [
        ("1,290", True), ("-0.5", True), ("\N{MINUS SIGN}0.5", True), ("3e-05", True),
        (".87", True), ("14 s", True), ("12/20", True), ("0.87 (3)", True),
        ("shapes", False), ("3 epochs, frozen", False), ("-", False),
    ],
)  # fmt: skip
def test_numbers_are_told_from_words(cell: str, is_number: bool) -> None:
    last = format_table(["a", "a wide column"], [["x", cell]]).splitlines()[-1]
    assert last == ("x  " + cell.rjust(13) if is_number else f"x  {cell}")


@pytest.mark.parametrize(("choose", "winner"), [(max, "1,200 s"), (min, "\N{MINUS SIGN}3 s")])
def test_best_compares_worth_and_not_spelling(choose: Callable[..., float], winner: str) -> None:
    report = Report("title")
    report.table(["n", "time"], [["a", "1,200 s"], ["b", "900 s"], ["c", "\N{MINUS SIGN}3 s"]],
                 best={"time": choose})  # fmt: skip
    assert re.findall("<strong>(.*?)</strong>", report.html()) == [winner]
