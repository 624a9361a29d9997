"""word2vec by negative sampling: the steps written by hand are autograd's, and teach words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minift.models.word2vec import Word2Vec, Word2VecConfig, nearest
from minift.objectives.windows import noise_distribution
from minift.recipes import negative_sampling, pretraining
from minift.recipes.negative_sampling import Batch, RunningText, block_loss, step_
from minift.recipes.pretraining import PretrainConfig, pretrain_word2vec
from minift.training.loop import NonFiniteLossError

V, C, NUM_NEGATIVES, WINDOW = 30, 6, 5, 3
CONFIG = PretrainConfig(num_steps=40, batch_size=400, lr=0.03, progress=False)
BOTH = pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corpus(num_words: int = 100) -> tuple[Tensor, Tensor]:
    """Random words in documents of 7, so that rows of 16 hold the borders of several."""
    words = torch.randint(V, (num_words,), generator=seeded())
    return words, torch.arange(num_words) // 7


def text_of(algorithm: str, **changes: Any) -> RunningText:
    words, documents = corpus()
    settings: dict[str, Any] = {
        "pass_of": lambda number: (words, documents),
        "generator_of": seeded,
        "noise": noise_distribution(torch.bincount(words, minlength=V)),
        "num_predictions": 200,
        "algorithm": algorithm,
        "window": WINDOW,
        "num_negatives": NUM_NEGATIVES,
    }
    return RunningText(**{**settings, **changes})


def tables() -> tuple[Tensor, Tensor]:
    """In float64, so that what differs is the formula and not the rounding."""
    generator = seeded(1)
    return tuple(torch.randn(V, C, dtype=torch.float64, generator=generator) for _ in range(2))


def in_float64(batch: Batch) -> Batch:
    return {name: t.double() if t.is_floating_point() else t for name, t in batch.items()}


def losses_one_by_one(v: Tensor, u: Tensor, batch: Batch) -> list[Tensor]:
    """Equation 4 for each prediction, from the ids: a product of two vectors at a time."""
    losses = []
    num_rows, T, num_outputs = batch["labels"].shape
    num_right = num_outputs - T * NUM_NEGATIVES // negative_sampling.NUM_SHARING
    for row in range(num_rows):
        output_ids = batch["output_ids"][row].tolist()
        for place in range(T):
            if "is_neighbour" in batch:
                vectors = v[batch["input_ids"][row][batch["is_neighbour"][row, place] == 1]]
                # The value of a mean, the gradient of a sum: each neighbour gets the whole.
                h = vectors.mean(dim=0).detach() + vectors.sum(dim=0) - vectors.sum(dim=0).detach()
            else:
                h = v[batch["input_ids"][row, place]]
            for column in range(num_right):
                if not batch["labels"][row, place, column]:
                    continue
                loss = -F.logsigmoid(u[output_ids[column]] @ h)
                for drawn in output_ids[num_right:]:
                    if drawn != output_ids[column]:
                        share = NUM_NEGATIVES / (num_outputs - num_right)
                        loss = loss - share * F.logsigmoid(-(u[drawn] @ h))
                losses.append(loss)
    return losses


@BOTH
def test_a_step_follows_the_gradient_that_autograd_finds(algorithm):
    batch = in_float64(text_of(algorithm)(0))
    v, u = (table.requires_grad_() for table in tables())
    torch.stack(losses_one_by_one(v, u, batch)).sum().backward()

    stepped_v, stepped_u = tables()
    step_(stepped_v, stepped_u, batch, lr=0.5)

    torch.testing.assert_close(stepped_v, v.detach() - 0.5 * v.grad, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(stepped_u, u.detach() - 0.5 * u.grad, atol=1e-9, rtol=1e-9)


@BOTH
def test_the_loss_is_equation_4(algorithm):
    batch = in_float64(text_of(algorithm)(0))
    v, u = tables()

    expected = torch.stack(losses_one_by_one(v, u, batch)).mean()

    torch.testing.assert_close(block_loss(v, u, batch), expected)


def pairs(text: RunningText, batch: Batch) -> list[tuple[int, int]]:
    """All (word, neighbour) of a batch of words that are their own places in the text."""
    T, R = negative_sampling.ROW_SIZE, text.window
    found = []
    for row in range(len(batch["labels"])):
        if "is_neighbour" in batch:
            middle, around = batch["output_ids"][row, :T], batch["input_ids"][row]
            mask = batch["is_neighbour"][row]
        else:
            middle, around = batch["input_ids"][row], batch["output_ids"][row, : T + 2 * R]
            mask = batch["labels"][row, :, : T + 2 * R]
        found += [(int(middle[at]), int(around[other])) for at, other in mask.nonzero().tolist()]
    return found


@BOTH
def test_neighbours_are_near_of_one_document_and_no_word_is_its_own(algorithm):
    words, documents = torch.arange(100), torch.arange(100) // 7
    noise = torch.ones(100)
    text = text_of(algorithm, pass_of=lambda number: (words, documents), noise=noise)
    num_batches = 2 if algorithm == "skipgram" else 1

    found = [pair for step in range(num_batches) for pair in pairs(text, text(step))]

    assert len(set(found)) == len(found)
    assert all(0 < abs(a - b) <= WINDOW and a // 7 == b // 7 for a, b in found)
    # Each word reaches at least to the next, also from one row and one batch to another.
    assert {(a, b) for a in range(100) for b in (a - 1, a + 1) if a // 7 == b // 7} - {
        (0, -1), (99, 100)
    } <= set(found)  # fmt: skip


def test_a_nearer_neighbour_is_used_more_often():
    words, documents = torch.arange(3000), torch.zeros(3000, dtype=torch.int64)
    text = text_of("cbow", pass_of=lambda number: (words, documents), noise=torch.ones(3000))
    text = dataclasses.replace(text, num_predictions=3000)

    distances = torch.tensor([abs(a - b) for a, b in pairs(text, text(0))])

    shares = torch.bincount(distances)[1:] / 6000
    torch.testing.assert_close(shares, torch.tensor([3.0, 2.0, 1.0]) / 3, atol=0.03, rtol=0)


@BOTH
def test_each_prediction_is_told_from_the_drawn_words_but_not_from_its_own_answer(algorithm):
    words = torch.zeros(32, dtype=torch.int64)  # one word, which is all answers and all drawn words
    noise = torch.eye(V)[0]
    text = text_of(algorithm, pass_of=lambda _: (words, words), noise=noise)
    batch = text(0)
    other = text_of(algorithm, pass_of=lambda _: (words, words), noise=torch.eye(V)[1])(0)

    labels, T = batch["labels"], negative_sampling.ROW_SIZE
    K = T * NUM_NEGATIVES // negative_sampling.NUM_SHARING
    assert batch["weights"][..., -K:].abs().sum() == 0
    assert other["weights"][..., -K:].sum() == pytest.approx(NUM_NEGATIVES * labels.sum().item())


@BOTH
def test_a_pass_is_every_word_once_whatever_the_size_of_a_batch(algorithm):
    words, documents = torch.arange(100), torch.zeros(100, dtype=torch.int64)
    for num_predictions in (1, 30, 77, 10_000):
        text = text_of(
            algorithm,
            pass_of=lambda number: (words, documents),
            noise=torch.ones(100),
            num_predictions=num_predictions,
        )
        per_word = 1 if algorithm == "cbow" else WINDOW + 1
        num_batches = max(1, round(100 * per_word / num_predictions))

        if num_batches <= 100:  # a batch has at least one word
            batches = [text(step) for step in range(num_batches)]
            asked = [word for batch in batches for word in {pair[0] for pair in pairs(text, batch)}]
            assert sorted(asked) == list(range(100))


def two_topics(num_documents: int = 60) -> list[list[list[int]]]:
    """Documents of words 0..9 or of 10..19."""
    generator = seeded()
    return [
        [(torch.randint(10, (30,), generator=generator) + 10 * (number % 2)).tolist()]
        for number in range(num_documents)
    ]


def fresh() -> Word2Vec:
    torch.manual_seed(0)
    return Word2Vec(Word2VecConfig(vocab_size=20, hidden_size=16, pad_id=20), "pretrain")


def pretrain(
    model: Word2Vec, algorithm: str, config: PretrainConfig = CONFIG, **options: Any
) -> Any:
    settings = {"window": WINDOW, "num_negatives": NUM_NEGATIVES, "threshold": 1.0, **options}
    return pretrain_word2vec(model, two_topics(), config, algorithm=algorithm, **settings)


@BOTH
def test_words_of_one_topic_become_neighbours_and_the_loss_falls(algorithm):
    model = fresh()

    records = pretrain(model, algorithm, dataclasses.replace(CONFIG, num_steps=200)).history.records

    found, _ = nearest(model.vectors, model.vectors, k=4, exclude=torch.arange(20)[:, None])
    is_same_topic = (found < 10) == (torch.arange(20) < 10)[:, None]
    assert is_same_topic.float().mean() > 0.95
    assert records[-1]["loss"] < 0.95 * records[0]["loss"]


@BOTH
def test_the_seed_decides_all(algorithm):
    first, second, other = fresh(), fresh(), fresh()

    pretrain(first, algorithm)
    torch.rand(7)  # what others draw in between does not matter
    pretrain(second, algorithm)
    pretrain(other, algorithm, dataclasses.replace(CONFIG, seed=1))

    assert torch.equal(first.vectors, second.vectors)
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.vectors, other.vectors)


@BOTH
def test_a_killed_run_goes_on_as_if_nothing_had_happened(algorithm, tmp_path, monkeypatch):
    config = dataclasses.replace(CONFIG, num_steps=12, save_every=5)
    unbroken, killed = fresh(), fresh()
    pretrain(unbroken, algorithm, config, resume_path=tmp_path / "unbroken.pt")
    calls = 0

    def kill(*arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return negative_sampling.descend(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "descend", kill)
        with pytest.raises(KeyboardInterrupt):
            pretrain(killed, algorithm, config, resume_path=tmp_path / "killed.pt")
    done = pretrain(killed, algorithm, config, resume_path=tmp_path / "killed.pt")

    assert done.history.steps_run == 12
    assert torch.equal(killed.vectors, unbroken.vectors)
    assert torch.equal(killed.head.weight, unbroken.head.weight)


def test_the_rate_falls_to_the_end():
    records = pretrain(fresh(), "skipgram", dataclasses.replace(CONFIG, warmup=0)).history.records

    assert [record["lr"] for record in records] == pytest.approx(
        [0.03 * 21 / 40, 0.03 / 40], rel=0.1
    )


def test_bf16_is_not_for_sums_of_small_steps():
    model, expected = fresh(), fresh()

    pretrain(model, "cbow", dataclasses.replace(CONFIG, precision="bf16"))
    pretrain(expected, "cbow", dataclasses.replace(CONFIG, precision="fp32"))

    assert torch.equal(model.vectors, expected.vectors)


def test_a_rate_that_is_far_too_large_is_told():
    with pytest.raises(NonFiniteLossError, match="lower the rate"):
        pretrain(fresh(), "skipgram", dataclasses.replace(CONFIG, lr=1e30))


def test_no_words_to_draw_are_refused():
    with pytest.raises(ValueError, match="num_negatives must be at least 1 or None, got 0"):
        pretrain(fresh(), "cbow", num_negatives=0)
