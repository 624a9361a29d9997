"""The laws that hold for every trunk. A sixth model is covered by adding a row to `ROWS`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.checkpoint import load, save
from minift.models.bert import Bert, BertConfig
from minift.models.gpt import GPT, GPTConfig
from minift.models.resnet import ResNet, ResNetConfig
from minift.models.t5 import T5, T5Config
from minift.models.word2vec import Word2Vec, Word2VecConfig
from minift.stages import Model, trim_flow
from minift.transfer import cache_trunk, copy_matching, param_groups, reinit_top

N, T, V = 6, 8, 40
TEXT: dict[str, int] = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_size": 32,
    "max_positions": T,
}


def pictures() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"images": torch.randint(0, 256, (N, 3, 8, 8), generator=generator).byte()}


def texts() -> dict[str, Tensor]:
    """Texts of different lengths, padded on the right."""
    lengths = torch.tensor([[8], [5], [1], [7], [8], [3]])
    ids = torch.randint(1, V, (N, T), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(T) < lengths
    return {"input_ids": ids * mask, "attention_mask": mask}


def pairs() -> dict[str, Tensor]:
    return {**texts(), "token_type_ids": (torch.arange(T) > 3).long().expand(N, T)}


def texts_to_texts() -> dict[str, Tensor]:
    ids = torch.randint(1, V, (N, 5), generator=torch.Generator().manual_seed(1))
    return {**texts(), "decoder_input_ids": ids}


@dataclass(frozen=True)
class Row:
    make: Callable[..., Model]  # (head, num_classes) -> model
    inputs: Callable[[], dict[str, Tensor]]
    pretrain_head: str | None  # the head that pretraining uses, where it is not "classify"


ROWS = {
    "resnet": Row(
        lambda *head: ResNet(ResNetConfig((1, 1), width=8), *head), pictures, pretrain_head=None
    ),
    "word2vec": Row(
        lambda *head: Word2Vec(Word2VecConfig(vocab_size=V, hidden_size=16), *head),
        texts,
        pretrain_head="pretrain",
    ),
    "bert": Row(lambda *head: Bert(BertConfig(**TEXT), *head), pairs, pretrain_head="pretrain"),
    "gpt": Row(lambda *head: GPT(GPTConfig(**TEXT), *head), texts, pretrain_head="lm"),
    "t5": Row(lambda *head: T5(T5Config(**TEXT), *head), texts_to_texts, pretrain_head="lm"),
}
EVERY_MODEL = pytest.mark.parametrize("family", ROWS)
EVERY_TEXT_MODEL = pytest.mark.parametrize("family", [f for f in ROWS if f != "resnet"])


def make(family: str, *, seed: int = 0, pretraining: bool = False) -> Model:
    """A model with a head for three classes, or with its pretraining head if it has another."""
    torch.manual_seed(seed)
    head = ROWS[family].pretrain_head
    return (
        ROWS[family].make(head, None) if pretraining and head else ROWS[family].make("classify", 3)
    )


def labels() -> Tensor:
    return torch.arange(N) % 3


def cuts(model: Model) -> range:
    return range(len(model.trunk) + 1)


def tensors(output: Any) -> Iterator[Tensor]:
    """All tensors of a tensor, or of a flow."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple):
        for part in output:
            yield from tensors(part)


