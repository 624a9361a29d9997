"""word2vec: one net for CBOW and skip-gram, its losses, and the geometry of its vectors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minift.models.word2vec import (
    Word2Vec,
    Word2VecConfig,
    analogy,
    analogy_accuracy,
    nearest,
    negative_sampling_loss,
)
from minift.objectives.windows import cbow_windows, sample_negatives, skipgram_pairs

TINY = Word2VecConfig(vocab_size=21, hidden_size=16)


def two_topics(num_sentences: int = 400) -> tuple[Tensor, Tensor]:
    """Sentences of eight words, of 1..10 or of 11..20, never mixed; and their numbers."""
    generator = torch.Generator().manual_seed(0)
    topic = torch.randint(0, 2, (num_sentences, 1), generator=generator)
    words = torch.randint(1, 11, (num_sentences, 8), generator=generator) + 10 * topic
    return words.flatten(), torch.arange(num_sentences).repeat_interleave(8)


def share_of_neighbours_in_topic(vectors: Tensor) -> float:
    words = torch.arange(1, 21)
    exclude = torch.stack([words, torch.zeros_like(words)], dim=1)  # itself, padding
    found, _ = nearest(vectors, vectors[words], k=5, exclude=exclude)
    return ((found > 10) == (words > 10)[:, None]).float().mean().item()


@pytest.mark.parametrize("task", ["skip-gram", "cbow"])
@pytest.mark.parametrize("loss_name", ["negative sampling", "softmax"])
def test_words_of_one_topic_become_neighbours(task, loss_name):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    ids, documents = two_topics()
    if task == "cbow":
        inputs, mask, targets = cbow_windows(ids, 3, generator, documents=documents)
    else:
        centers, targets = skipgram_pairs(ids, 3, generator, documents)
        inputs, mask = centers[:, None], torch.ones(len(centers), 1, dtype=torch.bool)
    model = Word2Vec(TINY, head="pretrain")
    before = share_of_neighbours_in_topic(model.vectors)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    noise = torch.full((21,), 1 / 20)
    noise[0] = 0

    losses = []
    for _ in range(200):
        rows = torch.randint(0, len(targets), (64,), generator=generator)
        if loss_name == "softmax":
            loss = F.cross_entropy(model(inputs[rows], mask[rows]), targets[rows])
        else:
            features = model.trunk(model.prepare(inputs[rows], mask[rows]))
            negatives = sample_negatives(noise, (64, 5), generator)
            loss = negative_sampling_loss(features, model.head.weight, targets[rows], negatives)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert before < 0.7
    assert share_of_neighbours_in_topic(model.vectors) > 0.95
    assert losses[-1] < losses[0]


def test_trunk_is_the_mean_of_the_real_words():
    torch.manual_seed(0)
    model = Word2Vec(TINY, head=None)
    table = model.vectors

    features = model(torch.tensor([[3, 5, 0], [7, 0, 0]]))

    torch.testing.assert_close(features, torch.stack([(table[3] + table[5]) / 2, table[7]]))


def test_padding_changes_nothing_and_a_real_word_does():
    torch.manual_seed(0)
    model = Word2Vec(TINY, head="classify", num_classes=2)
    mask = torch.tensor([[True, True, False]])

    logits = model(torch.tensor([[3, 5, 9]]), mask)

    torch.testing.assert_close(model(torch.tensor([[3, 5, 4]]), mask), logits)
    assert not torch.allclose(model(torch.tensor([[3, 6, 9]]), mask), logits)


def test_a_row_without_words_is_zero_and_has_a_finite_gradient():
    model = Word2Vec(TINY, head=None)

    features = model(torch.zeros(1, 3, dtype=torch.int64))
    features.sum().backward()

    assert torch.equal(features, torch.zeros(1, 16))
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_span_points_at_words_whatever_stands_around_them():
    torch.manual_seed(0)
    model = Word2Vec(TINY, head="span")

    start, end = model(torch.tensor([[3, 5, 9], [7, 5, 4]]))

    assert start.shape == end.shape == (2, 3)
    for logits in (start, end):
        assert (logits[0] == logits[1]).tolist() == [False, True, False]


def test_pad_id_comes_from_the_config():
    model = Word2Vec(Word2VecConfig(vocab_size=21, hidden_size=16, pad_id=4), head=None)

    torch.testing.assert_close(model(torch.tensor([[0, 4]])), model.vectors[:1])


def test_a_prefix_and_then_the_rest_equals_the_whole():
    torch.manual_seed(0)
    model = Word2Vec(TINY, head="classify", num_classes=3)
    input_ids = torch.tensor([[3, 5, 0], [7, 0, 0]])

    for k in range(len(model.trunk) + 1):
        below = model.trunk(model.prepare(input_ids), stop=k)
        torch.testing.assert_close(model.forward_from(below, start=k), model(input_ids))


def test_input_starts_small_and_output_at_zero():
    torch.manual_seed(0)
    model = Word2Vec(Word2VecConfig(vocab_size=1000, hidden_size=16), head="pretrain")

    bound = 0.5 / 16
    assert 0.99 * bound < model.vectors.abs().max() <= bound
    assert torch.equal(model(torch.tensor([[3, 5]])), torch.zeros(1, 1000))


def test_negative_sampling_loss_is_equation_4():
    torch.manual_seed(0)
    h, u = torch.randn(2, 4), torch.randn(6, 4)
    targets, negatives = torch.tensor([1, 2]), torch.tensor([[3, 4, 3], [0, 5, 1]])

    loss = negative_sampling_loss(h, u, targets, negatives)

    expected = 0.0
    for b in range(2):
        expected -= torch.log(torch.sigmoid(u[targets[b]] @ h[b])) / 2
        for k in negatives[b]:
            expected -= torch.log(torch.sigmoid(-u[k] @ h[b])) / 2
    torch.testing.assert_close(loss, torch.as_tensor(expected))


def test_shared_negatives_equal_the_same_negatives_in_each_row():
    torch.manual_seed(0)
    h, u = torch.randn(3, 4), torch.randn(6, 4)
    targets, negatives = torch.tensor([1, 2, 3]), torch.tensor([3, 0])

    shared = negative_sampling_loss(h, u, targets, negatives)

    torch.testing.assert_close(
        shared, negative_sampling_loss(h, u, targets, negatives.expand(3, 2))
    )


def test_a_negative_that_is_the_target_does_not_count():
    torch.manual_seed(0)
    h, u, targets = torch.randn(1, 4), torch.randn(6, 4), torch.tensor([2])

    with_target = negative_sampling_loss(h, u, targets, torch.tensor([[5, 2]]))

    torch.testing.assert_close(
        with_target, negative_sampling_loss(h, u, targets, torch.tensor([[5]]))
    )


def test_loss_is_a_mean_over_predictions():
    torch.manual_seed(0)
    h, u = torch.randn(3, 4), torch.randn(6, 4)
    targets, negatives = torch.tensor([1, 2, 3]), torch.tensor([[4], [5], [0]])

    once = negative_sampling_loss(h, u, targets, negatives)
    twice = negative_sampling_loss(
        torch.cat([h, h]), u, torch.cat([targets, targets]), torch.cat([negatives, negatives])
    )

    torch.testing.assert_close(once, twice)


def test_nearest_orders_by_angle_and_leaves_out_the_excluded():
    vectors = torch.tensor([[1.0, 0.0], [9.0, 1.0], [0.0, 2.0], [-1.0, 0.0], [1.0, 1.0]])

    ids, cosines = nearest(vectors, vectors[0], k=3, exclude=torch.tensor([0]))

    assert ids.tolist() == [1, 4, 2]
    assert cosines.tolist() == pytest.approx([9 / 82**0.5, 0.5**0.5, 0.0], abs=1e-6)


def test_nearest_answers_many_queries_at_once():
    torch.manual_seed(0)
    vectors = torch.randn(20, 4)

    ids, _ = nearest(vectors, vectors[:6], k=2, exclude=torch.arange(6)[:, None])

    for word in range(6):
        alone, _ = nearest(vectors, vectors[word], k=2, exclude=torch.tensor([word]))
        assert ids[word].tolist() == alone.tolist()
    shared, _ = nearest(vectors, vectors[:6], k=2, exclude=torch.tensor([0, 1]))
    assert not torch.isin(shared, torch.tensor([0, 1])).any()


def planted_analogies() -> tuple[Tensor, Tensor]:
    """Five pairs whose second is the first plus one shared direction; and all their quadruples."""
    torch.manual_seed(0)
    bases, step = torch.randn(5, 32), torch.randn(32)
    vectors = torch.cat([bases, bases + step, torch.randn(10, 32)])
    quadruples = [[i, i + 5, j, j + 5] for i in range(5) for j in range(5) if i != j]
    return vectors, torch.tensor(quadruples)


def test_planted_analogies_are_solved():
    vectors, quadruples = planted_analogies()

    assert analogy(vectors, torch.tensor([0, 5, 1])).tolist() == [6]
    assert analogy(vectors, quadruples[:, :3], k=4).shape == (20, 4)
    assert analogy_accuracy(vectors, quadruples) == 1.0


def test_analogy_accuracy_counts_wrong_answers():
    vectors, quadruples = planted_analogies()
    quadruples[:5, 3] = 15

    assert analogy_accuracy(vectors, quadruples) == 0.75


def test_the_words_of_the_question_are_no_answers():
    torch.manual_seed(0)
    vectors, questions = torch.randn(8, 4), torch.randint(0, 8, (50, 3))

    answers = analogy(vectors, questions)

    assert not (answers == questions).any()


@pytest.mark.parametrize(
    ("head", "num_classes", "message"),
    [
        ("mlm", None, r"head must be one of \['classify', .* got 'mlm'"),
        ("classify", None, "num_classes must be at least 1 for this head, got None"),
        ("pretrain", 2, "num_classes must be None for head 'pretrain', got 2"),
    ],
)
def test_impossible_heads_are_refused(head, num_classes, message):
    with pytest.raises(ValueError, match=message):
        Word2Vec(TINY, head, num_classes)


def test_impossible_questions_are_refused():
    vectors = torch.randn(8, 4)

    with pytest.raises(ValueError, match=r"k must be in 1..8 .* got 9"):
        nearest(vectors, vectors[0], k=9)
    with pytest.raises(ValueError, match=r"quadruples must be \(Q, 4\) .* got \(2, 3\)"):
        analogy_accuracy(vectors, torch.zeros(2, 3, dtype=torch.int64))


def test_an_excluded_word_is_never_an_answer():
    vectors = torch.eye(4)
    assert set(nearest(vectors, vectors[0], 2, torch.tensor([0, 1]))[0].tolist()) == {2, 3}
    with pytest.raises(ValueError, match=r"k must be in 1..2 .* got 3"):
        nearest(vectors, vectors[0], 3, torch.tensor([0, 1]))
