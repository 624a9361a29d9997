"""Sentence pairs: the true order, the false order, and that nothing else tells them apart."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from minift.objectives.pairs import NSP_LABELS, Pair, pack_pairs, sentence_pairs

CLS, SEP, PAD = 1, 2, 0


def corpus(num_documents: int = 8, num_sentences: int = 5, words: int = 3) -> list[list[list[int]]]:
    """Token 1000 d + 100 s + w says where it stands: document, sentence and word."""
    return [
        [[1000 * d + 100 * s + w for w in range(words)] for s in range(num_sentences)]
        for d in range(1, num_documents + 1)
    ]


def draw(documents=None, num_pairs: int = 400, seed: int = 0, **options) -> list[Pair]:
    arguments = {"max_length": 100, **options}
    generator = torch.Generator().manual_seed(seed)
    documents = corpus() if documents is None else documents
    return sentence_pairs(documents, num_pairs=num_pairs, generator=generator, **arguments)


def test_next_segment_follows_in_the_same_document():
    for pair in draw():
        if pair.is_next:
            last, first = pair.first_ids[-1], pair.second_ids[0]
            assert first // 100 == last // 100 + 1
            assert first // 1000 == last // 1000


def test_random_segment_comes_from_another_document():
    for pair in draw(corpus(num_documents=2)):
        same = pair.first_ids[0] // 1000 == pair.second_ids[0] // 1000
        assert same == pair.is_next


def test_half_of_the_pairs_are_next():
    share = sum(pair.is_next for pair in draw(num_pairs=4000)) / 4000
    assert share == pytest.approx(0.5, abs=0.03)


def test_segments_are_whole_sentences_in_order_up_to_max_sentences():
    pairs = draw(max_sentences=2)
    for segment in [*(p.first_ids for p in pairs), *(p.second_ids for p in pairs)]:
        sentences = sorted({token // 100 for token in segment})
        assert segment == [100 * s + w for s in sentences for w in range(3)]
        assert len(sentences) <= 2
        assert sentences[-1] - sentences[0] == len(sentences) - 1


def test_second_segment_alone_does_not_give_the_label_away():
    counts = {True: Counter(), False: Counter()}
    for pair in draw(num_pairs=8000):
        counts[pair.is_next][pair.second_ids[0] // 100 % 10, len(pair.second_ids)] += 1
    assert 0 not in {sentence for sentence, _ in counts[False]}  # never a document's opening
    for key in counts[True] | counts[False]:
        shares = [counts[label][key] / counts[label].total() for label in (True, False)]
        assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_every_document_and_boundary_is_drawn():
    seen = {pair.first_ids[-1] // 100 for pair in draw(num_pairs=2000)}
    assert seen == {10 * d + s for d in range(1, 9) for s in range(4)}


def test_long_pairs_are_cut_away_from_where_they_meet():
    full, cut = draw(max_length=100), draw(max_length=7)
    for before, after in zip(full, cut):
        assert len(after.first_ids) + len(after.second_ids) <= 7
        assert before.first_ids[-len(after.first_ids) :] == after.first_ids
        assert before.second_ids[: len(after.second_ids)] == after.second_ids


def test_the_longer_segment_is_cut_first():
    documents = [[[1] * 20, [2] * 2], [[3] * 20, [4] * 2]]
    for pair in draw(documents, max_length=10):
        assert (len(pair.first_ids), len(pair.second_ids)) == (8, 2)


def test_documents_of_one_sentence_are_passed_over():
    documents = [[[1]], *corpus(2), [[2]]]
    assert {token for p in draw(documents) for token in p.first_ids + p.second_ids} >= {1000, 2400}
    assert all(p.first_ids[0] > 2 and p.second_ids[0] > 2 for p in draw(documents))


@pytest.mark.parametrize("documents", [corpus(1), [*corpus(1), [[5]]]])
def test_corpus_without_a_second_document_is_refused(documents):
    with pytest.raises(ValueError, match=r"documents must .*two"):
        draw(documents)


def test_max_length_below_two_tokens_is_refused():
    with pytest.raises(ValueError, match="max_length must leave a token to each segment, got 1"):
        draw(max_length=1)


def test_same_seed_gives_the_same_pairs():
    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)


def test_pack_lays_out_cls_first_sep_second_sep():
    pairs = [Pair([11, 12], [21], True), Pair([13], [22, 23, 24], False)]
    batch = pack_pairs(pairs, cls_id=CLS, sep_id=SEP, pad_id=PAD)
    assert batch["input_ids"].tolist() == [
        [CLS, 11, 12, SEP, 21, SEP, PAD],
        [CLS, 13, SEP, 22, 23, 24, SEP],
    ]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[True] * 6 + [False], [True] * 7]


def test_next_labels_are_those_of_the_published_checkpoints():
    pairs = [Pair([11], [21], True), Pair([13], [22], False)]
    labels = pack_pairs(pairs, cls_id=CLS, sep_id=SEP, pad_id=PAD)["next_labels"]
    assert [NSP_LABELS[label] for label in labels] == ["is_next", "not_next"]


def test_pack_pads_to_a_given_length_and_refuses_a_shorter_one():
    pairs = [Pair([11, 12], [21], True)]
    batch = pack_pairs(pairs, cls_id=CLS, sep_id=SEP, pad_id=PAD, length=9)
    assert {name: tuple(column.shape) for name, column in batch.items()} == {
        "input_ids": (1, 9),
        "attention_mask": (1, 9),
        "token_type_ids": (1, 9),
        "next_labels": (1,),
    }
    with pytest.raises(ValueError, match="length must be at least 6"):
        pack_pairs(pairs, cls_id=CLS, sep_id=SEP, pad_id=PAD, length=5)
