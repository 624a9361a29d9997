"""Pretraining: losses fall on a small made-up language, and a killed run goes on exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from minift.models.bert import Bert, BertConfig
from minift.models.gpt import GPT, GPTConfig
from minift.models.resnet import ResNet, ResNetConfig
from minift.models.t5 import T5, T5Config
from minift.models.word2vec import Word2Vec, Word2VecConfig, nearest
from minift.recipes import pretraining
from minift.recipes.datasets import encode_documents
from minift.recipes.pretraining import (
    PretrainConfig,
    Pretrained,
    judge,
    pretrain_bert,
    pretrain_gpt,
    pretrain_resnet,
    pretrain_t5,
    pretrain_word2vec,
    resnet_steps,
)
from minift.stages import Model
from minift.tokenizers import WordVocab

NUM_WORDS = 10  # of each of two topics


def told(seed: int, num_documents: int = 40) -> list[list[str]]:
    """Documents of four sentences on one of two topics; words follow each other in a ring."""
    generator = torch.Generator().manual_seed(seed)
    documents = []
    for topic, first in zip(
        torch.randint(2, (num_documents,), generator=generator).tolist(),
        torch.randint(NUM_WORDS, (num_documents,), generator=generator).tolist(),
    ):
        words = [f"{'ab'[topic]}{(first + i) % NUM_WORDS}" for i in range(16)]
        documents.append([" ".join(words[i : i + 4]) for i in range(0, 16, 4)])
    return documents


def tokenizer_of(layout: str) -> WordVocab:
    texts = [sentence for document in told(0) for sentence in document]
    return WordVocab.train(texts, 60, layout=layout, num_sentinels=4 if layout == "t5" else 0)


TOKENIZERS = {layout: tokenizer_of(layout) for layout in ("bert", "gpt", "t5")}
DOCUMENTS = {name: encode_documents(tok, told(0)) for name, tok in TOKENIZERS.items()}
HELD_OUT = {name: encode_documents(tok, told(1, 10)) for name, tok in TOKENIZERS.items()}
QUICK = PretrainConfig(
    num_steps=60, batch_size=16, lr=1e-2, max_length=24, precision="fp32", progress=False
)


def sizes(layout: str) -> dict[str, Any]:
    return {
        "vocab_size": TOKENIZERS[layout].vocab_size,
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "intermediate_size": 32,
        "max_positions": 24,
        "dropout": 0.0,
    }


def pictures() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (64,), generator=generator)
    images = torch.randint(0, 60, (64, 3, 8, 8), generator=generator)
    images[:, 0] += 150 * labels[:, None, None]  # class 1 is red
    return {"images": images.byte(), "labels": labels}


def make(name: str) -> Model:
    torch.manual_seed(0)
    if name == "resnet":
        return ResNet(ResNetConfig((1, 1), width=8), "classify", 2)
    if name in ("cbow", "skipgram"):
        vocab_size = TOKENIZERS["bert"].vocab_size
        return Word2Vec(Word2VecConfig(vocab_size=vocab_size, hidden_size=16), "pretrain")
    if name == "bert":  # at this width 0.02 would be a start too small to learn from in seconds
        return Bert(BertConfig(**sizes(name), init_std=0.1), "pretrain")
    family = {"gpt": (GPT, GPTConfig), "t5": (T5, T5Config)}[name]
    return family[0](family[1](**sizes(name)), "lm")


def run(name: str, model: Model, config: PretrainConfig, **options: Any) -> Pretrained:
    if name == "resnet":
        return pretrain_resnet(model, pictures(), config, **options)
    if name in ("cbow", "skipgram"):
        return pretrain_word2vec(
            model,
            DOCUMENTS["bert"],
            config,
            algorithm=name,
            window=3,
            threshold=0.1,
            special_ids=TOKENIZERS["bert"].special_ids,
            **options,
        )
    recipe = {"bert": pretrain_bert, "gpt": pretrain_gpt, "t5": pretrain_t5}[name]
    return recipe(model, TOKENIZERS[name], DOCUMENTS[name], config, **options)


EVERY_RECIPE = pytest.mark.parametrize("name", ["resnet", "cbow", "skipgram", "bert", "gpt", "t5"])


@EVERY_RECIPE
def test_the_loss_falls(name):
    done = run(name, make(name), QUICK)

    losses = [record["loss"] for record in done.history.records]  # means of 20 steps
    assert losses[-1] < 0.95 * losses[0]
    assert done.history.steps_run == QUICK.num_steps
    assert done.seconds == done.history.seconds
    assert done.scores == {}


def test_bert_learns_topics_of_words_and_what_follows():
    config = dataclasses.replace(QUICK, num_steps=150)

    scores = run("bert", make("bert"), config, held_out=HELD_OUT["bert"]).scores

    assert set(scores) == {"mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy", "loss"}
    assert scores["mlm_loss"] < 2.7  # chance is log 20 = 3.0, knowing the topic log 10 = 2.3
    assert scores["nsp_accuracy"] > 0.6


def test_gpt_learns_what_follows_what():
    scores = run("gpt", make("gpt"), QUICK, held_out=HELD_OUT["gpt"]).scores

    assert scores["lm_accuracy"] > 0.7  # chance is 0.05


def test_t5_is_judged_on_held_out_text_and_skips_what_is_too_short():
    held_out = [*HELD_OUT["t5"], [], [[5]]]

    config = dataclasses.replace(QUICK, num_steps=5)

    scores = run("t5", make("t5"), config, held_out=held_out).scores

    assert set(scores) == {"span_loss", "span_accuracy", "loss"}


def test_resnet_is_judged_by_its_accuracy():
    scores = run("resnet", make("resnet"), QUICK, held_out=pictures()).scores

    assert scores["accuracy"] > 0.9


@pytest.mark.parametrize("algorithm", ["cbow", "skipgram"])
@pytest.mark.parametrize("num_negatives", [None, 8])
def test_words_of_one_topic_become_neighbours(algorithm, num_negatives):
    model, tokenizer = make(algorithm), TOKENIZERS["bert"]
    config = dataclasses.replace(QUICK, num_steps=200, batch_size=64, lr=2e-2)

    run(algorithm, model, config, num_negatives=num_negatives)

    a, b = (
        torch.tensor([tokenizer.token_to_id(f"{topic}{i}") for i in range(NUM_WORDS)])
        for topic in "ab"
    )
    vectors = model.vectors[torch.cat([a, b])]
    found, _ = nearest(vectors, vectors, k=4, exclude=torch.arange(2 * NUM_WORDS)[:, None])
    is_same_topic = (found < NUM_WORDS) == (torch.arange(2 * NUM_WORDS) < NUM_WORDS)[:, None]
    assert is_same_topic.float().mean() > 0.9


@EVERY_RECIPE
def test_a_killed_run_goes_on_as_if_nothing_had_happened(name, tmp_path):
    config = dataclasses.replace(QUICK, num_steps=12, save_every=5)
    unbroken, killed = make(name), make(name)
    run(name, unbroken, config, resume_path=tmp_path / "unbroken.pt")
    calls = 0

    def kill(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt

    hook = next(iter(killed.trunk.stages.values())).register_forward_pre_hook(kill)
    with pytest.raises(KeyboardInterrupt):
        run(name, killed, config, resume_path=tmp_path / "killed.pt")
    hook.remove()
    assert (tmp_path / "killed.pt").exists()
    run(name, killed, config, resume_path=tmp_path / "killed.pt")

    theirs = unbroken.state_dict()
    assert [n for n, v in killed.state_dict().items() if not torch.equal(v, theirs[n])] == []


def test_a_run_that_is_stopped_while_it_is_judged_loses_nothing(tmp_path, monkeypatch):
    config = dataclasses.replace(QUICK, num_steps=12, save_every=5)
    options = {"held_out": HELD_OUT["bert"], "resume_path": tmp_path / "resume.pt"}
    trained = make("bert")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            run("bert", trained, config, **options)
    monkeypatch.setattr(pretraining, "bert_loss", stop)  # no step is left that would need it
    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "evaluate", lambda *_: {"mlm_loss": 1.0})
        again = make("bert")
        done = run("bert", again, config, **options)

    assert done.history.steps_run == 12
    assert all(torch.equal(p, q) for p, q in zip(again.parameters(), trained.parameters()))


def test_reading_positions_are_cls_and_the_selected_in_order():
    selected = torch.tensor([[0, 0, 1, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)

    positions, is_selected = pretraining.reading_positions(selected)

    assert positions.tolist() == [[0, 2, 4], [0, 1, 0], [0, 0, 1]]
    assert is_selected.tolist() == [[False, True, True], [False, True, False], [False] * 3]


def test_bert_s_loss_is_that_of_computing_every_position():
    model = make("bert").eval()
    ids = torch.randint(5, 20, (3, 12), generator=torch.Generator().manual_seed(0))
    labels = torch.full_like(ids, -100)
    labels[0, 2], labels[0, 9], labels[2, 5] = 7, 8, 9
    batch = {
        "input_ids": ids,
        "attention_mask": torch.arange(12) < torch.tensor([[12], [7], [10]]),
        "token_type_ids": torch.zeros_like(ids),
        "mlm_labels": labels,
        "next_labels": torch.tensor([0, 1, 1]),
    }
    inputs = (batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    logits = model(*inputs)
    expected, _ = pretraining.mlm_nsp_loss(logits.mlm, labels, logits.nsp, batch["next_labels"])

    loss, _ = pretraining.bert_loss(model, batch)

    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["bert", "gpt", "t5"])
def test_a_pretrained_model_is_judged_as_at_the_end_of_its_pretraining(name):
    model, config = make(name), dataclasses.replace(QUICK, num_steps=5)

    scores = run(name, model, config, held_out=HELD_OUT[name]).scores

    assert judge(model, TOKENIZERS[name], HELD_OUT[name], config) == scores


@pytest.mark.parametrize("name", ["bert", "gpt", "t5"])
def test_held_out_text_that_is_too_short_is_refused_before_the_training(name):
    model = make(name)
    before = [p.clone() for p in model.parameters()]

    with pytest.raises(ValueError, match=r"must be|hold no text"):
        run(name, model, QUICK, held_out=[])

    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 8}, "was written with batch_size = 16, now it is 8"),
        ({"seed": 1}, "was written with seed = 0, now it is 1"),
        ({"window": 2}, "was written with window = 3, now it is 2"),
        ({"documents": HELD_OUT["bert"]}, r"was written with data = \w+, now it is \w+;"),
    ],
)
def test_another_experiment_does_not_go_on_from_the_file(changes, message, tmp_path):
    config = dataclasses.replace(QUICK, num_steps=2, save_every=1)
    same = {"documents": DOCUMENTS["bert"], "window": 3, "batch_size": 16, "seed": 0}

    def pretrain(documents: Any, window: int, **settings: int) -> None:
        changed = dataclasses.replace(config, **settings)
        path = tmp_path / "resume.pt"
        pretrain_word2vec(make("cbow"), documents, changed, window=window, resume_path=path)

    pretrain(**same)
    pretrain(**same)
    with pytest.raises(ValueError, match=message):
        pretrain(**{**same, **changes})


@EVERY_RECIPE
def test_the_seed_decides_all(name):
    config = dataclasses.replace(QUICK, num_steps=3)
    first, second, other = make(name), make(name), make(name)

    run(name, first, config)
    torch.rand(7)  # what others draw in between does not matter
    run(name, second, config)
    run(name, other, dataclasses.replace(config, seed=1))

    equal = [torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters())]
    assert all(equal)
    assert not all(torch.equal(p, q) for p, q in zip(first.parameters(), other.parameters()))


@pytest.fixture
def batches_of(monkeypatch) -> Callable[..., Callable[[int], dict[str, Tensor]]]:
    """The source of batches that a recipe gives to the training loop."""

    def source(name: str, config: PretrainConfig = QUICK, **options: Any) -> Any:
        caught: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(pretraining, "fit", lambda _, batches, *__, **___: caught.append(batches))
            run(name, make(name), config, **options)
        return caught[0]

    return source


@EVERY_RECIPE
def test_batches_are_pure_functions_of_the_step(name, batches_of):
    options = {"num_negatives": 4} if name in ("cbow", "skipgram") else {}
    steps = [0, 1, 7, 500]  # the last lies in a later pass

    first, second = batches_of(name, **options), batches_of(name, **options)
    forwards = [first(step) for step in steps]
    backwards = [second(step) for step in reversed(steps)][::-1]

    for one, same in zip(forwards, backwards):
        assert one.keys() == same.keys()
        assert all(torch.equal(one[key], same[key]) for key in one)
    different = next(key for key in ("images", "input_ids") if key in forwards[0])
    rows = [batch[different].tolist() for batch in forwards]
    assert all(rows[0] != other for other in rows[1:])


def test_bert_is_asked_for_a_few_hidden_words_and_for_the_order(batches_of):
    tokenizer = TOKENIZERS["bert"]

    batch = batches_of("bert")(0)

    assert batch["input_ids"].shape[1] <= QUICK.max_length
    asked = batch["mlm_labels"] != -100
    words = batch["attention_mask"] & ~torch.isin(
        batch["input_ids"], torch.tensor([tokenizer.cls_id, tokenizer.sep_id])
    )
    assert 0.1 < (asked.sum() / words.sum()).item() < 0.2
    assert (batch["input_ids"][asked] == tokenizer.mask_id).float().mean() > 0.5
    assert set(batch["next_labels"].tolist()) == {0, 1}


def test_t5_reads_its_target_one_step_late_and_padding_is_not_asked_for(batches_of):
    batch = batches_of("t5")(0)
    tokenizer = TOKENIZERS["t5"]

    assert (batch["decoder_input_ids"][:, 0] == 0).all()
    late, labels = batch["decoder_input_ids"][:, 1:], batch["labels"][:, :-1]
    assert torch.equal(late, labels.masked_fill(labels == -100, 0))
    assert (batch["labels"][:, 0] == tokenizer.sentinel_ids[0]).all()
    for row, mask in zip(batch["input_ids"], batch["attention_mask"]):
        assert row[mask][-1] == tokenizer.eos_id


def test_gpt_reads_documents_that_run_on_with_an_end_between_them(batches_of):
    tokenizer = TOKENIZERS["gpt"]
    config = dataclasses.replace(QUICK, batch_size=100, max_length=17)

    rows = batches_of("gpt", config)(0)["input_ids"]

    assert rows.shape == (40, 17)  # a document is 16 words
    assert (rows[:, 0] == tokenizer.eos_id).all()
    assert (rows == tokenizer.eos_id).sum() == 40


def test_mlm_alone_is_possible():
    model = make("bert")
    model.reset_head("mlm")

    done = run("bert", model, dataclasses.replace(QUICK, num_steps=5), held_out=HELD_OUT["bert"])

    assert set(done.scores) == {"mlm_loss", "mlm_accuracy", "loss"}


def test_whole_words_are_masked_together_where_there_are_pieces():
    config = dataclasses.replace(QUICK, num_steps=2, whole_words=True)

    run("bert", make("bert"), config)  # a tokenizer of whole words has nothing to join


def test_epochs_are_counted_in_steps():
    assert resnet_steps(pictures(), batch_size=16, epochs=2) == 8
    assert resnet_steps(pictures(), batch_size=16, epochs=0.01) == 1
    assert resnet_steps(pictures(), batch_size=1000, epochs=3) == 3


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(ValueError, match="algorithm must be 'cbow' or 'skipgram', got 'glove'"):
        pretrain_word2vec(make("cbow"), DOCUMENTS["bert"], QUICK, algorithm="glove")


def test_documents_without_words_are_refused():
    with pytest.raises(ValueError, match="documents hold no words to learn from"):
        pretrain_word2vec(make("cbow"), [[[0, 1]]], QUICK, special_ids=[0, 1])
    with pytest.raises(ValueError, match="documents hold no words to learn from"):
        pretrain_word2vec(make("cbow"), [], QUICK)
    with pytest.raises(ValueError, match="documents hold no text of two tokens or more"):
        pretrain_t5(make("t5"), TOKENIZERS["t5"], [[[5]], []], QUICK)


@pytest.mark.parametrize("threshold", [1e-3, 1e-12])
@pytest.mark.parametrize("algorithm", ["cbow", "skipgram"])
def test_documents_without_neighbours_are_refused(algorithm, threshold):
    documents = [[[5]], [[6]]] if threshold == 1e-3 else [[[5, 6]]]
    with pytest.raises(ValueError, match="documents leave no neighbours to learn from: of their 2"):
        pretrain_word2vec(
            make(algorithm), documents, QUICK, algorithm=algorithm, threshold=threshold
        )


def test_held_out_figures_are_means_over_words_and_the_loss_is_their_sum():
    model, config = make("bert"), dataclasses.replace(QUICK, num_steps=1)

    scores = run("bert", model, config, held_out=HELD_OUT["bert"]).scores

    generator = pretraining._generator(-1, 0)
    num_right = num_asked = 0
    model.eval()
    for _ in range(pretraining.NUM_HELD_OUT):
        pairs = pretraining.bert_pairs(HELD_OUT["bert"], config.batch_size, config, generator)
        batch = pretraining.bert_batch(pairs, TOKENIZERS["bert"], config, generator)
        inputs = (batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        guessed = model(*inputs).mlm.argmax(dim=-1)
        num_right += int((guessed == batch["mlm_labels"]).sum())
        num_asked += int((batch["mlm_labels"] != -100).sum())
    assert scores["mlm_accuracy"] == pytest.approx(num_right / num_asked)
    assert scores["loss"] == pytest.approx(scores["mlm_loss"] + scores["nsp_loss"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, got -1"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"max_sentences": 0}, "max_sentences must be at least 1, got 0"),
        ({"lr": 0.0}, "lr must be above 0, got 0.0"),
        ({"lr": float("nan")}, "lr must be above 0, got nan"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"mask_rate": 1.0}, "mask_rate must be between 0 and 1, got 1.0"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0 or None, got 0.0"),
        ({"save_every": 0}, "save_every must be above 0 or None, got 0"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PretrainConfig(**changes)
