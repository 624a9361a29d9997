"""What was made is held against what is shipped; the cheapest model is made anew."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minift.checkpoint import read_description
from minift.recipes.shipped import compare_facts, compare_files, machine, main
from minift.shipped import WEIGHTS


def verdicts(rows: list[list[str]]) -> dict[str, str]:
    return {file: verdict for file, _, verdict in rows}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder in which word2vec was made to the last byte as it is shipped."""
    shutil.copytree(WEIGHTS / "word2vec", tmp_path / "word2vec")
    return tmp_path


def test_equal_files_are_called_equal(made):
    found = verdicts(compare_files(["word2vec"], made))

    names = ("config.json", "model.pt", "tokenizer.json", "vocab.txt")
    assert found == {f"word2vec/{name}": "equal" for name in names}


def test_a_file_that_differs_lacks_or_is_new_is_told(made):
    path = made / "word2vec" / "model.pt"
    path.write_bytes(path.read_bytes()[:-1])
    (made / "word2vec" / "vocab.txt").unlink()
    (made / "word2vec" / "more.txt").touch()

    found = verdicts(compare_files(["word2vec"], made))

    assert found == {
        "word2vec/config.json": "equal",
        "word2vec/model.pt": "different",
        "word2vec/more.txt": "not shipped",
        "word2vec/tokenizer.json": "equal",
        "word2vec/vocab.txt": "not made",
    }


def test_scores_and_versions_stand_beside_the_shipped_ones(made):
    path = made / "word2vec" / "config.json"
    description = json.loads(path.read_text())
    shipped = description["lineage"]["torch"]
    description["lineage"] |= {"scores": {"analogies": 0.5}, "torch": "0.1"}
    path.write_text(json.dumps(description))

    rows = compare_facts(["word2vec"], made)

    recorded = read_description("word2vec")["lineage"]["scores"]["analogies"]
    assert ["word2vec", "analogies", "0.5000", f"{recorded:.4f}"] in rows
    assert ["word2vec", "torch", "0.1", shipped] in rows


def test_an_unknown_name_is_a_mistake(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bert-maxi"])

    assert stopped.value.code == 2
    assert "NAME must be one of resnet-tiny, word2vec" in capsys.readouterr().err


@pytest.mark.slow
def test_word2vec_is_made_again(tmp_path):
    command = [sys.executable, "-m", "minift.recipes.shipped", "word2vec", "--out", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    shipped, again = (read_description(folder / "word2vec") for folder in (WEIGHTS, tmp_path))
    before, now = (each["lineage"]["scores"]["analogies"] for each in (shipped, again))
    assert abs(now - before) <= 0.05
    is_same_machine = machine().items() <= shipped["lineage"].items()
    if is_same_machine:
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert done.returncode in (0, 1)
    assert "word2vec/model.pt" in done.stdout
