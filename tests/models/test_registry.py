"""Models by name, and what is said to a name, a field or a head that does not exist."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from minift.models.registry import (
    CONFIGS,
    FAMILIES,
    PRESETS,
    build_with_weights,
    checked_fields,
    create_model,
    list_models,
)


def test_every_family_has_a_name_in_the_list():
    assert {"resnet8", "resnet50", "word2vec", "bert-micro", "bert-base"} < set(list_models())
    assert {PRESETS[name][0] for name in list_models()} == set(FAMILIES) == set(CONFIGS)
    assert all(isinstance(config, CONFIGS[family]) for family, config in PRESETS.values())


@pytest.mark.parametrize("name", ["resnet8", "word2vec", "bert-micro", "gpt-micro", "t5-micro"])
def test_a_model_is_made_by_its_name(name):
    torch.manual_seed(0)

    model = create_model(name, head="classify", num_classes=3)

    family, config = PRESETS[name]
    assert type(model) is FAMILIES[family]
    assert model.config == config
    assert (model.head_name, model.num_classes) == ("classify", 3)


def test_fields_of_the_configuration_can_differ_from_the_preset():
    model = create_model("bert-micro", head=None, vocab_size=50, num_layers=1, hidden_size=64)

    assert (model.config.vocab_size, model.config.num_layers) == (50, 1)
    assert model.config.num_heads == PRESETS["bert-micro"][1].num_heads
    assert list(model.trunk.stages) == ["embedding", "block0", "pooler"]
    assert model.trunk.stages["embedding"].tokens.weight.shape == (50, 64)


def test_no_head_is_the_trunk_alone():
    model = create_model("gpt-micro", head=None)

    assert model.head_name is None
    assert not list(model.head.parameters())


def test_the_nearest_names_are_told():
    with pytest.raises(ValueError, match=r"model 'bert-mico' is unknown; the nearest are bert-mic"):
        create_model("bert-mico")


def test_all_names_are_told_where_none_is_near():
    with pytest.raises(ValueError, match=r"model 'zzz' is unknown; there are resnet8, .*t5-micro"):
        create_model("zzz")


def test_an_unknown_field_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"bert has no .* field 'width'; it has \['vocab_size'"):
        create_model("bert-micro", num_classes=2, width=3)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("bert-micro", {"hidden_size": 0}, "hidden_size must be a valid int, got 0"),
        ("gpt-micro", {"num_layers": -1}, "num_layers must be a valid int, got -1"),
        ("t5-micro", {"num_heads": "4"}, "num_heads must be a valid int, got '4'"),
        ("t5-micro", {"num_decoder_layers": 1.5}, r"must be a valid int \| None, got 1.5"),
        ("t5-micro", {"max_distance": 16}, "below twice max_distance, got 32 and 16"),
        ("word2vec", {"hidden_size": True}, "hidden_size must be a valid int, got True"),
        ("resnet8", {"width": None}, "width must be a valid int, got None"),
    ],
)
def test_a_value_that_nothing_can_have_is_refused(name, config, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, head=None, **config)


def test_all_presets_have_values_that_are_possible():
    for family, config in PRESETS.values():
        assert checked_fields(family, asdict(config)) == asdict(config)


def test_classes_have_to_be_given():
    with pytest.raises(ValueError, match="num_classes must be at least 1 for this head, got None"):
        create_model("bert-micro")


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match=r"head must be one of \['classify', 'lm', 'span'\]"):
        create_model("gpt-micro", head="mlm")


def test_weights_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="pretrained must be False for 'bert-micro': no weights"):
        create_model("bert-micro", num_classes=2, pretrained=True)


def small_bert(head: str = "mlm"):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_heads": 2, "num_layers": 1, "intermediate_size": 16}
    return create_model("bert-micro", head=head, vocab_size=40, **sizes)


def test_a_model_takes_its_weights_without_a_copy():
    values = small_bert().state_dict()

    model = build_with_weights("bert", small_bert().config, "mlm", None, values)

    name = "trunk.stages.block0.attention.sublayer.query.weight"
    assert model.state_dict()[name].data_ptr() == values[name].data_ptr()
    assert model.head.decoder.weight is model.trunk.stages["embedding"].tokens.weight
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())


def test_weights_of_half_precision_become_fp32():
    values = {name: value.half() for name, value in small_bert().state_dict().items()}

    model = build_with_weights("bert", small_bert().config, "mlm", None, values)

    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_a_stage_that_is_not_whole_draws_what_it_lacks():
    values = small_bert().state_dict()
    del values["trunk.stages.pooler.dense.weight"]
    values["trunk.stages.pooler.dense.bias"] += 1

    model = build_with_weights("bert", small_bert().config, "classify", 3, values)

    pooler = model.trunk.stages["pooler"].dense
    assert 0 < pooler.weight.std() < 0.1
    assert torch.equal(pooler.bias, torch.ones(16))
    assert model.head.classifier.weight.shape == (3, 16)


@pytest.mark.parametrize(("name", "field"), [("bert-micro", "pad_id"), ("t5-micro", "start_id")])
def test_an_id_beyond_the_vocabulary_is_refused(name, field):
    with pytest.raises(ValueError, match=rf"{field} must be in 0\.\.2047, got 5000"):
        create_model(name, head=None, **{field: 5000})


def test_a_model_without_a_head_has_no_classes():
    with pytest.raises(ValueError, match="num_classes must be None without a head, got 3"):
        create_model("resnet8", head=None, num_classes=3)
