"""Checkpoints come back whole with their own tokenizer, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import minift
from minift.checkpoint import load, load_tokenizer, read_description, require_tokenizer, save
from minift.interop.resnet import save_resnet
from minift.models.bert import Bert, BertConfig
from minift.tokenizers import WordPiece, WordVocab
from minift.training.files import file_digest

TEXTS = ["the cat sat on the mat .", "a dog ran to the red house ."]


@pytest.fixture
def tokenizer() -> WordVocab:
    return WordVocab.train(TEXTS, vocab_size=40)


@pytest.fixture
def model() -> Bert:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=32,
        max_positions=16,
    )
    return Bert(config, "classify", 3)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_model_and_tokenizer_come_back(model, tokenizer, tmp_path):
    save(model, tmp_path, tokenizer)

    loaded, its_tokenizer = load(tmp_path), load_tokenizer(tmp_path)

    batch = tokenizer(TEXTS)
    again = its_tokenizer(TEXTS)
    assert all(torch.equal(again[name], batch[name]) for name in batch)
    assert torch.equal(loaded(**again), model.eval()(**batch))
    assert loaded.tokenizer_id == model.tokenizer_id == tokenizer.fingerprint


def test_the_public_names_are_these(model, tmp_path):
    minift.save(model, tmp_path)

    assert type(minift.load(tmp_path)) is Bert


def test_classes_and_lineage_are_told(model, tmp_path):
    lineage = {"recipe": "finetune", "seed": 3, "data": "world", "parent": "runs/bert"}

    save(model, tmp_path, classes=["no", "yes", "maybe"], lineage=lineage)

    description = read_description(tmp_path)
    assert description["classes"] == ["no", "yes", "maybe"]
    assert description["lineage"] == lineage


def test_a_tied_matrix_is_saved_once_and_still_tied_when_loaded(model, tmp_path):
    model.reset_head("mlm")

    save(model, tmp_path)

    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert weights["head.decoder.weight"].data_ptr() == (
        weights["trunk.stages.embedding.tokens.weight"].data_ptr()
    )
    loaded = load(tmp_path)
    assert loaded.head.decoder.weight is loaded.trunk.stages["embedding"].tokens.weight


def test_the_same_head_keeps_its_weights(model, tmp_path):
    save(model, tmp_path)
    weight = model.head.classifier.weight

    for options in ({}, {"head": "classify"}, {"head": "classify", "num_classes": 3}):
        assert torch.equal(load(tmp_path, **options).head.classifier.weight, weight)
    assert torch.equal(load(tmp_path, num_classes=3).head.classifier.weight, weight)


@pytest.mark.parametrize(
    ("options", "head", "num_classes"),
    [
        ({"head": "tag", "num_classes": 5}, "tag", 5),
        ({"head": "classify", "num_classes": 2}, "classify", 2),
        ({"num_classes": 2}, "classify", 2),
        ({"head": "mlm"}, "mlm", None),
    ],
)
def test_another_head_is_put_on_the_same_trunk(model, tmp_path, options, head, num_classes):
    save(model, tmp_path)

    loaded = load(tmp_path, **options)

    assert (loaded.head_name, loaded.num_classes) == (head, num_classes)
    assert not loaded.training
    assert not any(module.training for module in loaded.head.modules())
    for name, value in model.trunk.state_dict().items():
        assert torch.equal(loaded.trunk.state_dict()[name], value)


def test_a_model_without_a_head_is_a_checkpoint_too(model, tmp_path):
    model.reset_head(None)
    save(model, tmp_path)

    assert load(tmp_path).head_name is None
    assert load(tmp_path, head="classify", num_classes=2).num_classes == 2


def test_saving_over_a_checkpoint_replaces_it(model, tmp_path):
    save(model, tmp_path)
    model.reset_head("tag", 4)
    save(model, tmp_path)

    assert load(tmp_path).head_name == "tag"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.pt"]


def test_saving_does_not_touch_the_model(model, tmp_path):
    model.train()
    model.trunk.num_frozen = 1
    before = {name: value.clone() for name, value in model.state_dict().items()}

    save(model, tmp_path)

    assert model.training
    assert model.trunk.num_frozen == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_foreign_tokenizer_is_refused_when_saving(model, tokenizer, tmp_path):
    save(model, tmp_path, tokenizer)
    foreign = WordVocab.train(["other words"], vocab_size=20)

    with pytest.raises(ValueError, match=f"{foreign.fingerprint}.*is not the one this bert model"):
        save(model, tmp_path / "other", foreign)
    assert not (tmp_path / "other").exists()


def test_a_loaded_model_refuses_a_foreign_tokenizer(model, tokenizer, tmp_path):
    save(model, tmp_path, tokenizer)
    foreign = WordVocab.train(["other words"], vocab_size=20)

    with pytest.raises(ValueError, match="its ids would mean other words"):
        require_tokenizer(load(tmp_path), foreign)
    require_tokenizer(load(tmp_path), tokenizer)


def test_a_tokenizer_put_beside_another_ones_model_is_refused(model, tokenizer, tmp_path):
    save(model, tmp_path, tokenizer)
    WordVocab.train(["other words"], vocab_size=20).save(tmp_path)

    with pytest.raises(ValueError, match=rf"is not the one {tmp_path} was trained with"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_of_too_many_tokens_is_refused(model, tmp_path):
    large = WordVocab.train([" ".join(f"w{i}" for i in range(60))], vocab_size=60)

    with pytest.raises(ValueError, match=r"tokenizer has 60 tokens, .* vocab_size 40"):
        save(model, tmp_path, large)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is no checkpoint folder: it has no config\.json"):
        load(tmp_path / "nothing")


def test_missing_weights_are_told(model, tmp_path):
    save(model, tmp_path)
    (tmp_path / "model.pt").unlink()

    with pytest.raises(ValueError, match=r"model\.pt is missing"):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "one bit", "of another save"])
def test_damaged_weights_are_refused(model, tmp_path, damage):
    save(model, tmp_path)
    path = tmp_path / "model.pt"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
    else:
        torch.nn.init.ones_(model.head.classifier.weight)
        save(model, tmp_path / "other")
        content = (tmp_path / "other" / "model.pt").read_bytes()
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"model\.pt is damaged or does not belong to"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 32}, r"'trunk.*must be \(40, 32\) by the configuration, got \(40, 16\)"),
        ({"num_layers": 3}, r"lacks 'trunk\.stages\.block2.*which the configuration asks for"),
        ({"num_layers": 1}, r"has 'trunk\.stages\.block1.*which the configuration does not"),
        ({"width": 3}, r"config\.json: bert has no configuration field 'width'"),
        ({"num_heads": 3}, r"config\.json: hidden_size must be a multiple of num_heads"),
        ({"hidden_size": "16"}, r"config\.json: hidden_size must be a valid int, got '16'"),
        ({"hidden_size": 0}, r"config\.json: hidden_size must be a valid int, got 0"),
        ({"num_heads": 0}, r"config\.json: num_heads must be a valid int, got 0"),
        ({"num_layers": -2}, r"config\.json: num_layers must be a valid int, got -2"),
        ({"num_layers": None}, r"config\.json: num_layers must be a valid int, got None"),
        ({"norm_eps": "small"}, r"config\.json: norm_eps must be a valid float, got 'small'"),
        ({"dropout": float("nan")}, r"config\.json: dropout must be a valid float, got nan"),
        ({"vocab_size": 10**16}, r"model\.pt: 'trunk\.stages\.embedding\.tokens[^\n]+$"),
        ({"vocab_size": 10**30}, r"config\.json: [^\n]+$"),  # more than there are numbers
    ],
)
def test_a_configuration_of_another_model_is_refused(model, tmp_path, change, message):
    save(model, tmp_path)
    edit(tmp_path, config={**read_description(tmp_path)["config"], **change})

    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("config", [None, 3, "bert", ["hidden_size"]])
def test_a_configuration_that_is_none_is_refused(model, tmp_path, config):
    save(model, tmp_path)
    edit(tmp_path, config=config)

    with pytest.raises(ValueError, match=r'config\.json: "config" must be fields by name, got '):
        load(tmp_path)


@pytest.mark.parametrize("family", ["bart", ["bert"], None])
def test_an_unknown_family_is_refused(model, tmp_path, family):
    save(model, tmp_path)
    edit(tmp_path, family=family)

    with pytest.raises(ValueError, match=r"config\.json: family must be one of \['resnet', "):
        load(tmp_path)


@pytest.mark.parametrize("num_classes", ["3", -1, 2.5])
def test_an_impossible_number_of_classes_is_refused(model, tmp_path, num_classes):
    save(model, tmp_path)
    edit(tmp_path, num_classes=num_classes)

    with pytest.raises(ValueError, match=r"config\.json: [^\n]+$"):
        load(tmp_path)


def test_an_impossible_head_is_refused(model, tmp_path):
    save(model, tmp_path)
    edit(tmp_path, head="segment")

    with pytest.raises(ValueError, match=r"config\.json: head must be one of"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": ', r"config\.json must be JSON"),
        (b"\xff\xfe", r"config\.json must be JSON"),
        (b"[1]", r"config\.json must be a JSON object, got a list"),
        (b'{"kind": "bert"}', r"this checkpoint is of another kind"),
        (b'{"model_type": "bert"}', r"has no weights: none of model\.safetensors, "),
        (b'{"model_type": "bart"}', r'config\.json: "model_type" must be one of bert, gpt2'),
        (b'{"format": "minift 1", "family": "bert"}', r"config\.json lacks \['config', 'head'"),
    ],
)
def test_a_broken_description_is_refused(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_an_unknown_layout_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="layout must be 'minift' or 'huggingface', got 'onnx'"):
        save(model, tmp_path, layout="onnx")


def test_the_huggingface_layout_is_written_and_read(model, tmp_path):
    pytest.importorskip("safetensors")
    piecewise = WordPiece.train(TEXTS, vocab_size=40)
    save(model, tmp_path, piecewise, layout="huggingface", classes=["a", "b", "c"])

    loaded, its_tokenizer = load(tmp_path), load_tokenizer(tmp_path)

    assert not loaded.training
    assert read_description(tmp_path)["classes"] == ["a", "b", "c"]
    assert its_tokenizer.fingerprint == piecewise.fingerprint
    batch = its_tokenizer(TEXTS, max_length=16)
    assert torch.equal(loaded(**batch), model.eval()(**batch))


def test_a_fresh_part_of_another_ones_checkpoint_is_told(model, tmp_path):
    pytest.importorskip("safetensors")
    save(model, tmp_path, layout="huggingface")

    with pytest.warns(UserWarning, match=r"fresh weights: .*missing 2: head\.classifier\.weight"):
        loaded = load(tmp_path, head="tag", num_classes=5)
    assert (loaded.head_name, loaded.num_classes) == ("tag", 5)
    for name, value in model.trunk.state_dict().items():
        assert torch.equal(loaded.trunk.state_dict()[name], value)


def test_a_tokenizer_of_no_such_layout_is_refused(model, tokenizer, tmp_path):
    with pytest.raises(ValueError, match='layout must be "minift" for a word_vocab tokenizer'):
        save(model, tmp_path / "new", tokenizer, layout="huggingface")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("rows", [20, 5000])
def test_a_tokenizer_beside_another_vocabulary_is_refused(model, tmp_path, rows):
    pytest.importorskip("safetensors")
    save(model, tmp_path, WordPiece.train(TEXTS, vocab_size=40), layout="huggingface")
    edit(tmp_path, vocab_size=rows)

    with pytest.raises(
        ValueError, match=rf"config\.json: vocab_size is {rows}, the tokenizer beside it"
    ):
        load_tokenizer(tmp_path)


def test_a_vocabulary_padded_to_a_multiple_is_taken(model, tmp_path):
    pytest.importorskip("safetensors")
    save(model, tmp_path, WordPiece.train(TEXTS, vocab_size=40), layout="huggingface")
    edit(tmp_path, vocab_size=128)

    assert load_tokenizer(tmp_path).vocab_size <= 40


def test_a_file_of_resnet_weights_is_a_checkpoint(tmp_path):
    network = minift.create_model("resnet8", num_classes=3)
    save_resnet(network, tmp_path / "resnet8.pth")

    loaded = load(tmp_path / "resnet8.pth")

    assert read_description(tmp_path / "resnet8.pth")["classes"] is None
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_what_cannot_be_told_is_refused_before_anything_is_written(model, tmp_path):
    with pytest.raises(TypeError, match="Path is not JSON serializable"):
        save(model, tmp_path / "a", lineage={"parent": tmp_path})
    with pytest.raises(ValueError, match="classes must be 3 names, as the head has, got"):
        save(model, tmp_path / "a", classes=["only"])
    minift.transfer.add_lora(model, rank=2)
    with pytest.raises(ValueError, match=r"differs; is there LoRA to be merged"):
        save(model, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_another_models_tokenizer_in_the_folder_is_refused(model, tokenizer, tmp_path):
    other = WordVocab.train(["a few words"], vocab_size=20)
    other.save(tmp_path)
    with pytest.raises(ValueError, match="is not the one"):
        save(model, tmp_path)
    save(model, tmp_path, tokenizer)
    save(model, tmp_path)  # its own
    assert load_tokenizer(tmp_path).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        (lambda weight: weight.long(), "must be like torch.float32, got torch.int64"),
        (lambda weight: weight.to(torch.complex64), "got torch.complex64"),
        (lambda weight: 7, "must be a tensor, got int"),
    ],
)
def test_weights_of_another_type_are_refused(model, tmp_path, forged, message):
    save(model, tmp_path)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    weights["head.classifier.weight"] = forged(weights["head.classifier.weight"])
    torch.save(weights, tmp_path / "model.pt")
    edit(tmp_path, weights=file_digest(tmp_path / "model.pt"))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