def assert_same(output: Any, expected: Any) -> None:
    pairs_of_parts = list(zip(tensors(output), tensors(expected), strict=True))
    assert pairs_of_parts
    for part, wanted in pairs_of_parts:
        assert torch.equal(part, wanted)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def assert_states_equal(state: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert state.keys() == other.keys()
    assert [name for name in state if not torch.equal(state[name], other[name])] == []


@EVERY_MODEL
def test_a_prefix_and_then_the_rest_equals_the_whole(family):
    model, inputs = make(family).eval(), ROWS[family].inputs()
    whole, features = model(**inputs), model.trunk(model.prepare(**inputs))

    for k in cuts(model):
        below = model.trunk(model.prepare(**inputs), stop=k)
        assert_same(model.trunk(below, start=k), features)
        # Up to rounding: where only a few positions are read, the products may be smaller.
        torch.testing.assert_close(model.forward_from(below, start=k), whole)


@EVERY_MODEL
def test_frozen_means_no_gradient_and_eval_also_after_train(family):
    model = make(family)

    for k in cuts(model):
        model.trunk.num_frozen = k
        model.train()
        for index, stage in enumerate(model.trunk.stages.values()):
            assert all(p.requires_grad == (index >= k) for p in stage.parameters())
            assert all(module.training == (index >= k) for module in stage.modules())
        assert all(p.requires_grad for _, p in model.head_parameters())


@EVERY_MODEL
def test_frozen_features_do_not_change_from_call_to_call(family):
    model, inputs = make(family), ROWS[family].inputs()
    model.trunk.num_frozen = len(model.trunk)
    model.train()

    features = model.trunk(model.prepare(**inputs))

    assert_same(model.trunk(model.prepare(**inputs)), features)


@EVERY_MODEL
@pytest.mark.parametrize("pretraining", [False, True])
def test_every_parameter_belongs_to_one_stage_or_to_the_head(family, pretraining):
    model = make(family, pretraining=pretraining)

    owned = [id(p) for stage in model.trunk.stages.values() for p in stage.parameters()]
    owned += [id(p) for _, p in model.head_parameters()]

    assert len(owned) == len(set(owned))
    assert set(owned) == {id(parameter) for parameter in model.parameters()}


@EVERY_MODEL
def test_a_tied_output_matrix_is_frozen_with_the_bottom_stage(family):
    model = make(family, pretraining=True)
    bottom = {id(p) for p in model.trunk.stages[next(iter(model.trunk.stages))].parameters()}
    tied = [p for p in model.head.parameters() if id(p) in bottom]

    model.trunk.num_frozen = 1

    assert len(tied) == (1 if family in ("bert", "gpt", "t5") else 0)
    assert not any(parameter.requires_grad for parameter in tied)


@EVERY_MODEL
def test_reinit_top_touches_only_the_top(family):
    for k in cuts(make(family)):
        model = make(family)
        before = {name: state(stage) for name, stage in model.trunk.stages.items()}
        head = state(model.head)

        top = reinit_top(model, k, seed=1)

        assert top == list(model.trunk.stages)[len(model.trunk) - k :]
        assert_states_equal(state(model.head), head)
        for name, stage in model.trunk.stages.items():
            if name not in top:
                assert_states_equal(state(stage), before[name])
            else:  # every matrix is new; norms and biases start at 1 and 0 again
                after = state(stage)
                drawn = [key for key in after if after[key].ndim >= 2]
                assert not any(torch.equal(after[key], before[name][key]) for key in drawn)


@EVERY_MODEL
@pytest.mark.parametrize("pretraining", [False, True])
def test_param_groups_partition_what_trains(family, pretraining):
    for k in cuts(make(family)):
        model = make(family, pretraining=pretraining)
        model.trunk.num_frozen = k
        trainable = {id(p) for p in model.parameters() if p.requires_grad}
        if not trainable:  # a tied head alone has nothing to learn
            with pytest.raises(ValueError, match="must have something to train"):
                param_groups(model, lr=1e-3)
            continue

        grouped = [id(p) for group in param_groups(model, lr=1e-3) for p in group["params"]]

        assert len(grouped) == len(set(grouped))
        assert set(grouped) == trainable


def train_step(model: Model, flow: Any, start: int, rows: Tensor, seed: int) -> None:
    """A step of plain gradient descent, dropout seeded."""
    torch.manual_seed(seed)
    loss = F.cross_entropy(model.forward_from(flow, start=start), labels()[rows])
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad


@EVERY_MODEL
def test_a_training_step_leaves_what_is_frozen_and_moves_the_rest(family):
    inputs = ROWS[family].inputs()
    for k in cuts(make(family)):
        model = make(family).train()
        model.trunk.num_frozen = k
        before = {name: state(stage) for name, stage in model.trunk.stages.items()}

        train_step(model, model.prepare(**inputs), 0, torch.arange(N), seed=0)

        for index, (name, stage) in enumerate(model.trunk.stages.items()):
            if index < k:
                assert_states_equal(state(stage), before[name])  # BatchNorm's statistics as well
            else:
                after = state(stage)
                moved = [key for key in after if not torch.equal(after[key], before[name][key])]
                assert moved or not after


@EVERY_MODEL
def test_training_above_cached_stages_equals_training_with_them(family):
    inputs = ROWS[family].inputs()
    for k in cuts(make(family))[1:]:
        plain = make(family).train()
        plain.trunk.num_frozen = k
        above = copy.deepcopy(plain)
        cached = cache_trunk(above, {**inputs, "labels": labels()}, batch_size=4)

        for step, rows in enumerate(torch.tensor([[0, 1, 2, 3], [5, 4, 1, 0], [2, 3, 4, 5]])):
            batch = cached.take(rows)
            assert torch.equal(batch["labels"], labels()[rows])
            train_step(above, batch["flow"], cached.start, rows, seed=step)
            flow = plain.prepare(**{name: value[rows] for name, value in inputs.items()})
            train_step(plain, flow, 0, rows, seed=step)

        # Kernels add up in another order for other batch sizes: the last bits may differ.
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(above.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@EVERY_MODEL
@pytest.mark.parametrize("pretraining", [False, True])
def test_a_saved_model_comes_back_the_same(family, pretraining, tmp_path):
    model, inputs = make(family, pretraining=pretraining), ROWS[family].inputs()
    model.train()(**inputs)  # so that running statistics are not where they started
    torch.nn.init.normal_(next(model.head.parameters()))

    save(model, tmp_path)
    loaded = load(tmp_path)

    assert loaded.config == model.config
    assert (loaded.head_name, loaded.num_classes) == (model.head_name, model.num_classes)
    assert not loaded.training
    assert_states_equal(state(loaded), state(model))
    assert_same(loaded(**inputs), model.eval()(**inputs))


@EVERY_MODEL
@pytest.mark.parametrize("pretraining", [False, True])
def test_the_seed_decides_the_initial_weights(family, pretraining):
    first = make(family, pretraining=pretraining)

    assert_states_equal(state(make(family, pretraining=pretraining)), state(first))
    other = state(make(family, seed=1, pretraining=pretraining))
    matrices = [name for name, value in first.trunk.state_dict().items() if value.ndim >= 2]
    assert not any(torch.equal(other[f"trunk.{n}"], first.trunk.state_dict()[n]) for n in matrices)


@EVERY_MODEL
def test_a_model_of_the_same_config_gives_all_its_weights(family):
    source, target = make(family, seed=1), make(family, seed=2)

    report = copy_matching(target, source.state_dict())

    assert report.copied == list(target.state_dict())
    assert not report.missing
    assert not report.unexpected
    assert not report.mismatched
    assert_states_equal(state(target), state(source))


@EVERY_MODEL
@pytest.mark.parametrize("pretraining", [False, True])
def test_bf16_gives_nearly_the_same_and_finite_gradients(family, pretraining):
    model, inputs = make(family, pretraining=pretraining).eval(), ROWS[family].inputs()
    exact = list(tensors(model(**inputs)))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = list(tensors(model(**inputs)))
        with torch.no_grad():
            judged = list(tensors(model(**inputs)))

    sum(part.float().square().sum() for part in rough).backward()
    for part, same, wanted in zip(rough, judged, exact, strict=True):
        torch.testing.assert_close(part.float(), wanted, rtol=0.05, atol=0.05)
        torch.testing.assert_close(same.float(), wanted, rtol=0.05, atol=0.05)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@EVERY_TEXT_MODEL
@pytest.mark.parametrize("pretraining", [False, True])
def test_a_mask_of_zeros_and_ones_is_a_mask(family, pretraining):
    model, inputs = make(family, pretraining=pretraining).eval(), ROWS[family].inputs()
    numbers = {**inputs, "attention_mask": inputs["attention_mask"].long()}

    assert_same(model(**numbers), model(**inputs))


@EVERY_TEXT_MODEL
@pytest.mark.parametrize("is_bf16", [False, True])
def test_an_input_of_padding_only_does_no_harm(family, is_bf16):
    model, inputs = make(family), ROWS[family].inputs()
    inputs["attention_mask"][2] = False

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
        logits = model(**inputs)
    F.cross_entropy(logits.float(), labels()).backward()

    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("family", ["bert", "gpt", "t5"])
def test_a_flow_without_its_padding_gives_the_same_at_every_cut(family):
    model, inputs = make(family).eval(), ROWS[family].inputs()
    inputs["attention_mask"] = torch.arange(T) < torch.tensor([[3], [2], [3], [1], [2], [3]])
    expected = model(**inputs)

    for k in range(1, len(model.trunk) + 1):
        flow = model.trunk(model.prepare(**inputs), stop=k)
        trimmed = trim_flow(flow)
        assert trimmed.attention_mask.shape[1] == 3
        logits = model.forward_from(trimmed, start=k)
        torch.testing.assert_close(logits, expected, atol=1e-6, rtol=1e-5)
