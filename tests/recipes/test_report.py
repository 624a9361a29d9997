"""The page is well formed, escaped, self-contained and says what it was given."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from minift.recipes.heat_maps import SHADE_UNDER_NUMBERS
from minift.recipes.pictures import encode_png
from minift.recipes.report import STYLE, Report, format_table
from minift.recipes.svg import MARKS

NASTY = "<script>alert(1)</script> & \"quotes' <b>"
COLUMNS = ["method", "accuracy", "loss"]
ROWS = [
    ["scratch", "9.8% ± 0.4", "2.31"],
    ["frozen", "71.0% ± 1.2", "0.92"],
    ["tuned", "38.5% ± 3.0", "—"],
]


def full_report(word: str = "plain") -> Report:
    report = Report(word, word)
    for _ in range(3):
        report.section(word, f"{word}\n\n{word}")
    report.table([word, "accuracy"], [[word, "9.8%"]], word, best={"accuracy": max})
    named = {word: [(1.0, 2.0), (3.0, 4.0)]}
    report.lines(named, word, word, word, baseline={word: 1.0}, spread={word: [0.1, 0.2]})
    report.bars({word: 0.5}, word, spread={word: 0.1}, chance=0.1)
    report.dots({word: [0.5, 0.7]}, word, word, baseline={word: 0.1})
    report.scatter({word: {word: (0.0, 1.0)}}, word, word, word)
    report.heat_map({word: [[0.5]]}, [word], [word], word, word, word)
    report.tokens({word: [word, word]}, word)
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


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_numbers_stand_out_from_the_deepest_shade_under_them(theme: int) -> None:
    block = re.findall(r":root {(.*?)}", STYLE, flags=re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w-]+): #(\w+);", block))

    def parts(name: str) -> list[int]:
        digits = colours[name] if len(colours[name]) == 6 else "".join(2 * d for d in colours[name])
        return [int(digits[k : k + 2], 16) for k in (0, 2, 4)]

    mixed = [
        round(SHADE_UNDER_NUMBERS * shade + (1 - SHADE_UNDER_NUMBERS) * below)
        for shade, below in zip(parts("series-0"), parts("panel"))
    ]
    dark, light = sorted(
        [luminance("".join(f"{part:02x}" for part in mixed)), luminance(colours["ink"])]
    )
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_tokens_are_set_apart_and_counted() -> None:
    report = Report("title")
    report.tokens({"pieces": ["un", "##known"], "words": ["[UNK]"]})
    html = report.html()
    assert re.findall("<dt>(.*?)</dt>", html) == ["pieces: 2 tokens", "words: 1 token"]
    assert re.findall('class="token">(.*?)</span>', html) == ["un", "##known", "[UNK]"]


def test_heat_maps_side_by_side_are_named() -> None:
    report = Report("title")
    report.heat_map({"before": [[0.0]], "after": [[1.0]]}, ["true"], ["named"], limit=1.0)
    html = report.html()
    assert re.findall("<figcaption>(.*?)</figcaption>", html) == ["before", "after"]
    assert re.findall('fill-opacity="(.*?)"', html) == ["0.000", "1.000"]


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
    assert tags.count("figcaption") == tags.count("figure") == 11  # nine parts, a map and a tile
    named = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(named) == 5
    assert all("seen" in (attrs["aria-label"] or "") for attrs in named)


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
