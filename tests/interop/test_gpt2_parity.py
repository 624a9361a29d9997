"""GPT-2 computes what the reference library computes, from its checkpoints and back into them.

Tolerances: 1e-5 for outputs (fp32, a few layers), 1e-4 for the gradients of a step.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from minift.interop import load_folder, save_folder
from minift.interop.gpt2 import GPT2Family
from minift.models.gpt import GPT, GPTConfig

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.parity

VOCAB = 97
PAD = 0
CONFIGS: dict[str, dict[str, Any]] = {
    "usual": {},
    "n_inner, large eps": {"n_inner": 40, "layer_norm_epsilon": 1e-3},
    "gelu, padded vocabulary": {"activation_function": "gelu", "vocab_size": 128, "n_layer": 1},
    "relu, four heads": {"activation_function": "relu", "n_head": 4, "n_embd": 48, "n_layer": 4},
}
HEADS: dict[str | None, tuple[str, str]] = {
    None: ("GPT2Model", "last_hidden_state"),
    "lm": ("GPT2LMHeadModel", "logits"),
    "classify": ("GPT2ForSequenceClassification", "logits"),
}


def reference(head: str | None, **settings: Any) -> Any:
    """A model of theirs in which every weight matters: no norm at 1, no bias at 0."""
    torch.manual_seed(0)
    small = {
        "vocab_size": VOCAB,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 40,
        "num_labels": 3,
        "pad_token_id": PAD,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    config = transformers.GPT2Config(**{**small, **settings})
    model = getattr(transformers, HEADS[head][0])(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def batch(padding_side: str = "right") -> dict[str, Tensor]:
    """Three texts of different lengths; no real token is the padding."""
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(2, VOCAB, (3, 17), generator=generator)
    mask = torch.arange(17) < torch.tensor([17, 9, 4])[:, None]
    if padding_side == "left":
        mask = mask.flip(1)
    return {"input_ids": input_ids.where(mask, PAD), "attention_mask": mask}


def theirs_of(model: Any, inputs: dict[str, Tensor], **options: Any) -> Any:
    """Their call, with positions that count real tokens, as their `generate` makes them."""
    position_ids = (inputs["attention_mask"].long().cumsum(1) - 1).clamp(min=0)
    return model(**inputs, position_ids=position_ids, **options)


def compared(ours: Any, theirs: Any, head: str | None, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides' tensors, at real positions where there are positions."""
    found = ours.hidden if head is None else ours
    expected = theirs[HEADS[head][1]]
    return (found, expected) if head == "classify" else (found[mask], expected[mask])


