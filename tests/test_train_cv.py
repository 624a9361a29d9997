"""train_cv.py from end to end, in small: every command, the chain of them, and mistakes."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import load_script
from torch import Tensor

import minift
from minift.data.batches import num_examples
from minift.data.shapes import shapes
from minift.interop.resnet import save_resnet
from minift.models.bert import Bert, BertConfig
from minift.models.resnet import ResNet
from minift.recipes.finetuning import FinetuneConfig, Finetuned
from minift.recipes.sources import load_pictures

ROOT = Path(__file__).parents[1]
TINY = ["--no-progress", "--model", "resnet8", "--config", "width=8"]


train_cv = load_script("train_cv.py")


def figures(printed: str) -> dict[str, float]:
    """The scores in what a command printed: name -> value."""
    return {name: float(value) for name, value in re.findall(r"(\w+) (\d+\.\d+)\b", printed)}


def save_pictures(path: Path, number: int, seed: int) -> Path:
    """A .npz file of two kinds of pictures, dark and bright, which any network tells apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 2
    images = torch.randint(0, 100, (number, 3, 16, 16), generator=generator)
    images = (images + 150 * labels[:, None, None, None]).byte()
    np.savez(path, images=images.numpy(), labels=labels.numpy())
    return path


def save_idx(path: Path, values: Tensor) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.byte().numpy().tobytes())


def save_idx_folder(folder: Path, highest_label: int = 1) -> Path:
    """The four files of MNIST or Fashion-MNIST, in small: dark and bright pictures again."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for prefix, number in (("train", 48), ("t10k", 16)):
        labels = torch.arange(number) % 2
        images = torch.randint(0, 100, (number, 28, 28), generator=generator)
        save_idx(folder / f"{prefix}-images-idx3-ubyte", images + 150 * labels[:, None, None])
        save_idx(folder / f"{prefix}-labels-idx1-ubyte", labels * highest_label)
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a tiny network pretrained on them."""
    folder = tmp_path_factory.mktemp("cv")
    save_pictures(folder / "pictures.npz", 64, seed=0)
    pretrain(folder, folder / "pretrained", "--epochs", "4")
    return folder


def pretrain(work: Path, out: Path, *flags: str) -> None:
    train_cv.main(
        ["pretrain", "--data", str(work / "pictures.npz"), *TINY, "--batch-size", "16",
         "--out", str(out), *flags]
    )  # fmt: skip


def finetune(work: Path, out: Path, *flags: str) -> None:
    train_cv.main(
        ["finetune", "--from", str(work / "pretrained"), "--no-progress", "--out", str(out), *flags]
    )


