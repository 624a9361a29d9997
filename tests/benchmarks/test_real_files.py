"""The figures on real files: commands that the scripts know, what they print, and going on."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scripts import load_script

import minift
from minift.models.bert import BertConfig
from minift.models.registry import CONFIGS, PRESETS
from minift.recipes.cli import config_overrides
from minift.recipes.finetuning import Finetuned
from minift.training.files import write_text

ROOT = Path(__file__).parents[2]
SMALL = BertConfig(hidden_size=8, num_layers=4, num_heads=2, intermediate_size=8, pad_id=0)
PRINTED = "25.0% of the weights were trained\naccuracy {}\n7 seconds; saved in x\n"


@pytest.fixture
def real_files(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # the benchmarks are not part of the package
    return importlib.import_module("benchmarks.real_files")


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    return {name: load_script(name) for name in ("train_cv.py", "train_nlp.py")}


@pytest.fixture
def runs(real_files):
    """Those of all groups."""
    sst2 = real_files.public_bert("sentiment", "sst2", "--num-train 1000", SMALL, "sha256")
    mrpc = real_files.public_bert("paraphrases", "mrpc", "--epochs 3", SMALL, "sha256")
    return [*real_files.digits(), *real_files.reviews(), *mrpc, *sst2]


def test_the_scripts_know_every_command(real_files, scripts, runs):
    made = {None, "BERT"}
    for run in runs:
        for command in run.commands if run.seed == 0 and run.group != "sentiment" else []:
            # In short: its own flags stand behind all of the others.
            python, script, *words = real_files.shortened(command).split()
            args = scripts[script].parse(words)

            assert python == "python"
            assert getattr(args, "source", None) in made
            assert getattr(args, "tokenizer_from", None) in made
            if args.command != "evaluate":
                assert (str(args.out), args.seed) == (run.folder, 0)
            made.add(run.folder)


def test_no_two_runs_write_to_one_folder(runs):
    assert len({run.folder for run in runs}) == len(runs)


def test_frozen_trunks_are_frozen_to_the_top(runs):
    trunks = {
        "digits": minift.create_model("resnet20", num_classes=10).trunk,
        "reviews": minift.create_model("word2vec", num_classes=2).trunk,
        "sentiment": minift.create_model("bert-base", num_classes=2, **vars(SMALL)).trunk,
    }
    for group, trunk in trunks.items():
        commands = " ".join(run.commands[0] for run in runs if run.group == group)
        assert max(map(int, re.findall(r"--num-frozen (\d+)", commands))) == len(trunk)


def test_the_control_of_a_public_bert_has_its_sizes(runs, scripts):
    (command,) = next(run.commands for run in runs if run[:2] == ("sentiment", "scratch"))
    args = scripts["train_nlp.py"].parse(command.split()[2:])
    overrides = config_overrides(args.config, CONFIGS["bert"])
    assert replace(PRESETS[args.model][1], **overrides) == SMALL


def test_what_a_script_prints_is_read(real_files, scripts, monkeypatch, tmp_path, capsys):
    script = scripts["train_cv.py"]
    monkeypatch.setattr(script, "finetune", lambda *_, **__: Finetuned(None, 0.2406, 1264.2))
    monkeypatch.setattr(script, "score", lambda *_: {"accuracy": 0.75, "matthews": -0.5})
    images, labels = np.zeros((10, 8, 8), np.uint8), np.array([0, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    np.savez(tmp_path / "ones.npz", images=images, labels=labels)
    model = ["--model", "resnet8", "--config", "width=8"]

    script.main(["finetune", "--data", f"{tmp_path / 'ones.npz'}", "--out", f"{tmp_path}", *model])

    figures = real_files.figures_of(capsys.readouterr().out)
    majority = figures.pop("majority")
    assert figures == {"accuracy": 0.75, "matthews": -0.5, "trained": 0.241, "seconds": 1264}
    assert majority in (0.5, 1.0)  # of two pictures


def test_scores_of_pretraining_are_read(real_files, scripts, capsys):
    scores = {"mlm_accuracy": 0.399, "nsp_accuracy": 0.785}
    scripts["train_nlp.py"].print_scores(scores, {"mlm_accuracy": 0.05}, 7.0, Path("x"))
    print("F/sst2/train.tsv: 12 of 6920 rows were cut to 128 tokens")
    expected = {**scores, "mlm_majority": 0.05, "seconds": 7.0}
    assert real_files.figures_of(capsys.readouterr().out) == expected


@pytest.fixture
def weights() -> list[str]:
    return ["same"]


@pytest.fixture
def done(real_files, monkeypatch, tmp_path, weights):
    """main in a folder, with runs that only say what they are asked; returns those it did.

    `weights` are those of the checkpoints that are made.
    """

    def done(*flags: str) -> list[str]:
        asked = []

        def execute(run, places, started):
            asked.append(run.folder)
            write_text(real_files.filled(f"{run.folder}/config.json", places), weights[0])
            return PRINTED.format(f"{run.seed / 10:.4f}")

        monkeypatch.setattr(real_files, "execute", execute)
        folders = ["--data-dir", f"{tmp_path}", "--out", f"{tmp_path}", "--work", f"{tmp_path}"]
        real_files.main([*folders, *flags])
        return asked

    return done


def kept(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_what_is_kept_is_not_done_again(done, tmp_path):
    first = done("--only", "digits")
    assert done("--only", "digits") == []
    assert len(done("--only", "reviews")) > 0
    content = kept(tmp_path)
    content["runs"] = [run for run in content["runs"] if run["folder"] != first[-1]]
    (tmp_path / "results.json").write_text(json.dumps(content))

    assert done("--only", "digits", "reviews") == first[-1:]
    (tmp_path / first[0].removeprefix("runs/") / "config.json").unlink()
    assert done("--only", "digits") == []  # nothing starts from it any more
    assert sorted(done("--only", "digits", "--again")) == sorted(first)


@pytest.mark.parametrize("new", ["same", "other"])
def test_a_checkpoint_that_is_gone_is_made_again_for_those_that_start_from_it(
    done, tmp_path, weights, new
):
    first = done("--only", "digits")
    content = kept(tmp_path)
    content["runs"] = content["runs"][:-1]
    lost = [run for run in first if run not in {run["folder"] for run in content["runs"]}]
    (tmp_path / "results.json").write_text(json.dumps(content))
    (tmp_path / first[0].removeprefix("runs/") / "config.json").unlink()
    weights[0] = new
    again = done("--only", "digits")
    started = [run for run in first if "fine-tuned" in run or "frozen" in run]
    assert again[0] == first[0]
    assert sorted(again[1:]) == sorted(lost if new == "same" else {*started, *lost})


def test_other_commands_are_other_runs(done):
    assert sorted(done("--only", "digits")) == sorted(done("--only", "digits", "--quick"))


def test_the_summary_has_means_over_the_seeds(done, tmp_path, capsys):
    done("--only", "digits")
    line = kept(tmp_path)["summary"][1]
    assert line == {"group": "digits", "method": "fine-tuned, 2 epochs", "seeds": 3,
                    "accuracy": pytest.approx(0.1), "trained": 0.25, "seconds": 7}  # fmt: skip
    row = next(row for row in capsys.readouterr().out.split("\n") if "fine-tuned, 2 epochs" in row)
    assert row.split()[-4:] == ["3", "10.0%", "25.0%", "7"]


def test_commands_get_paths_and_what_is_kept_has_none(real_files, monkeypatch, tmp_path):
    monkeypatch.setattr(real_files, "ROOT", tmp_path)
    (tmp_path / "train_cv.py").write_text(
        "import os, sys; print(*sys.argv[1:], os.environ['OMP_NUM_THREADS'])"
    )
    run = real_files.run_of("digits", "a", 0, "finetune --data-dir F/mnist")
    places = {"F": tmp_path / "data", "runs": tmp_path / "work"}

    assert real_files.filled("F/mnist", places) == str(tmp_path / "data" / "mnist")
    assert real_files.execute(run, places, []) == (
        "finetune --data-dir F/mnist --seed 0 --no-progress --out runs/digits-a-0 1\n"
    )


def test_a_command_that_fails_is_one_line_and_the_others_are_kept(
    real_files, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(real_files, "ROOT", tmp_path)
    (tmp_path / "train_cv.py").write_text(
        "import sys\nif '1' in sys.argv: sys.exit('usage: x\\ntrain_cv.py: error: no such file')\n"
    )
    runs = [real_files.run_of("digits", "a", seed, "finetune") for seed in range(3)]
    kept = []

    with pytest.raises(ValueError, match="1 failed"):
        real_files.measure(runs, {}, 2, lambda run, printed: kept.append(run.seed))

    assert sorted(kept) == [0, 2]
    assert capsys.readouterr().err == ("runs/digits-a-1 failed: train_cv.py: error: no such file\n")


def test_groups_that_need_a_bert_say_so(real_files):
    with pytest.raises(ValueError, match="--bert must name the folder of a BERT, for sentiment"):
        real_files.plan(["digits", "sentiment"], None, is_quick=False)
