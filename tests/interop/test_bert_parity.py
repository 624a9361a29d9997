"""BERT computes what the reference library computes, from its checkpoints and back into them.

Tolerances: 1e-5 for outputs (fp32, a few layers), 1e-4 for the gradients of a step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from minift.interop import load_folder, save_folder
from minift.interop.bert import BertFamily
from minift.models.bert import Bert, BertConfig

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.parity

VOCAB = 99
CONFIGS: dict[str, dict[str, Any]] = {
    "usual": {},
    "gelu_new, large eps": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3},
    "relu, padded vocabulary": {"hidden_act": "relu", "vocab_size": 128, "num_hidden_layers": 1},
    "one segment": {"type_vocab_size": 1, "num_attention_heads": 4, "intermediate_size": 40},
    "silu, many segments": {"hidden_act": "silu", "type_vocab_size": 5, "hidden_size": 48},
}
# Our head, their class, and what to call the tensors of their output.
HEADS: dict[str | None, tuple[str, tuple[str, ...]]] = {
    None: ("BertModel", ("last_hidden_state", "pooler_output")),
    "pretrain": ("BertForPreTraining", ("prediction_logits", "seq_relationship_logits")),
    "mlm": ("BertForMaskedLM", ("logits",)),
    "classify": ("BertForSequenceClassification", ("logits",)),
    "tag": ("BertForTokenClassification", ("logits",)),
    "span": ("BertForQuestionAnswering", ("start_logits", "end_logits")),
}


def reference(head: str | None, **settings: Any) -> Any:
    """A model of theirs in which every weight matters: no norm at 1, no bias at 0."""
    torch.manual_seed(0)
    small = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 24,
        "num_labels": 2 if head == "span" else 3,
    }
    config = transformers.BertConfig(**{**small, **settings})
    model = getattr(transformers, HEADS[head][0])(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def batch(config: Any) -> dict[str, Tensor]:
    """Three pairs of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(1, VOCAB, (3, 17), generator=generator)
    lengths = torch.tensor([17, 9, 4])[:, None]
    positions = torch.arange(17)
    second = min(1, config.type_vocab_size - 1)
    return {
        "input_ids": input_ids.where(positions < lengths, 0),
        "attention_mask": positions < lengths,
        "token_type_ids": second * ((positions >= lengths // 2) & (positions < lengths)),
    }


def tensors(output: Any) -> list[Tensor]:
    """Ours as a list: a tensor, a tuple of tensors, or the trunk's flow."""
    if isinstance(output, Tensor):
        return [output]
    if hasattr(output, "pooled"):
        return [output.hidden, output.pooled]
    return list(output)


def assert_same(ours: Any, theirs: Any, head: str | None, tolerance: float = 1e-5) -> None:
    expected = [theirs[name] for name in HEADS[head][1]]
    torch.testing.assert_close(tensors(ours), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_the_same_output(head, settings, tmp_path):
    theirs = reference(head, **settings)
    theirs.save_pretrained(tmp_path)

    ours, report = load_folder(tmp_path)

    assert ours.head_name == head
    # Their classes for words, tags and spans have no pooler: no task of theirs reads it.
    assert all("pooler" in name for name in report.missing), report.summary()
    assert report.unexpected == []
    inputs = batch(theirs.config)
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), head)
        assert_same(ours(inputs["input_ids"]), theirs(inputs["input_ids"]), head)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_every_layer_gives_the_same_output(settings, tmp_path):
    theirs = reference(None, **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch(theirs.config)

    with torch.no_grad():
        flows = ours.trunk.outputs(ours.prepare(**inputs))
        expected = theirs(**inputs, output_hidden_states=True).hidden_states

    found = [flow.hidden for name, flow in flows.items() if name != "pooler"]
    torch.testing.assert_close(found, list(expected), atol=1e-5, rtol=1e-5)


def labels_for(head: str | None, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What each head of theirs takes as labels; -100 is ignored."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    words = ids.where(mask & (ids % 3 == 0), -100)
    rows = torch.tensor([0, 1, 1])
    tags = (ids % 3).where(mask, -100)
    return {
        "pretrain": {"labels": words, "next_sentence_label": rows},
        "mlm": {"labels": words},
        "classify": {"labels": rows},
        "tag": {"labels": tags},
        "span": {"start_positions": rows, "end_positions": rows + 1},
    }[head]


def loss_of(output: Any, labels: dict[str, Tensor]) -> Tensor:
    """The same sum of cross-entropies from our output."""
    losses = [
        cross_entropy(logits.flatten(0, -2), target.flatten())
        for logits, target in zip(tensors(output), labels.values())
    ]
    return torch.stack(losses).mean() if "end_positions" in labels else torch.stack(losses).sum()


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", [head for head in HEADS if head])
def test_loss_and_gradients_of_a_step_are_the_same(head, settings, tmp_path):
    theirs = reference(head, **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch(theirs.config)
    labels = labels_for(head, inputs)

    expected = theirs(**inputs, **labels).loss
    expected.backward()
    loss = loss_of(ours(**inputs), labels)
    loss.backward()

    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    names = BertFamily().name_map(ours.config)
    gradients = BertFamily().unpack(gradients, names)
    compared = 0
    for name, parameter in ours.named_parameters():
        found = [gradients[n] for n in names.theirs(name) if n in gradients]
        if not found or found[0] is None:  # the pooler, under a head that does not read it
            assert "pooler" in name
            continue
        torch.testing.assert_close(parameter.grad, found[0], atol=1e-4, rtol=1e-4)
        compared += 1
    assert compared >= len(list(ours.parameters())) - 2


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", HEADS)
def test_an_export_opens_in_the_reference_library(head, settings, tmp_path):
    reference(head, **settings).save_pretrained(tmp_path / "theirs")
    ours, _ = load_folder(tmp_path / "theirs")
    save_folder(ours, tmp_path / "ours", classes=["a", "b", "c"] if ours.num_classes else None)

    theirs, info = getattr(transformers, HEADS[head][0]).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )

    assert not info["missing_keys"]
    assert all("pooler" in name for name in info["unexpected_keys"])
    assert not info["mismatched_keys"]
    inputs = batch(theirs.config)
    with torch.no_grad():
        assert_same(ours(**inputs), theirs.eval()(**inputs), head)
    if ours.num_classes:
        assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize(
    ("head", "auto"),
    [
        (None, "AutoModel"),
        ("pretrain", "AutoModelForPreTraining"),
        ("mlm", "AutoModelForMaskedLM"),
        ("classify", "AutoModelForSequenceClassification"),
        ("tag", "AutoModelForTokenClassification"),
        ("span", "AutoModelForQuestionAnswering"),
    ],
)
def test_a_model_of_ours_opens_by_the_auto_classes(head, auto, tmp_path):
    torch.manual_seed(0)
    config = BertConfig(VOCAB, 32, 2, 2, 64, 24, norm_eps=1e-5, pad_id=0)
    ours = Bert(config, head, 3 if head in ("classify", "tag") else None).eval()
    save_folder(ours, tmp_path)

    theirs = getattr(transformers, auto).from_pretrained(tmp_path).eval()

    inputs = batch(theirs.config)
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), head)


@pytest.mark.parametrize("head", HEADS)
def test_older_files_are_read_as_well(head, tmp_path):
    theirs = reference(head)
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): value
        for name, value in theirs.state_dict().items()
    }
    state["bert.embeddings.position_ids"] = torch.arange(24)[None]
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    theirs.config.architectures = [HEADS[head][0]]
    theirs.config.save_pretrained(tmp_path)

    ours, report = load_folder(tmp_path)

    assert report.unexpected == ["bert.embeddings.position_ids"]
    inputs = batch(theirs.config)
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), head)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_a_trunk_is_read_with_and_without_its_prefix(prefix, tmp_path):
    theirs = reference(None)
    state = {prefix + name: value for name, value in theirs.state_dict().items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    theirs.config.save_pretrained(tmp_path)

    ours, report = load_folder(tmp_path, head="classify", num_classes=2)

    assert report.missing == ["head.classifier.weight", "head.classifier.bias"]
    inputs = batch(theirs.config)
    with torch.no_grad():
        flow = ours.trunk(ours.prepare(**inputs))
        assert_same(flow, theirs(**inputs), None)


def test_shards_are_read(tmp_path):
    theirs = reference("pretrain")
    theirs.save_pretrained(tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1

    ours, report = load_folder(tmp_path)

    assert (report.missing, report.unexpected) == ([], [])
    inputs = batch(theirs.config)
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), "pretrain")


def test_half_precision_is_read_as_full(tmp_path):
    theirs = reference("mlm")
    theirs.half().save_pretrained(tmp_path)

    ours, _ = load_folder(tmp_path)

    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    inputs = batch(theirs.config)
    with torch.no_grad():
        assert_same(ours(**inputs), theirs.float()(**inputs), "mlm")


def test_what_is_written_again_is_the_same_file(tmp_path):
    reference("pretrain").save_pretrained(tmp_path / "theirs")
    ours, _ = load_folder(tmp_path / "theirs")
    save_folder(ours, tmp_path / "ours")

    safetensors = pytest.importorskip("safetensors.torch")
    first = safetensors.load_file(tmp_path / "theirs" / "model.safetensors")
    second = safetensors.load_file(tmp_path / "ours" / "model.safetensors")

    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    settings = [settings_of(tmp_path / side) for side in ("theirs", "ours")]
    assert {name: settings[0][name] for name in BertFamily.fields} == {
        name: settings[1][name] for name in BertFamily.fields
    }


def settings_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())
