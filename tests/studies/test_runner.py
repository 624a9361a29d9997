"""The grid: what is finished is kept, what changed is computed anew, and processes do not show."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from minift.studies.cv import frozen
from minift.studies.nlp import multi_task
from minift.studies.runner import LIBRARY, CellError, code_digest, code_files, forget, measure
from minift.studies.study import Study

ALL = ["trunk 0", "trunk 1", "old 0", "new 0", "old 1", "new 1"]


class Toy:
    """The toy study in a folder, which of its runs ran, and what is to happen in them."""

    def __init__(self, toy: ModuleType, folder: Path) -> None:
        self.module, self.out = toy, folder / "runs"
        self.notes, self.broken = folder / "notes", folder / "broken"

    def study(self, gain: float = 3.0) -> Study:
        return self.module.study(self.module.Settings(str(self.notes), gain))

    def measure(self, num_seeds: int = 2, workers: int = 1, gain: float = 3.0) -> dict[str, Any]:
        seeds = range(num_seeds)
        return measure(self.study(gain), self.out, seeds=seeds, workers=workers, progress=False)

    def forget(self, num_seeds: int = 2) -> None:
        forget(self.study(), self.out, is_quick=False, seeds=range(num_seeds))

    def kept(self) -> list[Path]:
        return sorted(self.out.glob("toy/cells/*"))

    def ran(self) -> list[str]:
        """What ran since this was last asked."""
        noted = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return noted


@pytest.fixture
def small(toy: ModuleType, tmp_path: Path) -> Toy:
    return Toy(toy, tmp_path)


def rows(measured: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for cell in measured["cells"] for row in cell["rows"]]


def test_every_cell_is_run_once_with_every_seed(small: Toy) -> None:
    measured = small.measure()

    assert small.ran() == ALL
    assert [(row["method"], row["seed"]) for row in rows(measured)] == [
        ("old", 0), ("new", 0), ("old", 1), ("new", 1),
    ]  # fmt: skip
    assert [each["about"]["seed"] for each in measured["ingredients"]] == [0, 1]
    assert measured["settings"]["gain"] == 3.0
    assert measured["versions"]["torch"] == torch.__version__


def test_finished_cells_are_not_run_again(small: Toy) -> None:
    first = small.measure()
    small.ran()

    again = small.measure()

    assert small.ran() == []
    assert again["cells"] == first["cells"]
    assert (first["num_kept"], again["num_kept"]) == (0, 4)


def test_more_seeds_only_add_to_what_is_there(small: Toy) -> None:
    small.measure(num_seeds=1)
    small.ran()
    small.measure(num_seeds=2)
    assert small.ran() == ["trunk 1", "old 1", "new 1"]


def test_a_study_that_was_stopped_goes_on_where_it_was(small: Toy) -> None:
    whole = small.measure()
    small.forget()
    small.ran()

    small.broken.write_text("old 1: key")
    with pytest.raises(KeyboardInterrupt):
        small.measure()
    assert small.ran() == ALL[:5]
    small.broken.unlink()

    assert rows(small.measure()) == rows(whole)
    assert small.ran() == ALL[4:]


def test_a_changed_setting_is_not_answered_with_an_old_number(small: Toy) -> None:
    before = rows(small.measure(gain=3.0))
    small.ran()
    after = rows(small.measure(gain=4.0))
    assert small.ran() == ALL[2:]  # the trunks do not depend on it
    assert after[1]["score"] == pytest.approx(before[1]["score"] + 1)


def test_forgotten_cells_are_run_again_with_their_ingredients(small: Toy) -> None:
    small.measure()
    small.ran()
    small.forget(num_seeds=1)
    small.measure()
    assert small.ran() == ["trunk 0", "old 0", "new 0"]


def test_a_failing_cell_is_named_and_the_rest_given_up(small: Toy) -> None:
    small.broken.write_text("new 0: error")
    with pytest.raises(CellError, match="toy method=new seed=0 failed: ZeroDivisionError: nothing"):
        small.measure()
    assert small.ran() == ALL[:4]
    assert [json.loads(path.read_text())["about"]["method"] for path in small.kept()] == ["old"]


def test_a_figure_that_is_no_number_is_refused(small: Toy) -> None:
    with pytest.raises(CellError, match="toy method=old seed=0 failed: ValueError"):
        small.measure(gain=math.inf)


def test_the_callers_random_numbers_and_threads_are_left_alone(small: Toy) -> None:
    num_threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    small.measure()
    assert torch.equal(torch.rand(()), expected)
    assert torch.get_num_threads() == num_threads


def test_several_processes_find_the_same_numbers(small: Toy) -> None:
    alone = small.measure()
    small.forget()
    small.ran()

    together = small.measure(workers=2)

    assert rows(together) == rows(alone)
    assert sorted(small.ran()) == sorted(ALL)


def test_a_failing_process_ends_the_others_at_once(small: Toy) -> None:
    small.broken.write_text("old 0: wait\nnew 0: error")
    with pytest.raises(CellError, match="toy method=new seed=0 failed: ZeroDivisionError: nothing"):
        small.measure(num_seeds=1, workers=2)  # or else in ten minutes
    assert small.kept() == []


def test_code_that_computes_no_figure_does_not_count() -> None:
    names = {str(path.relative_to(LIBRARY)) for path in code_files(frozen.run)}
    assert {"studies/cv/frozen.py", "studies/cv/pretrained.py", "optim/adam.py"} <= names
    studies = {name for name in names if "studies" in name}
    assert not any("nlp" in name for name in studies)
    assert {name for name in studies if name.count("/") == 1} == {"studies/runner.py"}


def test_what_a_helper_uses_counts_too() -> None:
    names = {str(path.relative_to(LIBRARY)) for path in code_files(multi_task.run)}
    assert "studies/nlp/self_supervised.py" in names
    assert "studies/nlp/pretrained.py" in names  # of which multi-task itself knows nothing


def test_a_changed_file_changes_the_digest(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = code_digest.__wrapped__  # the cache is for code that does not change
    before = digest(toy.run)
    changed = tmp_path / "toy_study.py"
    changed.write_text(Path(str(toy.__file__)).read_text() + "\n")
    monkeypatch.setattr(toy, "__file__", str(changed))
    assert digest(toy.run) != before