def assert_same(ours: Any, theirs: Any, head: str | None, mask: Tensor) -> None:
    torch.testing.assert_close(*compared(ours, theirs, head, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding_side", ["right", "left"])
@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_the_same_output(head, settings, padding_side, tmp_path):
    theirs = reference(head, **settings)
    theirs.save_pretrained(tmp_path)

    ours, report = load_folder(tmp_path)

    assert ours.head_name == head
    assert (report.missing, report.unexpected) == ([], [])
    inputs = batch(padding_side)
    mask = inputs["attention_mask"]
    with torch.no_grad():
        assert_same(ours(**inputs), theirs_of(theirs, inputs), head, mask)
        one = inputs["input_ids"][:1, -5:]
        assert_same(ours(one), theirs(one), head, torch.ones(1, 5, dtype=torch.bool))


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_every_layer_gives_the_same_output(settings, tmp_path):
    theirs = reference(None, **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch()
    mask = inputs["attention_mask"]

    with torch.no_grad():
        flows = ours.trunk.outputs(ours.prepare(**inputs))
        expected = theirs_of(theirs, inputs, output_hidden_states=True).hidden_states

    assert len(flows) == len(expected)
    for flow, hidden in zip(flows.values(), expected):
        torch.testing.assert_close(flow.hidden[mask], hidden[mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", ["lm", "classify"])
def test_loss_and_gradients_of_a_step_are_the_same(head, settings, tmp_path):
    theirs = reference(head, **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    labels = ids.where(mask, -100) if head == "lm" else torch.tensor([0, 1, 2])

    expected = theirs(**inputs, labels=labels).loss
    expected.backward()
    logits = ours(**inputs)
    if head == "lm":
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    else:
        loss = cross_entropy(logits, labels)
    loss.backward()

    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    names = GPT2Family().name_map(ours.config)
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    gradients = GPT2Family().unpack(gradients, names)
    for name, parameter in ours.named_parameters():
        expected_grad = gradients[names.theirs(name)[0]]
        torch.testing.assert_close(parameter.grad, expected_grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_generation_gives_the_same_tokens(settings, use_cache, tmp_path):
    theirs = reference("lm", **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch("left")

    found = ours.generate(
        **inputs, max_new_tokens=20, temperature=0, eos_id=None, use_cache=use_cache
    )
    expected = theirs.generate(
        **inputs, max_new_tokens=20, do_sample=False, eos_token_id=None, pad_token_id=PAD
    )

    assert torch.equal(found, expected)


def test_generation_stops_at_the_same_end(tmp_path):
    theirs = reference("lm")
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch("left")
    # An end that comes up: the third token of the first row.
    free = theirs.generate(**inputs, max_new_tokens=20, do_sample=False, eos_token_id=None)
    end = int(free[0, 17 + 2])

    found = ours.generate(**inputs, max_new_tokens=20, temperature=0, eos_id=end)
    expected = theirs.generate(
        **inputs, max_new_tokens=20, do_sample=False, eos_token_id=end, pad_token_id=end
    )

    assert torch.equal(found, expected)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", HEADS)
def test_an_export_opens_in_the_reference_library(head, settings, tmp_path):
    reference(head, **settings).save_pretrained(tmp_path / "theirs")
    ours, _ = load_folder(tmp_path / "theirs")
    save_folder(ours, tmp_path / "ours", token_ids={"pad_token_id": PAD})

    theirs, info = getattr(transformers, HEADS[head][0]).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )

    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    inputs = batch()
    with torch.no_grad():
        assert_same(ours(**inputs), theirs.eval()(**inputs), head, inputs["attention_mask"])


@pytest.mark.parametrize(
    ("head", "auto"),
    [
        (None, "AutoModel"),
        ("lm", "AutoModelForCausalLM"),
        ("classify", "AutoModelForSequenceClassification"),
    ],
)
def test_a_model_of_ours_opens_by_the_auto_classes(head, auto, tmp_path):
    torch.manual_seed(0)
    config = GPTConfig(VOCAB, 32, 2, 2, 72, 24, activation="gelu")
    ours = GPT(config, head, 3 if head == "classify" else None).eval()
    save_folder(ours, tmp_path, token_ids={"pad_token_id": PAD})

    theirs = getattr(transformers, auto).from_pretrained(tmp_path).eval()

    inputs = batch()
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), head, inputs["attention_mask"])


def test_the_published_file_is_read(tmp_path):
    """Its names have no prefix, and it holds the causal masks as well."""
    theirs = reference("lm")
    state = {
        name.removeprefix("transformer."): value
        for name, value in theirs.state_dict().items()
        if name != "lm_head.weight"
    }
    state["h.0.attn.bias"] = torch.ones(1, 1, 40, 40).tril()
    torch.save(state, tmp_path / "pytorch_model.bin")
    theirs.config.architectures = ["GPT2LMHeadModel"]
    theirs.config.save_pretrained(tmp_path)

    ours, report = load_folder(tmp_path)

    assert (report.missing, report.unexpected) == ([], ["h.0.attn.bias"])
    inputs = batch()
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), "lm", inputs["attention_mask"])


def test_what_is_written_again_is_the_same_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    reference("lm").save_pretrained(tmp_path / "theirs")
    ours, _ = load_folder(tmp_path / "theirs")
    save_folder(ours, tmp_path / "ours")

    first = safetensors.load_file(tmp_path / "theirs" / "model.safetensors")
    second = safetensors.load_file(tmp_path / "ours" / "model.safetensors")

    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
