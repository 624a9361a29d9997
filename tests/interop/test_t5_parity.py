"""T5 computes what the reference library computes, from its checkpoints and back into them.

Tolerances: 1e-5 for outputs (fp32, a few layers), 1e-4 for the gradients of a step.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from minift.interop import load_folder, save_folder
from minift.interop.t5 import T5Family
from minift.models.t5 import T5, T5Config

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.parity

VOCAB = 96
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
CONFIGS: dict[str, dict[str, Any]] = {
    "v1.0": {},
    "v1.0, wide heads": {"d_kv": 24, "num_heads": 3, "layer_norm_epsilon": 1e-3, "d_ff": 40},
    "v1.0, few buckets": {
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 9,
    },
    "v1.1, untied": {**GATED, "is_untied": True},
    "v1.1, uneven": {**GATED, "is_untied": True, "num_decoder_layers": 1, "num_layers": 3},
    "v1.1, tied": GATED,
    "gated silu, padded vocabulary": {"feed_forward_proj": "gated-silu", "vocab_size": 128},
}
HEADS: dict[str | None, tuple[str, str]] = {
    None: ("T5Model", "last_hidden_state"),
    "lm": ("T5ForConditionalGeneration", "logits"),
}


def reference(head: str | None, *, is_untied: bool = False, **settings: Any) -> Any:
    """A model of theirs in which every weight matters; is_untied: an output matrix of its own."""
    torch.manual_seed(0)
    small = {
        "vocab_size": VOCAB,
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    }
    config = transformers.T5Config(**{**small, **settings})
    model = getattr(transformers, HEADS[head][0])(config).eval()
    if is_untied and head == "lm":
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight) * 0.2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def batch() -> dict[str, Tensor]:
    """Three texts of different lengths, padded, and what the decoder has so far."""
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(2, VOCAB, (3, 23), generator=generator)
    mask = torch.arange(23) < torch.tensor([23, 9, 4])[:, None]
    decoder_input_ids = torch.randint(2, VOCAB, (3, 13), generator=generator)
    decoder_input_ids[:, 0] = 0
    return {
        "input_ids": input_ids.where(mask, 0),
        "attention_mask": mask,
        "decoder_input_ids": decoder_input_ids,
    }


def assert_same(ours: Any, theirs: Any, head: str | None) -> None:
    """To 1e-5 of the largest number: in a sum of such, a small one is as inexact as they."""
    found = ours.hidden if head is None else ours
    expected = theirs[HEADS[head][1]]
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_the_same_output(head, settings, tmp_path):
    theirs = reference(head, **settings)
    theirs.save_pretrained(tmp_path)

    ours, report = load_folder(tmp_path)

    assert ours.head_name == head
    assert (report.missing, report.unexpected) == ([], [])
    assert ours.config.is_tied is not (head == "lm" and "is_untied" in settings)
    inputs = batch()
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), head)
        inputs["attention_mask"] = None
        assert_same(ours(**inputs), theirs(**inputs), head)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_every_layer_gives_the_same_output(settings, tmp_path):
    theirs = reference("lm", **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch()

    with torch.no_grad():
        flows = ours.trunk.outputs(ours.prepare(**inputs))
        expected = theirs(**inputs, output_hidden_states=True)

    L = ours.config.num_layers
    found = list(flows.values())
    encoder = [flow.memory for flow in found[: L + 1]]
    decoder = [flow.hidden for flow in found[L:]]
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(encoder, list(expected.encoder_hidden_states), **close)
    torch.testing.assert_close(decoder, list(expected.decoder_hidden_states), **close)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_loss_and_gradients_of_a_step_are_the_same(settings, tmp_path):
    theirs = reference("lm", **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch()
    labels = inputs.pop("decoder_input_ids")
    labels[0, 5:] = -100
    shifted = torch.cat([torch.zeros(3, 1, dtype=torch.int64), labels[:, :-1]], dim=1).clamp(min=0)

    expected = theirs(**inputs, labels=labels).loss
    expected.backward()
    logits = ours(**inputs, decoder_input_ids=shifted)
    loss = cross_entropy(logits.flatten(0, 1), labels.flatten())
    loss.backward()

    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    names = T5Family().name_map(ours.config)
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        expected_grad = gradients[names.theirs(name)[0]]
        torch.testing.assert_close(parameter.grad, expected_grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_generation_gives_the_same_tokens(settings, use_cache, tmp_path):
    theirs = reference("lm", **settings)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch()
    del inputs["decoder_input_ids"]

    found = ours.generate(**inputs, max_new_tokens=30, temperature=0, use_cache=use_cache)
    # Their default ends rows at </s>; here all go on.
    theirs.generation_config.eos_token_id = None
    expected = theirs.generate(**inputs, max_new_tokens=30, do_sample=False)

    assert torch.equal(found, expected[:, 1:])  # theirs keeps the start token


def test_generation_stops_at_the_same_end(tmp_path):
    theirs = reference("lm")
    theirs.save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    inputs = batch()
    del inputs["decoder_input_ids"]
    end = int(ours.generate(**inputs, max_new_tokens=8, temperature=0)[0, 2])

    found = ours.generate(**inputs, max_new_tokens=20, temperature=0, eos_id=end)
    expected = theirs.generate(
        **inputs, max_new_tokens=20, do_sample=False, eos_token_id=end, pad_token_id=end
    )[:, 1:]

    assert torch.equal(found, expected)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", HEADS)
def test_an_export_opens_in_the_reference_library(head, settings, tmp_path):
    reference(head, **settings).save_pretrained(tmp_path / "theirs")
    ours, _ = load_folder(tmp_path / "theirs")
    save_folder(ours, tmp_path / "ours")

    theirs, info = getattr(transformers, HEADS[head][0]).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )

    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    inputs = batch()
    with torch.no_grad():
        assert_same(ours(**inputs), theirs.eval()(**inputs), head)


@pytest.mark.parametrize(
    ("activation", "is_gated"),
    [(act, gated) for act in ("relu", "gelu", "gelu_new", "silu") for gated in (False, True)],
)
@pytest.mark.parametrize(
    ("is_tied", "is_output_scaled"), [(True, None), (False, None), (True, False), (False, True)]
)
def test_a_model_of_ours_opens_by_the_auto_class(
    activation, is_gated, is_tied, is_output_scaled, tmp_path
):
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCAB,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        intermediate_size=48,
        activation=activation,
        is_gated=is_gated,
        is_tied=is_tied,
        is_output_scaled=is_output_scaled,
    )
    ours = T5(config, "lm").eval()
    save_folder(ours, tmp_path)

    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    again, _ = load_folder(tmp_path)

    inputs = batch()
    with torch.no_grad():
        logits = ours(**inputs)
        assert_same(logits, theirs(**inputs), "lm")
        assert torch.equal(logits, again(**inputs))


def test_the_published_files_are_read(tmp_path):
    """They repeat the embedding, and the decoder's attention to the encoder has a bias in them
    that nothing reads. v1.1 says by `tie_word_embeddings` that its output is not scaled."""
    theirs = reference("lm", **CONFIGS["v1.1, untied"])
    state = dict(theirs.state_dict())
    unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    state[unused] = torch.zeros(32, 2)
    torch.save(state, tmp_path / "pytorch_model.bin")
    settings = json.loads(theirs.config.to_json_string())
    del settings["scale_decoder_outputs"]
    settings |= {"tie_word_embeddings": False, "architectures": ["T5ForConditionalGeneration"]}
    (tmp_path / "config.json").write_text(json.dumps(settings))

    ours, report = load_folder(tmp_path)

    assert (report.missing, report.unexpected) == ([], [unused])
    inputs = batch()
    with torch.no_grad():
        assert_same(ours(**inputs), theirs(**inputs), "lm")
