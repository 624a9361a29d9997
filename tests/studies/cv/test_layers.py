"""The study `layers` in small, and its rule on planted numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minift.recipes.report import Report
from minift.stages import Model
from minift.studies.cv.layers import (
    ANB,
    ANB_TUNED,
    BASE,
    BNB,
    BNB_TUNED,
    FAR,
    NEAR,
    NETWORKS,
    STUDY,
    TARGETS,
    Settings,
    needs,
    run,
    starting_model,
)
from minift.studies.cv.pretrained import Source
from minift.studies.results import Results
from minift.studies.study import Cell
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

SETTINGS = Settings(
    Source("resnet8", num_pictures=32, image_size=8, epochs=1, batch_size=16), cuts=(1, 3)
)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Cell], Path]:
    """The network that a cell starts from, made once."""
    made: dict[str, Path] = {}

    def folder_of(cell: Cell) -> Path:
        source = needs(SETTINGS, cell)
        domain = source.arguments["domain"]
        if domain not in made:
            made[domain] = tmp_path_factory.mktemp(domain)
            torch.manual_seed(0)
            source.make(made[domain], **source.arguments)
        return made[domain]

    return folder_of


def cell_of(network: str, cut: int) -> Cell:
    return {"target": NEAR, "network": network, "cut": cut, "seed": 0}


def same_stages(model: Model, other: Model) -> list[bool]:
    """For each stage, bottom first, whether the two have the same weights."""
    pairs = zip(model.trunk.stages.values(), other.trunk.stages.values())
    return [
        all(torch.equal(a, b) for a, b in zip(x.state_dict().values(), y.state_dict().values()))
        for x, y in pairs
    ]


def test_networks_start_from_the_task_they_are_named_by() -> None:
    domains = {
        network: needs(SETTINGS, cell_of(network, 1)).arguments["domain"]
        for network in (BASE, *NETWORKS)
    }
    assert domains == {
        BASE: NEAR, BNB: NEAR, BNB_TUNED: NEAR, ANB: "source", ANB_TUNED: "source"
    }  # fmt: skip


def test_stages_are_copied_up_to_the_cut_and_frozen_without_a_plus(
    folder_of: Callable[[Cell], Path],
) -> None:
    whole = starting_model(cell_of(ANB, 4), folder_of(cell_of(ANB, 4)))
    for network, num_frozen in ((ANB, 3), (ANB_TUNED, 0)):
        model = starting_model(cell_of(network, 3), folder_of(cell_of(network, 3)))
        assert same_stages(model, whole) == [True, True, True, False]
        assert model.trunk.num_frozen == num_frozen


def test_the_base_is_the_network_of_b_as_it_is(
    folder_of: Callable[[Cell], Path], tmp_path: Path
) -> None:
    cell = cell_of(BASE, 0)
    source = needs(SETTINGS, cell)
    row = run(SETTINGS, cell, folder_of(cell))
    torch.manual_seed(0)
    assert row == source.make(tmp_path, **source.arguments)


def test_every_network_runs_and_has_every_figure(folder_of: Callable[[Cell], Path]) -> None:
    names = {name for figure in STUDY.figures for name in (figure.name, *figure.levels)}
    cells = [{**cell, "seed": 0} for cell in STUDY.cells(SETTINGS) if cell["cut"] in (0, 3)]
    assert len(cells) == 2 * (1 + len(NETWORKS))
    assert all(run(SETTINGS, cell, folder_of(cell)).keys() == names for cell in cells)


def planted(fall: dict[str, float], tuned: float) -> Results:
    """AnB loses `fall` at the highest cut, a tenth of it at the lowest; AnB+ gains `tuned`."""
    changes = {
        target: {BNB: (0.0, 0.0), ANB: (-fall[target] / 10, -fall[target]),
                 BNB_TUNED: (0.0, -0.01), ANB_TUNED: (tuned, tuned)}
        for target in TARGETS
    }  # fmt: skip
    rows = []
    for seed in range(3):
        for target in TARGETS:
            level = 0.7 + seed / 100
            base = {"seed": seed, "target": target, "chance": 0.1}
            rows.append({**base, "network": BASE, "cut": 0, "accuracy": level})
            rows += [
                {**base, "network": network, "cut": cut, "accuracy": level + change}
                for network, pair in changes[target].items() for cut, change in zip((1, 4), pair)
            ]  # fmt: skip
    return Results(rows)


@pytest.mark.parametrize(
    ("fall", "tuned", "verdict"),
    [
        ({NEAR: 0.1, FAR: 0.3}, 0.05, SHOWN),
        ({NEAR: 0.3, FAR: 0.1}, 0.05, NOT_SHOWN),
        ({NEAR: 0.1, FAR: 0.3}, -0.05, NOT_SHOWN),
    ],
)
def test_the_rule_on_planted_numbers(fall: dict[str, float], tuned: float, verdict: str) -> None:
    assert verdict_of(STUDY.judge(planted(fall, tuned))) == verdict


def test_the_rule_tells_what_is_reversed() -> None:
    outcomes = [f.outcome for f in STUDY.judge(planted({NEAR: -0.1, FAR: -0.3}, -0.05))]
    assert outcomes == [SHOWN] + [REVERSED] * 4  # what gains at the lowest cut costs nothing there


def test_a_loss_that_bnb_has_too_is_none_of_a() -> None:
    rows = [
        {**row, "accuracy": row["accuracy"] - 0.2} if row["cut"] == 4 else row
        for row in planted({NEAR: 0.1, FAR: 0.3}, 0.05).rows
    ]
    findings = {finding.what: finding.estimate.mean for finding in STUDY.judge(Results(rows))}
    fall = findings["near, AnB minus BnB: the highest cut, minus the lowest"]
    assert fall == pytest.approx(-0.09)


def test_each_target_has_a_picture_with_a_line_for_each_network() -> None:
    report = Report("layers")
    assert STUDY.draw is not None
    STUDY.draw(report, planted({NEAR: 0.1, FAR: 0.3}, 0.05))
    page = report.html()
    assert page.count("<polyline") == len(TARGETS) * len(NETWORKS)
