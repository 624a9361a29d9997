"""The weights are those that the layers mix by, and the heads named are the ones that do it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from minift.models.attention_maps import attention_maps, telling_heads
from minift.models.layers import Attention
from minift.models.registry import create_model
from minift.stages import Model

B, T = 2, 6
LAYERS = {
    "bert-micro": ["block0", "block1", "block2"],
    "gpt-micro": ["block0", "block1", "block2", "block3"],
    "t5-micro": ["encoder0", "encoder1", "decoder0", "decoder0, cross", "decoder1",
                 "decoder1, cross"],
}  # fmt: skip


def make(name: str) -> tuple[Model, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = create_model(name, head=None, vocab_size=20)
    attention_mask = torch.ones(B, T, dtype=torch.bool)
    attention_mask[1, 4:] = False
    inputs = {"input_ids": torch.randint(20, (B, T)), "attention_mask": attention_mask}
    if name.startswith("t5"):
        inputs["decoder_input_ids"] = torch.randint(20, (B, 3))
    return model, inputs


@pytest.mark.parametrize("name", LAYERS)
def test_what_a_query_reads_adds_up_to_one_and_nothing_of_it_is_padding(name: str) -> None:
    model, inputs = make(name)
    maps = attention_maps(model, **inputs)
    assert list(maps) == LAYERS[name]
    for layer, weights in maps.items():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        if weights.shape[-1] == T:  # not the decoder's own tokens
            real = weights[1, :, :4] if weights.shape[2] == T else weights[1]
            assert (real[..., 4:] == 0).all(), layer


@pytest.mark.parametrize("name", ["gpt-micro", "t5-micro"])
def test_no_later_token_is_read_where_that_is_hidden(name: str) -> None:
    model, inputs = make(name)
    maps = attention_maps(model, **{**inputs, "attention_mask": None})
    causal = [
        w for layer, w in maps.items() if not layer.startswith("enc") and "cross" not in layer
    ]
    assert causal
    assert all((weights.triu(1) == 0).all() for weights in causal)


@pytest.mark.parametrize("name", LAYERS)
def test_the_weights_are_those_by_which_the_layers_mix_their_values(name: str) -> None:
    model, inputs = make(name)
    model.eval()
    calls = []

    def keep(layer: nn.Module, args: tuple[Tensor, ...], options: object, output: Tensor) -> None:
        calls.append((layer, args, output))

    for part in model.trunk.modules():
        if isinstance(part, Attention):
            part.register_forward_hook(keep, with_kwargs=True)

    maps = attention_maps(model, **inputs)

    assert len(calls) == len(maps)
    for (layer, args, output), weights in zip(calls, maps.values()):
        _, value = layer.keys_and_values(args[-1])
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(layer.output(mixed), output, atol=1e-5, rtol=1e-4)


def test_looking_changes_neither_the_model_nor_its_mode() -> None:
    model, inputs = make("bert-micro")
    model.train()
    before = model(**inputs).hidden
    attention_maps(model, **inputs)
    assert model.training
    assert torch.equal(model(**inputs).hidden, before)
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_a_model_without_attention_has_no_maps() -> None:
    model = create_model("word2vec", head=None, vocab_size=20)
    assert attention_maps(model, torch.tensor([[5, 6]])) == {}


def test_heads_are_named_by_what_they_do_most() -> None:
    T, even = 8, torch.full((8, 8), 1 / 8)
    before = torch.eye(T).roll(-1, dims=1)
    before[0] = even[0]
    maps = {
        "low": torch.stack([even, before]),
        "high": torch.stack([torch.eye(T), even]),
        "of other length": torch.ones(2, 3, T),
    }
    heads = telling_heads(maps, list("abcdefgh"))
    assert [(head.name, head.habit) for head in heads] == [
        ("low, head 1", "the token before"),
        ("high, head 0", "the same word"),
    ]
    assert heads[0].share == pytest.approx(7 / 8)
    assert torch.equal(heads[0].weights, before)


def test_a_head_that_reads_all_tokens_alike_has_no_habit() -> None:
    assert telling_heads({"block0": torch.full((2, 8, 8), 1 / 8)}, list("abcdefgh")) == []
