"""Fine-tuning learns what was planted, in every way it offers, and the same way twice."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from minift.checkpoint import load, save
from minift.models.bert import Bert, BertConfig
from minift.models.gpt import GPT, GPTConfig
from minift.models.resnet import ResNet, ResNetConfig
from minift.models.t5 import T5, T5Config
from minift.models.word2vec import Word2Vec, Word2VecConfig
from minift.objectives.causal import shift_right
from minift.recipes.finetuning import FinetuneConfig, Finetuned, finetune, predict, score
from minift.stages import Model

V, T = 40, 8
SIZES = {"vocab_size": V, "hidden_size": 16, "num_layers": 2, "num_heads": 2}
SIZES |= {"intermediate_size": 32, "max_positions": T}
QUICK = FinetuneConfig(
    epochs=6, batch_size=16, lr=5e-3, precision="fp32", progress=False, num_frozen=0
)


def planted_texts(num_texts: int = 128, seed: int = 0) -> dict[str, Tensor]:
    """Random words, among them one that tells the class: 5 is class 0 and 6 is class 1."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, V, (num_texts, T), generator=generator)
    lengths = torch.randint(2, T + 1, (num_texts, 1), generator=generator)
    labels = torch.randint(0, 2, (num_texts,), generator=generator)
    place = (torch.rand(num_texts, generator=generator) * lengths[:, 0]).long()
    ids[torch.arange(num_texts), place] = 5 + labels
    mask = torch.arange(T) < lengths
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels}