def test_pretraining_raises_the_accuracy(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain(work, tmp_path, "--epochs", "8")
    assert figures(capsys.readouterr().out)["accuracy"] > 0.9


def test_same_seed_gives_the_same_file_and_another_seed_does_not(
    work: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        pretrain(work, tmp_path / name, "--epochs", "1", "--seed", seed)
    weights = [(tmp_path / name / "model.pt").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_a_checkpoint_says_where_it_comes_from(work: Path) -> None:
    description = json.loads((work / "pretrained" / "config.json").read_text())
    assert description["config"]["width"] == 8
    assert description["classes"] == ["0", "1"]
    assert description["lineage"]["recipe"] == "train_cv.py pretrain"


def test_finetune_then_evaluate_gives_the_same_score(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(work / "pictures.npz"))
    finetune(work, tmp_path, *data, "--epochs", "8", "--lr", "0.01")
    finetuned = figures(capsys.readouterr().out)
    train_cv.main(["evaluate", "--from", str(tmp_path), *data])
    evaluated = figures(capsys.readouterr().out)
    assert evaluated["accuracy"] == finetuned["accuracy"] > 0.9
    lineage = json.loads((tmp_path / "config.json").read_text())["lineage"]
    assert lineage["parent"] == str(work / "pretrained")


def test_beside_an_accuracy_stands_that_of_the_commonest_class(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(work / "pictures.npz")
    train_cv.main(["evaluate", "--from", str(work / "pretrained"), "--data", data])
    commonest = load_pictures(data, split="test").dataset["labels"].bincount().max() / 13
    assert re.match(
        rf"13 pictures: accuracy [\d.]+ \(majority {commonest:.4f}\), f1", capsys.readouterr().out
    )


def test_all_rows_of_a_file_can_be_judged(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--data", str(work / "pictures.npz"), "--split", "all")
    train_cv.main(["evaluate", "--from", str(work / "pretrained"), *data])
    assert capsys.readouterr().out.startswith("64 pictures")


@pytest.mark.parametrize("is_validated", [False, True])
def test_weights_are_chosen_by_training_pictures_that_were_held_out(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_validated: bool
) -> None:
    used = []

    def spy(model: object, train: dict, config: FinetuneConfig, **options: object) -> Finetuned:
        used.extend(part for part in (train, options["validation"]) if part is not None)
        return real_finetune(model, train, config, **options)

    real_finetune = train_cv.finetune
    monkeypatch.setattr(train_cv, "finetune", spy)
    data = str(work / "pictures.npz")
    flags = ("--validate-every", "1", "--patience", "1") if is_validated else ()
    finetune(work, tmp_path, "--data", data, "--epochs", "1", *flags)
    assert [num_examples(part) for part in used] == ([41, 10] if is_validated else [51])

    def pictures(part: dict) -> list[bytes]:
        return sorted(image.numpy().tobytes() for image in part["images"])

    together = {name: torch.cat([part[name] for part in used]) for name in used[0]}
    assert pictures(together) == pictures(load_pictures(data).dataset)


def test_the_seed_decides_the_test_set_of_evaluate_as_of_finetune(
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "minift.recipes.sources.shapes", lambda name, number, seed: shapes(name, 16, seed=seed)
    )
    data = ("--data", "shapes:near")
    finetune(work, tmp_path, *data, "--head", "locate", "--epochs", "1", "--seed", "1")
    scores = [figures(capsys.readouterr().out)["box_iou"]]
    for seed in ("1", "0"):
        train_cv.main(["evaluate", "--from", str(tmp_path), *data, "--seed", seed])
        scores.append(figures(capsys.readouterr().out)["box_iou"])
    assert scores[0] == scores[1] != scores[2]


def test_feature_extraction_trains_the_head_alone(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--num-train", "32", "--num-frozen", "4", "--epochs", "1")
    finetune(work, tmp_path, "--data", "shapes:near", *flags)
    share = re.search(r"([\d.]+)% of the weights", capsys.readouterr().out)
    assert share is not None
    assert 0 < float(share[1]) < 10


@pytest.mark.parametrize(("head", "figure"), [("segment", "mean_iou"), ("locate", "box_iou")])
def test_a_network_takes_on_another_kind_of_task(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str, figure: str
) -> None:
    flags = ("--num-train", "16", "--epochs", "1")
    finetune(work, tmp_path, "--data", "shapes:near", "--head", head, *flags)
    assert figure in figures(capsys.readouterr().out)
    train_cv.main(
        ["evaluate", "--from", str(tmp_path), "--data", "shapes:near", "--num-test", "16"]
    )
    assert figure in figures(capsys.readouterr().out)


def test_a_file_of_weights_serves_as_a_checkpoint(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With torchvision's names, as resnet18.pth has them; here of the network pretrained above."""
    pretrained = minift.load(work / "pretrained")
    assert isinstance(pretrained, ResNet)
    weights = tmp_path / "resnet8.pth"
    save_resnet(pretrained, weights)
    data = ("--data", str(work / "pictures.npz"), "--no-progress")
    for command in (
        ["finetune", "--from", str(weights), "--epochs", "4", "--num-frozen", "4"],
        ["evaluate", "--from", str(weights)],
        ["evaluate", "--from", str(tmp_path / "out")],
    ):
        train_cv.main([*command, *data, "--out", str(tmp_path / "out")])
        assert figures(capsys.readouterr().out)["accuracy"] > 0.9
    description = json.loads((tmp_path / "out" / "config.json").read_text())
    assert description["lineage"]["parent"] == str(weights)
    assert description["config"]["pixel_mean"] == [0.485, 0.456, 0.406]
    finetuned = minift.load(tmp_path / "out")
    for name, weight in pretrained.trunk.named_parameters():
        assert torch.equal(weight, finetuned.trunk.get_parameter(name)), "all stages were frozen"


def test_from_scratch_needs_no_checkpoint(tmp_path: Path) -> None:
    flags = ["--data", "shapes:near", "--num-train", "16", "--epochs", "1"]
    train_cv.main(["finetune", *TINY, *flags, "--out", str(tmp_path)])
    assert json.loads((tmp_path / "config.json").read_text())["lineage"]["parent"] is None


def test_idx_files_go_through_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(save_idx_folder(tmp_path / "idx"))
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    train_cv.main(
        ["pretrain", "--data", "fashion-mnist", "--data-dir", folder, *TINY, "--batch-size", "8",
         "--epochs", "4", "--out", source]
    )  # fmt: skip
    assert figures(capsys.readouterr().out)["accuracy"] > 0.9
    train_cv.main(
        ["finetune", "--from", source, "--data", "mnist", "--data-dir", folder, "--no-progress",
         "--num-train", "40", "--lr", "0.01", "--out", target]
    )  # fmt: skip
    finetuned = figures(capsys.readouterr().out)
    train_cv.main(["evaluate", "--from", target, "--data", "mnist", "--data-dir", folder])
    assert figures(capsys.readouterr().out)["accuracy"] == finetuned["accuracy"] > 0.9

    image_module = pytest.importorskip("PIL.Image")
    picture = tmp_path / "bright.png"
    image_module.fromarray(np.full((28, 28), 230, dtype=np.uint8)).save(picture)
    train_cv.main(["predict", "--from", target, str(picture)])
    assert "bright.png: 1 " in capsys.readouterr().out


def test_the_story_in_small_prints_its_table_and_leaves_a_page_and_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = replace(
        train_cv.story_cv.QUICK, num_source=64, source_epochs=1, target_sizes=(16,),
        segment_size=16, num_steps=4, num_test=16, model="resnet8",
    )  # fmt: skip
    monkeypatch.setattr(train_cv.story_cv, "QUICK", tiny)
    train_cv.main(["--quick", "--out", str(tmp_path), "--no-progress"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in train_cv.story_cv.COLUMNS)
    assert re.search(r"16 new shapes +.*fine-tune all +[\d.]+%", printed)
    assert "<img" in (tmp_path / "report.html").read_text()
    assert minift.load(tmp_path / "pretrained").family == "resnet"


def test_the_story_can_begin_with_the_weights_that_come_with_minift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = replace(
        train_cv.story_cv.QUICK, target_sizes=(16,), segment_size=16, num_steps=4, num_test=64,
    )  # fmt: skip
    monkeypatch.setattr(train_cv.story_cv, "QUICK", tiny)
    train_cv.main(["--quick", "--pretrained", "--out", str(tmp_path), "--no-progress"])
    row = re.search(r"source +resnet-tiny, shipped +([\d.]+)%", capsys.readouterr().out)
    assert row is not None
    assert float(row[1]) > 70
    saved = minift.load(tmp_path / "pretrained")
    assert minift.checkpoint.read_description(tmp_path / "pretrained")["lineage"]["parent"] == (
        "resnet-tiny"
    )
    weights = minift.load("resnet-tiny").state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in saved.state_dict().items())


def test_weights_that_come_with_minift_are_finetuned_by_their_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--data", "shapes:near", "--num-train", "32", "--epochs", "1", "--num-frozen", "5"]
    for flag in ("--pretrained", "--from"):
        out = tmp_path / flag[2:]
        train_cv.main(["finetune", flag, "resnet-tiny", *target, "--out", str(out)])
    assert "0.4% of the weights were trained" in capsys.readouterr().out
    first, second = (minift.load(tmp_path / name).state_dict() for name in ("pretrained", "from"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert minift.checkpoint.read_description(tmp_path / "pretrained")["lineage"]["parent"] == (
        "resnet-tiny"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--pretrained", "resnet18"], "no weights come with 'resnet18'; those that"),
        (
            ["evaluate", "--pretrained", "bert-mini"],
            "must be a model that reads pictures, got bert",
        ),
    ],
)
def test_weights_that_do_not_serve_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_cv.main(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune", "--pretrained", "resnet-tiny", "--from", "x"], "--from.* not allowed with"),
        (["--pretrained", "finetune"], "--pretrained before a command is for the story"),
    ],
)
def test_pretrained_stands_alone_before_no_command_and_with_a_name_behind_one(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train_cv.main(arguments)
    assert re.search(message, capsys.readouterr().err)


def test_predict_names_the_likeliest_classes(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image_module = pytest.importorskip("PIL.Image")
    picture = tmp_path / "bright.png"
    image_module.fromarray(np.full((20, 20, 3), 230, dtype=np.uint8)).save(picture)
    train_cv.main(["predict", "--from", str(work / "pretrained"), str(picture)])
    assert re.fullmatch(r".*bright.png: [01] [\d.]+%, [01] [\d.]+%\n", capsys.readouterr().out)


def test_show_draws_five_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_cv.main(["show", "--data", "shapes:near", "--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:5]] == list("01234")
    assert all("box" in line for line in lines[:5])
    assert (tmp_path / "show.png").read_bytes().startswith(b"\x89PNG")


def page_of(tmp_path: Path, *flags: str) -> str:
    """What `show` writes about shapes."""
    train_cv.main(["show", "--data", "shapes:near", "--num-train", "5", "--out", str(tmp_path),
                   "--page", str(tmp_path / "page.html"), *flags])  # fmt: skip
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_page_of_show_has_pictures_masks_and_boxes(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert page.count("<img") == 10  # five as they are, five with what is known of them
    assert "The masks and boxes" in page
    assert "filters" not in page


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        ("classify", "Heat map of true by predicted"),
        ("segment", "The masks: what the network says"),
        ("locate", "The boxes: what the network says"),
    ],
)
def test_page_of_show_says_what_a_network_makes_of_other_pictures(
    work: Path, tmp_path: Path, head: str, shown: str
) -> None:
    finetune(work, tmp_path / "net", "--data", "shapes:near", "--num-train", "16", "--epochs", "1",
             "--head", head)  # fmt: skip
    page = page_of(tmp_path, "--from", str(tmp_path / "net"))
    assert "filters of the first layer" in page
    assert shown in page


def test_page_of_show_judges_no_network_by_classes_that_it_does_not_know(
    work: Path, tmp_path: Path
) -> None:
    page = page_of(tmp_path, "--from", str(work / "pretrained"))
    assert "filters of the first layer" in page
    assert "Heat map" not in page


def test_shared_flags_count_before_a_command_as_behind_it() -> None:
    flags = ["--seed", "7", "--precision", "fp32", "--device", "cpu", "--no-progress", "--out", "a"]
    before = train_cv.parse([*flags, "pretrain"])
    assert before == train_cv.parse(["pretrain", *flags])
    assert (before.seed, before.precision, before.progress) == (7, "fp32", False)
    assert train_cv.parse(["--seed", "7", "pretrain", "--seed", "8"]).seed == 8


def test_each_command_has_a_folder_of_its_own_to_write_to() -> None:
    assert train_cv.parse([]).out == Path("runs/cv")
    assert train_cv.parse(["finetune"]).out == Path("runs/cv-finetune")


# -------------------------------------------------------------------------------- mistakes

MISTAKES = {
    "unknown model": (["pretrain", "--model", "resnet9"], "nearest are resnet"),
    "a model for text": (["pretrain", "--model", "bert-micro"], "must be one that reads pictures"),
    "unknown data": (["pretrain", "--data", "shape"], "shapes:source"),
    "no folder given": (["pretrain", "--data", "mnist"], "--data-dir"),
    "no such folder": (["pretrain", "--data", "mnist", "--data-dir", "{work}/no"], "no such"),
    "no such file": (["pretrain", "--data", "{work}/no.npz"], "no.npz"),
    "a missing idx file": (
        ["pretrain", "--data", "mnist", "--data-dir", "{work}/missing"],
        "missing must hold t10k-labels-idx1-ubyte",
    ),
    "a truncated idx file": (
        ["pretrain", "--data", "mnist", "--data-dir", "{work}/truncated"],
        "train-images-idx3-ubyte is cut short",
    ),
    "a label of no class": (
        ["pretrain", "--data", "fashion-mnist", "--data-dir", "{work}/labels"],
        r"train-labels-idx1-ubyte: labels must be 0..9, found 200",
    ),
    "a page of another kind": (["show", "--page", "page.png"], r"ends in \.html, got 'page\.png'"),
    "a network and no page": (["show", "--from", "{work}/pretrained"], "--page must name a file"),
    "unknown split": (
        ["evaluate", "--from", "{work}/pretrained", "--data", "shapes:near", "--split", "all"],
        "split must be train or test",
    ),
    "unknown configuration": (["pretrain", "--config", "hidden_size=3"], "hidden_size=3"),
    "configuration of another type": (["pretrain", "--config", "width=1.5"], "valid int"),
    "num_frozen out of range": (
        ["finetune", "--from", "{work}/pretrained", "--num-train", "16", "--num-frozen", "9"],
        r"num_frozen must be in 0..",
    ),
    "sizes for weights that have theirs": (
        ["finetune", "--from", "{work}/pretrained", "--num-train", "16", "--config", "width=4"],
        "--config is for fresh weights: .* got width=4",
    ),
    "another device for the story": (["--device", "cuda"], "--device must be left out"),
    "no pictures at all": (
        ["pretrain", "--num-train", "16", "--epochs", "0"], "epochs must be above 0"
    ),
    "more classes than there are": (
        ["evaluate", "--from", "{work}/unnamed.pth", "--data", "shapes:near", "--num-test", "8"],
        "--data has 10 classes, the model's head classify has 7 outputs",
    ),
    "unknown head": (
        ["finetune", "--from", "{work}/pretrained", "--num-train", "16", "--head", "lm"],
        "head must be",
    ),
    "no boxes to learn from": (
        ["finetune", "--from", "{work}/pretrained", "--data", "{work}/pictures.npz",
         "--head", "locate"],
        "has no boxes",
    ),
    "no checkpoint": (["evaluate", "--from", "{work}/nowhere"], "nowhere is no checkpoint"),
    "no weights of a ResNet": (
        ["finetune", "--from", "{work}/bert/model.pt", "--num-train", "16"],
        r"model\.pt lacks 'conv1\.weight': these are not the weights of a ResNet",
    ),
    "a file of weights cut off": (
        ["finetune", "--from", "{work}/cut.pth", "--num-train", "16"],
        r"cut\.pth: is cut off",
    ),
    "a checkpoint of text": (["evaluate", "--from", "{work}/bert"], "reads pictures, got bert"),
    "other classes": (
        ["evaluate", "--from", "{work}/pretrained", "--data", "shapes:near", "--num-test", "8"],
        "the model knows",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def faulty(work: Path) -> Path:
    """The same folder, with a checkpoint of another kind and faulty idx files beside."""
    (save_idx_folder(work / "missing") / "t10k-labels-idx1-ubyte").unlink()
    images = save_idx_folder(work / "truncated") / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    save_idx_folder(work / "labels", highest_label=200)
    save_resnet(minift.create_model("resnet8", num_classes=7, width=8), work / "unnamed.pth")
    (work / "cut.pth").write_bytes((work / "pretrained" / "model.pt").read_bytes()[:999])
    config = BertConfig(vocab_size=9, hidden_size=8, num_layers=1, num_heads=1, max_positions=8)
    minift.save(Bert(config, head="mlm"), work / "bert")
    return work


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_error_and_writes_nothing(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    # The default is 20,000 pictures; none of these mistakes needs to see them.
    monkeypatch.setattr(
        "minift.recipes.sources.shapes", lambda name, number, seed: shapes(name, 8, seed=seed)
    )
    command, message = MISTAKES[mistake]
    command = [word.format(work=faulty) for word in command]
    out = tmp_path / "out"
    with pytest.raises((ValueError, OSError), match=message):
        train_cv.main([*command, "--no-progress", "--out", str(out)])
    assert not out.exists()


def test_exit_status_is_2_with_one_line_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train_cv.py"), "evaluate", "--from", "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("train_cv.py: error: nowhere is no checkpoint folder")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [["predict", "a.png"], ["pretrain", "--num-train", "-1"], ["--quick", "show"]]
)
def test_a_wrong_command_line_has_status_2(command: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        train_cv.main(command)
    assert stopped.value.code == 2
