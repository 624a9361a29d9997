"""The weights that come with minift are whole, belong together, and know what they were taught."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

import minift
from minift import shipped
from minift.checkpoint import read_description, require_tokenizer
from minift.data.shapes import shapes
from minift.data.world import world_documents
from minift.recipes.finetuning import FinetuneConfig, finetune, score
from minift.recipes.shipped import NAMES
from minift.recipes.story_models import world_scores
from minift.recipes.story_nlp import task_dataset

TEXT_NAMES = [name for name in NAMES if name != "resnet-tiny"]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped weights, which minift takes for them."""
    folder = tmp_path / "weights"
    shutil.copytree(shipped.WEIGHTS, folder)
    monkeypatch.setattr(shipped, "WEIGHTS", folder)
    return folder


def test_the_names_are_those_of_the_folders_and_of_the_recipe():
    folders = {path.name for path in shipped.WEIGHTS.iterdir() if path.is_dir()}

    assert set(minift.list_models(pretrained=True)) == folders == set(NAMES)
    assert folders < set(minift.list_models())


def test_every_file_is_on_the_list_with_its_sha256():
    lines = (shipped.WEIGHTS / "SHA256SUMS").read_text().splitlines()
    listed = {file: digest for digest, file in map(str.split, lines)}
    files = [path for path in shipped.WEIGHTS.rglob("*/*") if path.is_file()]

    assert listed == {
        path.relative_to(shipped.WEIGHTS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    assert sum(path.stat().st_size for path in files) < 10_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_the_same_network_with_weights_and_without(name):
    trained = minift.create_model(name, pretrained=True, head=None)
    fresh = minift.create_model(name, head=None)
    saved = minift.load(name)

    assert trained.config == fresh.config == saved.config
    assert trained.head_name is None
    assert not trained.training
    assert all(weight.dtype == torch.float32 for weight in trained.parameters())
    weights = saved.trunk.state_dict()
    assert all(
        torch.equal(value, weights[key]) for key, value in trained.trunk.state_dict().items()
    )


@pytest.mark.parametrize("name", NAMES)
def test_where_the_weights_are_from_is_told(name):
    lineage = read_description(name)["lineage"]

    assert lineage["recipe"] == f"python -m minift.recipes.shipped {name}"
    assert {"seed", "data", "scores", "torch", "processor"} <= set(lineage)


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_a_tokenizer_is_that_of_its_model_and_has_as_many_words(name):
    model, tokenizer = minift.load(name), minift.load_tokenizer(name)

    require_tokenizer(model, tokenizer)
    assert model.tokenizer_id == minift.create_model(name, pretrained=True, head=None).tokenizer_id
    assert tokenizer.vocab_size == model.config.vocab_size
    other = "gpt-mini" if name != "gpt-mini" else "bert-mini"
    with pytest.raises(ValueError, match=r"is not the one this .* model was trained with"):
        require_tokenizer(model, minift.load_tokenizer(other))


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("word2vec", {"analogies": 0.9}),
        ("bert-mini", {"mlm_accuracy": 0.8, "nsp_accuracy": 0.85}),
        ("gpt-mini", {"lm_accuracy": 0.6}),
        ("t5-mini", {"span_accuracy": 0.55}),
    ],
)
def test_texts_that_were_held_out_are_known(name, least):
    held_out = world_documents(200, seed=5000)

    scores = world_scores(minift.load(name), minift.load_tokenizer(name), held_out)

    assert all(scores[key] > value for key, value in least.items()), scores


def test_pictures_that_were_held_out_are_known():
    model = minift.create_model("resnet-tiny", pretrained=True)  # with its head

    assert score(model, shapes("source", 300, seed=5001))["accuracy"] > 0.8


