"""A folder in the Hugging Face layout comes back as it went, or is refused by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from minift.interop.files import read_weights, write_safetensors
from minift.interop.huggingface import class_names, is_huggingface, load_folder, save_folder
from minift.models.bert import Bert, BertConfig
from minift.models.gpt import GPT, GPTConfig
from minift.models.resnet import ResNet, ResNetConfig
from minift.models.t5 import T5, T5Config
from minift.stages import Model

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_layers": 2, "num_heads": 2}
MODELS = {
    "bert": (Bert, BertConfig(**SIZES, intermediate_size=24, max_positions=12)),
    "gpt": (GPT, GPTConfig(**SIZES, intermediate_size=24, max_positions=12)),
    "t5": (T5, T5Config(**SIZES, intermediate_size=24, num_decoder_layers=1)),
    "t5 v1.1": (
        T5,
        T5Config(
            **SIZES,
            intermediate_size=24,
            head_size=6,
            activation="gelu_new",
            is_gated=True,
            is_tied=False,
            num_buckets=8,
        ),
    ),
}
HEADS = [
    *(("bert", head) for head in (None, "pretrain", "mlm", "classify", "tag", "span")),
    *(("gpt", head) for head in (None, "lm", "classify")),
    *((name, head) for name in ("t5", "t5 v1.1") for head in (None, "lm")),
]


@pytest.fixture(autouse=True)
def _needs_safetensors():
    pytest.importorskip("safetensors")


def make(name: str = "bert", head: str | None = "classify") -> Model:
    torch.manual_seed(0)
    model_class, config = MODELS[name]
    model = model_class(config, head, 3 if head in ("classify", "tag") else None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder: Path, changed: dict[str, torch.Tensor | None]) -> None:
    """Replace tensors of a folder; None takes one out."""
    path = folder / "model.safetensors"
    state = {name: value.clone() for name, value in read_weights(path).items()}
    state |= changed
    write_safetensors(path, {name: value for name, value in state.items() if value is not None})


@pytest.mark.parametrize(("name", "head"), HEADS)
def test_a_model_comes_back_with_its_head(name, head, tmp_path):
    model = make(name, head)
    save_folder(model, tmp_path)

    loaded, report = load_folder(tmp_path)

    assert not loaded.training
    assert (loaded.head_name, loaded.num_classes) == (head, model.num_classes)
    assert (report.missing, report.unexpected) == ([], [])
    assert set(report.matched) == set(model.state_dict())
    again = loaded.state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())


def test_training_a_mapped_model_leaves_its_file_alone(tmp_path):
    save_folder(make(), tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    model, _ = load_folder(tmp_path)

    with torch.no_grad():
        for weight in model.parameters():
            weight += 1

    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_tied_weights_are_written_once_and_stay_tied(tmp_path):
    save_folder(make("gpt", "lm"), tmp_path)

    assert "lm_head.weight" not in read_weights(tmp_path)
    loaded: Any = load_folder(tmp_path)[0]
    assert loaded.head.decoder.weight is loaded.trunk.stages["embedding"].tokens.weight


@pytest.mark.parametrize(("saved", "asked"), [("pretrain", "mlm"), ("mlm", "pretrain")])
def test_a_head_takes_what_another_has_of_it(saved, asked, tmp_path):
    model: Any = make("bert", saved)
    save_folder(model, tmp_path)

    loaded, report = load_folder(tmp_path, head=asked)

    shared = [head.mlm if hasattr(head, "mlm") else head for head in (model.head, loaded.head)]
    assert torch.equal(shared[0].dense.weight, shared[1].dense.weight)
    assert report.missing == (["head.nsp.weight", "head.nsp.bias"] if asked == "pretrain" else [])
    assert len(report.unexpected) == (2 if asked == "mlm" else 0)


@pytest.mark.parametrize(
    ("head", "num_classes", "is_kept"),
    [
        (None, None, True),
        ("classify", 3, True),
        ("classify", None, True),
        (None, 2, False),
        ("tag", 3, False),
    ],
)
def test_classes_are_kept_only_where_they_are_the_same(head, num_classes, is_kept, tmp_path):
    """A tag of a token and a class of a text have one name there, and are different things."""
    model: Any = make("bert", "classify")
    save_folder(model, tmp_path)

    loaded: Any
    loaded, report = load_folder(tmp_path, head=head, num_classes=num_classes)

    found = loaded.head.classifier.weight
    assert (found.shape == (3, 16) and torch.equal(found, model.head.classifier.weight)) is is_kept
    assert bool(report.missing) is not is_kept
    assert all(name.startswith("head.") for name in report.missing)


def test_a_missing_pooler_is_a_note(tmp_path):
    save_folder(make("bert", "mlm"), tmp_path)
    edit_weights(tmp_path, {"bert.pooler.dense.weight": None, "bert.pooler.dense.bias": None})

    _, report = load_folder(tmp_path)

    stage = "trunk.stages.pooler.dense"
    assert report.missing == [f"{stage}.weight", f"{stage}.bias"]
    assert report.summary().endswith(f"missing 2: {stage}.weight, {stage}.bias")


@pytest.mark.parametrize(
    ("name", "head", "lost"),
    [
        ("bert", "classify", "bert.encoder.layer.1.output.LayerNorm.bias"),
        ("bert", "mlm", "bert.embeddings.word_embeddings.weight"),
        ("gpt", "lm", "transformer.ln_f.weight"),
        ("gpt", "lm", "transformer.h.1.mlp.c_proj.weight"),
        ("t5", "lm", "encoder.final_layer_norm.weight"),
        ("t5", None, "decoder.block.0.layer.1.EncDecAttention.k.weight"),
    ],
)
def test_a_missing_trunk_weight_is_an_error_that_names_it(name, head, lost, tmp_path):
    save_folder(make(name, head), tmp_path)
    edit_weights(tmp_path, {lost: None})

    with pytest.raises(ValueError, match=rf"model\.safetensors lacks '{lost}', the model's 'trunk"):
        load_folder(tmp_path)


def test_a_missing_query_is_told_by_our_part_of_it(tmp_path):
    save_folder(make("gpt", "lm"), tmp_path)
    edit_weights(tmp_path, {"transformer.h.1.attn.c_attn.bias": None})

    with pytest.raises(ValueError, match=r"lacks 'transformer\.h\.1\.attn\.c_attn\.query\.bias'"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bert", {"hidden_size": 32}, r"word_embeddings\.weight' must be \(40, 32\) by config"),
        ("bert", {"vocab_size": 41}, r"word_embeddings\.weight' must be \(41, 16\) by config"),
        ("bert", {"num_hidden_layers": 3}, r"lacks 'bert\.encoder\.layer\.2\.attention\.self"),
        ("bert", {"num_hidden_layers": 1}, r"has 'bert\.encoder\.layer\.1\.\S+', for which con"),
        ("bert", {"num_hidden_layers": 10**9}, r"json: asks for 1000000000 layers, .* has 39 wei"),
        ("bert", {"num_attention_heads": 3}, r"json: hidden_size must be a multiple of num_heads"),
        ("bert", {"hidden_size": "16"}, r"config\.json: hidden_size must be a valid int, got '16'"),
        ("bert", {"hidden_size": 0}, r"config\.json: hidden_size must be a valid int, got 0"),
        ("bert", {"hidden_size": 10**30}, r"config\.json: [^\n]+$"),
        ("bert", {"vocab_size": 10**14}, r"config\.json: [^\n]+$|must be \(100000000000000, 16\)"),
        ("bert", {"hidden_act": "mish"}, r"config\.json: activation must be one of"),
        ("bert", {"hidden_act": ["gelu"]}, r"config\.json: hidden_act must be a valid str"),
        ("bert", {"layer_norm_eps": None}, r"config\.json: layer_norm_eps must be a valid float"),
        ("bert", {"is_decoder": True}, r"config\.json: is_decoder must be False, got True"),
        ("bert", {"position_embedding_type": "relative_key"}, r"must be 'absolute', got 'relati"),
        ("bert", {"pad_token_id": 40}, r"config\.json: [^\n]+$"),
        ("bert", {"model_type": "bart"}, r'"model_type" must be one of bert, gpt2, t5, got \'bart'),
        ("bert", {"model_type": "gpt2"}, r"model\.safetensors lacks 'transformer\.wte\.weight'"),
        ("gpt", {"n_inner": 25}, r"mlp\.c_fc\.weight' must be \(25, 16\) by config"),
        ("gpt", {"n_layer": 1}, r"has 'transformer\.h\.1\.\S+', for which con"),
        ("gpt", {"n_layer": 3}, r"lacks 'transformer\.h\.2\.attn\.c_attn\.query\.weight'"),
        ("gpt", {"n_embd": [16]}, r"config\.json: n_embd must be a valid int, got \[16\]"),
        ("gpt", {"scale_attn_weights": False}, r"scale_attn_weights must be True, got False"),
        ("t5", {"d_kv": 7}, r"SelfAttention\.q\.weight' must be \(14, 16\) by config"),
        ("t5", {"num_decoder_layers": 10**9}, r"json: asks for 1000000000 layers, .* weights"),
        ("t5", {"num_decoder_layers": 2}, r"lacks 'decoder\.block\.1\.layer\.0\.SelfAttention"),
        ("t5", {"feed_forward_proj": "gated-gelu"}, r"lacks 'encoder\.block\.0\.\S+\.wi_0\.weig"),
        ("t5", {"feed_forward_proj": "x"}, r"config\.json: feed_forward_proj must be one of relu"),
        ("t5", {"feed_forward_proj": None}, r"config\.json: feed_forward_proj must be one of"),
        ("t5", {"decoder_start_token_id": -1}, r"json: decoder_start_token_id must be a token's"),
        ("t5", {"relative_attention_num_buckets": 2}, r"config\.json: num_buckets must be at leas"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(name, change, message, tmp_path):
    save_folder(make(name, None), tmp_path)
    edit(tmp_path, **change)

    with pytest.raises(ValueError, match=message) as caught:
        load_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "output"),
    [("bert", "cls.predictions.decoder.weight"), ("gpt", "lm_head.weight")],
)
def test_an_output_matrix_of_its_own_is_refused_where_ours_is_tied(name, output, tmp_path):
    save_folder(make(name, "mlm" if name == "bert" else "lm"), tmp_path)
    edit_weights(tmp_path, {output: torch.ones(40, 16)})

    with pytest.raises(ValueError, match=rf"'{output}' must be the same tensor as '"):
        load_folder(tmp_path)


@pytest.mark.parametrize("shape", [(), (2,), (7, 5), (0, 0), (16, 47)])
def test_a_misshapen_attention_is_refused(shape, tmp_path):
    save_folder(make("gpt", "lm"), tmp_path)
    edit_weights(tmp_path, {"transformer.h.0.attn.c_attn.weight": torch.zeros(shape)})

    with pytest.raises(ValueError, match=r"model\.safetensors.*transformer\.h\.0\.attn\.c_attn"):
        load_folder(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"[" * 9999, b"3", b'{"model_type": 3}'])
def test_a_broken_config_is_refused(content, tmp_path):
    save_folder(make(), tmp_path)
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(ValueError, match=r"config\.json[^\n]+$"):
        load_folder(tmp_path)


def test_older_configs_are_known_by_the_class_that_wrote_them(tmp_path):
    save_folder(make("bert", "tag"), tmp_path)
    path = tmp_path / "config.json"
    settings = json.loads(path.read_text())
    del settings["model_type"]
    path.write_text(json.dumps(settings))

    assert load_folder(tmp_path)[0].head_name == "tag"


@pytest.mark.parametrize(("name", "head"), [row for row in HEADS if row[1] not in (None, "tag")])
def test_a_head_is_known_by_its_weights_where_no_class_is_named(name, head, tmp_path):
    save_folder(make(name, head), tmp_path)
    edit(tmp_path, architectures=None)

    assert load_folder(tmp_path)[0].head_name == head


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: T5(MODELS["t5"][1], "classify", 2), "t5 the heads None, lm, got 'classify'"),
        (lambda: ResNet(ResNetConfig((1,)), None), "is for bert, gpt, t5, got a resnet model"),
    ],
)
def test_what_the_layout_has_no_place_for_is_refused(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_folder(model(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_as_many_classes_as_the_head_has(tmp_path):
    with pytest.raises(ValueError, match=r"classes must be 3 names, got \['no', 'yes'\]"):
        save_folder(make(), tmp_path / "new", classes=["no", "yes"])
    assert not (tmp_path / "new").exists()


def test_names_of_classes_go_both_ways(tmp_path):
    save_folder(make(), tmp_path, classes=["no", "maybe", "yes"])

    assert class_names(json.loads((tmp_path / "config.json").read_text())) == ["no", "maybe", "yes"]


@pytest.mark.parametrize(
    "labels", [None, {}, 3, {"0": "a", "2": "b"}, {"0": 1}, {"0": "LABEL_0", "1": "LABEL_1"}]
)
def test_classes_without_names_have_none(labels):
    assert class_names({"id2label": labels}) is None


def test_our_own_folders_are_told_apart(tmp_path):
    (tmp_path / "config.json").write_text('{"format": "minift 1", "model_type": "bert"}')
    assert not is_huggingface(tmp_path)
    save_folder(make(), tmp_path)
    assert is_huggingface(tmp_path)
    assert not is_huggingface(tmp_path / "nothing")