def squares(num_pictures: int = 64) -> dict[str, Tensor]:
    """A bright square somewhere on a dark 16 x 16 picture, with its mask and its box."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (num_pictures, 3, 16, 16), generator=generator).byte()
    corners = torch.randint(0, 10, (num_pictures, 2), generator=generator)
    masks = torch.zeros(num_pictures, 16, 16, dtype=torch.int64)
    for picture, (x, y) in enumerate(corners.tolist()):
        masks[picture, y : y + 6, x : x + 6] = 1
    images += (masks[:, None] * 150).byte()
    boxes = torch.cat([corners, corners + 6], dim=1) / 16
    return {"images": images, "masks": masks, "boxes": boxes}


def make_bert(seed: int = 0, **changes: float) -> Bert:
    torch.manual_seed(seed)
    return Bert(BertConfig(**SIZES, **changes), "classify", 2)


def run(model: Model, train: dict[str, Tensor], **changes: object) -> Finetuned:
    validation = changes.pop("validation", None)
    return finetune(model, train, dataclasses.replace(QUICK, **changes), validation=validation)


def weights(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(model: Model, other: Model) -> None:
    theirs = other.state_dict()
    assert [n for n, value in model.state_dict().items() if not torch.equal(value, theirs[n])] == []


def test_a_planted_word_is_learnt():
    model = make_bert()
    before = score(model, planted_texts(seed=1), "fp32")["accuracy"]

    done = run(model, planted_texts(), epochs=10, validation=planted_texts(seed=1))

    assert before < 0.7
    assert done.scores["accuracy"] > 0.95
    assert done.history.records[-1]["loss"] < done.history.records[0]["loss"]
    assert done.history.steps_run == 10 * 8
    assert done.trainable == 1
    assert done.seconds >= done.history.seconds


def test_the_seed_decides_all():
    first, second, other = make_bert(), make_bert(), make_bert()

    run(first, planted_texts(), epochs=1, num_reinit=1)
    torch.rand(7)  # what others draw in between does not matter
    run(second, planted_texts(), epochs=1, num_reinit=1)
    run(other, planted_texts(), epochs=1, num_reinit=1, seed=1)

    assert_equal(first, second)
    assert not torch.equal(first.head.classifier.weight, other.head.classifier.weight)


def test_frozen_stages_stay_and_the_rest_learns():
    model = make_bert()
    before = weights(model)

    done = run(model, planted_texts(), epochs=1, num_frozen=2)

    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert not [name for name in moved if "embedding" in name or "block0" in name]
    assert {"trunk.stages.pooler.dense.weight", "head.classifier.weight"} <= moved
    assert 0 < done.trainable < 1


@pytest.mark.parametrize("num_frozen", [1, 3, 4])
def test_running_the_frozen_stages_once_gives_what_running_them_always_gives(num_frozen):
    cached, uncached = make_bert(dropout=0.0), make_bert(dropout=0.0)

    run(cached, planted_texts(), epochs=2, num_frozen=num_frozen, cache=True)
    run(uncached, planted_texts(), epochs=2, num_frozen=num_frozen, cache=False)

    for name, value in uncached.state_dict().items():
        # Kernels add up in another order for other batch sizes, and Adam amplifies the last bits.
        torch.testing.assert_close(cached.state_dict()[name], value, rtol=0.01, atol=1e-3)


def test_gradual_unfreezing_reaches_the_bottom_last():
    one, all_of_them = make_bert(), make_bert()
    before = weights(one)

    run(one, planted_texts(), epochs=2, unfreeze_every=1)  # the head, then the pooler too
    run(all_of_them, planted_texts(), epochs=5, unfreeze_every=1)

    moved = {n for n, value in one.state_dict().items() if not value.equal(before[n])}
    assert {name.split(".")[2] for name in moved if name.startswith("trunk")} == {"pooler"}
    assert all_of_them.trunk.num_frozen == 0
    embedding = "trunk.stages.embedding.tokens.weight"
    assert not torch.equal(all_of_them.state_dict()[embedding], before[embedding])


def test_gradual_unfreezing_stops_at_what_is_to_stay_frozen():
    model = make_bert()
    before = weights(model)

    run(model, planted_texts(), epochs=6, unfreeze_every=1, num_frozen=2)

    assert model.trunk.num_frozen == 2
    for name in ("trunk.stages.embedding.tokens.weight", "trunk.stages.block0.attention.norm.bias"):
        assert torch.equal(model.state_dict()[name], before[name])
    changed = "trunk.stages.block1.attention.norm.bias"
    assert not torch.equal(model.state_dict()[changed], before[changed])


def planted_answers() -> dict[str, Tensor]:
    """Text to text: the answer is the second word, then the end (1)."""
    texts = planted_texts()
    labels = torch.stack([texts["input_ids"][:, 1], torch.ones(128, dtype=torch.int64)], dim=1)
    decoder_input_ids = shift_right(labels, 0)
    return {**texts, "labels": labels, "decoder_input_ids": decoder_input_ids}


def test_a_tied_head_can_be_unfrozen_gradually():
    torch.manual_seed(0)
    model = T5(T5Config(**SIZES), "lm")

    run(model, planted_answers(), epochs=6, unfreeze_every=1)

    assert model.trunk.num_frozen == 0


def test_text_to_text_is_learnt():
    torch.manual_seed(0)
    model = T5(T5Config(**SIZES, dropout=0.0), "lm")

    done = run(model, planted_answers(), epochs=12, lr=1e-2, validation=planted_answers())

    assert list(done.scores) == ["whole", "accuracy"]
    assert done.scores["accuracy"] > 0.6  # the end alone would be 0.5


def test_gpt_learns_the_planted_word_too():
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SIZES), "classify", 2)

    done = run(model, planted_texts(), epochs=12, validation=planted_texts(seed=1))

    assert done.scores["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("make", "lr"),
    [
        (lambda: Bert(BertConfig(**SIZES), "span"), 5e-3),
        (lambda: GPT(GPTConfig(**SIZES), "span"), 5e-3),
        (lambda: T5(T5Config(**SIZES), "span"), 5e-3),
        (lambda: Word2Vec(Word2VecConfig(V, 16), "span"), 0.1),
    ],
    ids=["bert", "gpt", "t5", "word2vec"],
)
def test_spans_are_learnt(make, lr):
    torch.manual_seed(0)
    texts = planted_texts()
    place = ((texts["input_ids"] == 5) | (texts["input_ids"] == 6)).long().argmax(dim=1)
    train = {
        **texts,
        "is_context": texts["attention_mask"],
        "labels": torch.stack([place, place], dim=1),
    }

    done = run(make(), train, epochs=8, lr=lr, validation=train)

    assert done.scores["exact"] > 0.9
    assert done.scores["f1"] >= done.scores["exact"]


def test_tags_are_learnt_and_padding_is_not_counted():
    texts = planted_texts()
    labels = (texts["input_ids"] < 10).long().masked_fill(~texts["attention_mask"], -100)
    model = make_bert()
    model.reset_head("tag", num_classes=2)

    done = run(model, {**texts, "labels": labels}, validation={**texts, "labels": labels})

    assert done.scores["accuracy"] > 0.95


def test_l2sp_stays_nearer_to_the_start():
    start, free, held = make_bert(), make_bert(), make_bert()

    run(free, planted_texts(), epochs=4, weight_decay=0.0)
    run(held, planted_texts(), epochs=4, weight_decay=0.0, l2sp=1.0)

    def distance(model: Model) -> float:
        pairs = zip(model.trunk.parameters(), start.trunk.parameters())
        return sum((ours - theirs).square().sum().item() for ours, theirs in pairs)

    assert distance(held) < distance(free) / 2


def test_l2sp_takes_the_place_of_weight_decay():
    decayed, undecayed = make_bert(), make_bert()

    run(decayed, planted_texts(), epochs=1, l2sp=0.1, weight_decay=0.5)
    run(undecayed, planted_texts(), epochs=1, l2sp=0.1, weight_decay=0.0)

    assert_equal(decayed, undecayed)


def test_the_top_can_start_anew():
    model = make_bert()
    before = weights(model)

    run(model, planted_texts(), epochs=1, num_reinit=1, num_frozen=3)

    assert not torch.equal(
        model.state_dict()["trunk.stages.pooler.dense.weight"],
        before["trunk.stages.pooler.dense.weight"],
    )
    name = "trunk.stages.block1.feed_forward.sublayer.expand.weight"
    assert torch.equal(model.state_dict()[name], before[name])


def test_lora_learns_beside_the_trunk_and_is_merged_into_a_plain_model(tmp_path):
    model, frozen, test = make_bert(), make_bert(), planted_texts(seed=1)
    before = weights(model)

    done = run(model, planted_texts(), epochs=10, lr=2e-2, lora_rank=2, validation=test)
    control = run(frozen, planted_texts(), epochs=10, lr=2e-2, num_frozen=4, validation=test)

    assert control.scores["accuracy"] < 0.8  # the weights of this trunk know nothing
    assert done.scores["accuracy"] > 0.95
    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    layers = ["query", "key", "value", "output", "expand", "contract", "dense", "classifier"]
    assert {name.split(".")[-2] for name in moved} == {*layers}
    assert {name for name in moved if name.endswith(".bias")} == {"head.classifier.bias"}
    save(model, tmp_path)
    assert score(load(tmp_path), test, "fp32") == done.scores


def test_biases_alone_learn_more_than_the_head_alone():
    model, frozen = (make_bert(init_std=0.3, dropout=0.0) for _ in range(2))
    before = weights(model)
    options = {"epochs": 15, "lr": 2e-2}

    done = run(model, planted_texts(), **options, bias_only=True)
    control = run(frozen, planted_texts(), **options, num_frozen=4)

    losses = [tuned.history.records[-1]["loss"] for tuned in (done, control)]
    assert losses[0] < 0.7 * losses[1]
    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert {name for name in moved if not name.endswith(".bias")} == {"head.classifier.weight"}
    assert "trunk.stages.embedding.norm.bias" in moved


def test_the_share_that_was_trained_is_told_before_merging():
    updates = 2 * 2 * (4 * (16 + 16) + 2 * (16 + 32)) + 2 * (16 + 16)  # two blocks, the pooler
    head, total = 2 * 16 + 2, sum(parameter.numel() for parameter in make_bert().parameters())

    done = run(make_bert(), planted_texts(), epochs=1, lora_rank=2)

    assert done.trainable == pytest.approx((updates + head) / (total + updates))


@pytest.mark.parametrize("changes", [{"lora_rank": 2}, {"bias_only": True}])
def test_of_a_trunk_that_trains_in_part_only_the_frozen_stages_are_cached(changes):
    cached, uncached = make_bert(dropout=0.0), make_bert(dropout=0.0)
    before = weights(cached)
    options = {"epochs": 2, "num_frozen": 2, **changes}

    run(cached, planted_texts(), **options, cache=True)
    run(uncached, planted_texts(), **options, cache=False)

    for name, value in uncached.state_dict().items():
        torch.testing.assert_close(cached.state_dict()[name], value, rtol=0.01, atol=1e-3)
    moved = {name for name, value in before.items() if not value.equal(cached.state_dict()[name])}
    assert {name.split(".")[2] for name in moved if "trunk" in name} == {"block1", "pooler"}


def test_bias_correction_is_adams_own_and_can_be_left_out():
    start, corrected, uncorrected = make_bert(), make_bert(), make_bert()
    options = {"epochs": 1, "batch_size": 128, "schedule": "constant", "warmup": 0.0}

    run(corrected, planted_texts(), **options)  # one step
    run(uncorrected, planted_texts(), **options, bias_correction=False)

    def step(model: Model) -> Tensor:
        return (model.head.classifier.weight - start.head.classifier.weight).abs().median()

    # Uncorrected, the first step is (1 - 0.9) / sqrt(1 - 0.999) = 3.2 times as large.
    assert (step(uncorrected) / step(corrected)).item() == pytest.approx(3.16, rel=0.1)


def test_validation_keeps_the_best_weights():
    model = make_bert()

    done = run(model, planted_texts(), validate_every=1, validation=planted_texts(seed=1))

    best = max(entry["figures"]["accuracy"] for entry in done.history.validations)
    assert len(done.history.validations) == QUICK.epochs
    assert done.scores["accuracy"] == best


@pytest.mark.parametrize(
    ("head", "num_classes", "score_name", "least"),
    [("segment", 2, "mean_iou", 0.8), ("locate", None, "box_iou", 0.6)],
)
def test_pictures_are_segmented_and_located(head, num_classes, score_name, least):
    torch.manual_seed(0)
    model = ResNet(ResNetConfig((1, 1), width=8), head, num_classes)

    done = run(model, squares(), epochs=10, lr=2e-2, validation=squares())

    assert next(iter(done.scores)) == score_name
    assert done.scores[score_name] > least


def test_a_head_that_reads_frozen_stages_is_trained_uncached():
    torch.manual_seed(0)
    model = ResNet(ResNetConfig((1, 1), width=8), "segment", 2)
    before = weights(model)

    run(model, squares(16), epochs=1, num_frozen=2)

    frozen = [name for name in before if "stem" in name or "layer1" in name]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in frozen)


def test_predictions_leave_the_model_and_can_be_trained_on():
    model, texts = make_bert(dropout=0.5).train(), planted_texts(30)

    predicted = predict(model, texts, "fp32", batch_size=7)

    assert model.training
    assert torch.equal(predicted, predict(model, texts, "fp32", batch_size=30))
    assert predicted.shape == (30,)
    run(model, {**texts, "labels": predicted}, epochs=1)


def test_predictions_that_fail_leave_the_model_in_its_mode():
    model = make_bert().train()

    with pytest.raises(IndexError):
        predict(model, {"input_ids": torch.full((1, 3), V)}, "fp32")

    assert model.training


def test_a_data_set_smaller_than_a_batch_is_one_batch():
    done = run(make_bert(), planted_texts(5), epochs=3)

    assert done.history.steps_run == 3


def test_accumulated_batches_make_fewer_steps():
    assert run(make_bert(), planted_texts(), epochs=2, accumulate=4).history.steps_run == 4


@pytest.mark.parametrize("changes", [{"num_reinit": 1}, {"lora_rank": 2}, {"bias_only": True}])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(changes, tmp_path):
    texts, unbroken, killed = planted_texts(), make_bert(), make_bert()
    config = dataclasses.replace(QUICK, epochs=2, save_every=3, **changes)
    finetune(unbroken, texts, config, resume_path=tmp_path / "unbroken.pt")
    calls = 0

    def kill(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt

    hook = killed.trunk.register_forward_pre_hook(kill)
    with pytest.raises(KeyboardInterrupt):
        finetune(killed, texts, config, resume_path=tmp_path / "killed.pt")
    hook.remove()
    for _ in range(2):  # the second time no step is left, as for a model that was not saved
        again = make_bert()
        finetune(again, texts, config, resume_path=tmp_path / "killed.pt")
        assert_equal(again, unbroken)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 12}, "was written with batch_size = 16, now it is 12"),
        ({"l2sp": 0.1}, "was written with l2sp = 0.0, now it is 0.1"),
        ({"lora_rank": 2}, "was written with lora_rank = None, now it is 2"),
        ({"bias_only": True}, "was written with bias_only = False, now it is True"),
        ({"texts": planted_texts(32, seed=1)}, r"was written with data = \w+, now it is \w+;"),
        ({"model": make_bert(seed=1)}, r"was written with starting_weights = \w+, now it is"),
        ({"model": make_bert(dropout=0.5)}, r"was written with bert dropout = 0.1, now it is 0.5"),
    ],
)
def test_another_experiment_does_not_go_on_from_the_file(changes, message, tmp_path):
    def tune(model: Model, texts: dict[str, Tensor], **settings: float) -> None:
        config = dataclasses.replace(QUICK, epochs=1, save_every=1, **settings)
        finetune(model, texts, config, resume_path=tmp_path / "resume.pt")

    tune(make_bert(), planted_texts(32))
    tune(make_bert(), planted_texts(32))
    with pytest.raises(ValueError, match=message):
        tune(**{"model": make_bert(), "texts": planted_texts(32), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"lr": 0.0}, "lr must be above 0, got 0.0"),
        ({"head_lr": -1.0}, "head_lr must be above 0, got -1.0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"l2sp": -0.1}, "l2sp must be at least 0, got -0.1"),
        ({"unfreeze_every": 0}, "unfreeze_every must be at least 1 or None, got 0"),
        ({"validate_every": 0}, "validate_every must be at least 1 or None, got 0"),
        ({"patience": 2}, "patience counts validations and needs validate_every"),
        ({"validate_every": 1}, "validate_every 1 needs a validation set, got None"),
        ({"num_frozen": -1}, "num_frozen must be at least 0, got -1"),
        ({"num_frozen": 5}, r"num_frozen must be in 0\.\.4 \(the number of stages\), got 5"),
        ({"num_reinit": 5}, r"num_stages must be in 0\.\.4 \(the number of stages\), got 5"),
        ({"num_frozen": 3, "num_reinit": 2}, "must not overlap in 4 stages, got 3 and 2"),
        ({"l2sp": 0.1, "num_reinit": 1}, "l2sp and num_reinit exclude each other, .* got 0.1 and"),
        ({"layer_decay": 0.0}, r"layer_decay must be in \(0, 1\], got 0.0"),
        ({"schedule": "sine"}, "sine"),
        ({"lora_rank": 0}, "lora_rank must be at least 1 or None, got 0"),
        ({"lora_rank": 2, "bias_only": True}, "lora_rank and bias_only .*, got 2 and True"),
        ({"lora_rank": 2, "unfreeze_every": 3}, "lora_rank and unfreeze_every .*, got 2 and 3"),
        ({"bias_only": True, "unfreeze_every": 3}, "bias_only and unfreeze_every exclude each"),
        ({"lora_rank": 2, "num_reinit": 1}, "lora_rank and num_reinit exclude each other, got 2"),
        ({"lora_rank": 2, "num_frozen": 4}, r"convolutions above its frozen stages \['embedding',"),
        ({"bias_only": True, "num_frozen": 4}, "must have biases in its stages that are not fro"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        run(make_bert(), planted_texts(8), **changes)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="dataset must hold at least one example, got 0"):
        run(make_bert(), {name: column[:0] for name, column in planted_texts(8).items()})


@pytest.mark.parametrize("head", ["mlm", None])
def test_a_head_that_nothing_judges_is_refused(head):
    model = make_bert()
    model.reset_head(head)

    with pytest.raises(ValueError, match=r"head must be one of \['classify', .* to fine-tune, got"):
        run(model, planted_texts(8))