def test_the_head_of_pretraining_keeps_its_weights_and_another_starts_afresh():
    saved = minift.load("resnet-tiny").head.state_dict()

    same = minift.create_model("resnet-tiny", pretrained=True, num_classes=10)
    other = minift.create_model("resnet-tiny", pretrained=True, num_classes=3)
    masks = minift.create_model("resnet-tiny", pretrained=True, head="segment", num_classes=3)

    assert all(torch.equal(value, saved[key]) for key, value in same.head.state_dict().items())
    assert other(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert masks(torch.zeros(2, 3, 32, 32)).shape == (2, 3, 32, 32)


def test_a_tied_output_is_the_shipped_embedding():
    gpt = minift.create_model("gpt-mini", pretrained=True, head="lm")

    words = gpt.trunk.stages["embedding"].tokens.weight
    assert any(weight is words for weight in gpt.head.parameters())
    assert torch.equal(words, minift.load("gpt-mini").trunk.stages["embedding"].tokens.weight)


def test_few_labels_are_enough_from_the_weights_and_not_from_scratch():
    tokenizer = minift.load_tokenizer("bert-mini")
    train = task_dataset(tokenizer, "sentiment", 64, seed=0)
    test = task_dataset(tokenizer, "sentiment", 200, seed=1, split="test")
    accuracies = {}
    for pretrained in (True, False):
        torch.manual_seed(0)
        model = minift.create_model("bert-mini", pretrained=pretrained, num_classes=2)
        finetune(model, train, FinetuneConfig(epochs=10, progress=False))
        accuracies[pretrained] = score(model, test)["accuracy"]

    assert accuracies[True] > 0.75 > accuracies[False] + 0.1


def test_the_features_of_few_pictures_are_enough_and_those_of_a_fresh_trunk_are_not():
    train, test = shapes("near", 100, seed=0), shapes("near", 300, seed=1)
    accuracies = {}
    for pretrained in (True, False):
        torch.manual_seed(0)
        model = minift.create_model("resnet-tiny", pretrained=pretrained, num_classes=10)
        model.reset_head("classify", num_classes=10)
        finetune(model, train, FinetuneConfig(num_frozen=5, lr=4e-3, epochs=30, progress=False))
        accuracies[pretrained] = score(model, test)["accuracy"]

    assert accuracies[True] > accuracies[False] + 0.1


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        (
            "bert-mini",
            {"hidden_size": 32},
            "hidden_size must be 128, as the weights of 'bert-mini'",
        ),
        ("t5-mini", {"vocab_size": 400}, "vocab_size must be 395, .* got 400"),
        ("resnet-tiny", {"blocks": [2, 2]}, r"blocks must be \(1, 1, 1, 1\), .* got \(2, 2\)"),
        ("gpt-mini", {"num_heads": 2}, "num_heads must be 4"),  # would fit, and compute nonsense
    ],
)
def test_a_field_that_the_weights_are_not_made_for_is_refused(name, config, message):
    with pytest.raises(ValueError, match=message):
        minift.create_model(name, pretrained=True, head=None, **config)


def test_dropout_may_differ_for_it_changes_no_weight():
    model = minift.create_model("bert-mini", pretrained=True, head=None, dropout=0.1, num_layers=3)

    assert model.config.dropout == 0.1


@pytest.mark.parametrize(
    ("file", "use"),
    [
        ("bert-mini/model.pt", minift.load),
        ("bert-mini/model.pt", lambda name: minift.create_model(name, pretrained=True, head=None)),
        ("bert-mini/config.json", minift.load),
        ("bert-mini/vocab.txt", minift.load_tokenizer),
        ("bert-mini/tokenizer.json", read_description),
    ],
)
def test_a_changed_byte_is_refused_and_its_file_named(copied, file, use):
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / file).write_bytes(content)

    with pytest.raises(ValueError, match=rf"{file} is damaged: its sha256 must be [0-9a-f]{{64}},"):
        use("bert-mini")
    minift.load("gpt-mini")  # of the others nothing is amiss


def test_a_missing_file_is_named(copied):
    (copied / "word2vec" / "model.pt").unlink()

    with pytest.raises(ValueError, match=r"word2vec/model\.pt is missing"):
        minift.load("word2vec")


def test_a_folder_of_the_readers_own_goes_before_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = minift.create_model("word2vec", head="pretrain", vocab_size=9)
    minift.save(own, "word2vec")

    assert minift.load("word2vec").config.vocab_size == 9
    assert minift.create_model("word2vec", pretrained=True, head=None).config.vocab_size == 367


def test_the_names_that_come_with_weights_are_told():
    named = ", ".join(minift.list_models(pretrained=True))

    with pytest.raises(ValueError, match=f"come with 'resnet18'; .*: {', '.join(sorted(NAMES))}$"):
        shipped.shipped_folder("resnet18")
    with pytest.raises(ValueError, match=f"must be False for 'resnet18': .* but with {named};"):
        minift.create_model("resnet18", pretrained=True)
