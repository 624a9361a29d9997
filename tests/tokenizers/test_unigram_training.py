"""Training by EM: counts are what the sum over all cuts says, and planted pieces are found."""

from __future__ import annotations

import math
import random

import pytest
import torch

from minift.tokenizers import Unigram
from minift.tokenizers.unigram_training import Lattice, expected_counts, learn_pieces, split_words


def all_cuts(word: str) -> list[list[str]]:
    if not word:
        return [[]]
    return [[word[:n], *rest] for n in range(1, len(word) + 1) for rest in all_cuts(word[n:])]


def test_likelihoods_and_counts_are_sums_over_all_cuts() -> None:
    pieces = ["a", "b", "ab", "ba", "aba", "abab"]
    scores = torch.tensor([-1.0, -2.0, -1.5, -3.0, -2.5, -9.0], dtype=torch.float64)
    words = ["ab", "abab", "b", "abbaab"]
    word_counts = torch.tensor([3.0, 2.0, 1.0, 5.0], dtype=torch.float64)

    lattice = Lattice(words, pieces)
    likelihoods = lattice.log_likelihoods(scores)
    counts = expected_counts(lattice, word_counts, scores)

    score = dict(zip(pieces, scores.tolist()))
    expected = dict.fromkeys(pieces, 0.0)
    for word, word_count, likelihood in zip(words, word_counts.tolist(), likelihoods.tolist()):
        cuts = [cut for cut in all_cuts(word) if set(cut) <= set(pieces)]
        weights = [math.exp(sum(score[piece] for piece in cut)) for cut in cuts]
        assert likelihood == pytest.approx(math.log(sum(weights)))
        for cut, weight in zip(cuts, weights):
            for piece in cut:
                expected[piece] += word_count * weight / sum(weights)
    assert counts.tolist() == pytest.approx(list(expected.values()))


def test_a_piece_can_be_spelt_by_others_only() -> None:
    scores = torch.tensor([-1.0, -2.0, -0.1], dtype=torch.float64)

    lattice = Lattice(["ab", "a"], ["a", "b", "ab"], spelt_by_others=True)

    spelt = lattice.log_likelihoods(scores).tolist()
    assert spelt[0] == pytest.approx(-3.0)
    assert spelt[1] < -1000  # a character has no other spelling


def test_words_are_parted_at_spaces_and_between_letters_digits_and_signs() -> None:
    assert split_words("▁It's▁1998.▁▁Sí,▁สวัสดี") == [
        *["▁It", "'", "s", "▁1998", ".", "▁", "▁Sí", ",", "▁สวัสดี"]
    ]
    assert split_words("▁a<x>b", ["<x>"]) == ["▁a", "b"]


def test_training_finds_planted_pieces() -> None:
    draw = random.Random(0)
    stems, endings = ["walk", "jump", "sing", "play", "look", "talk"], ["ing", "ed", "s", ""]
    texts = [
        " ".join(draw.choice(stems) + draw.choice(endings) for _ in range(8)) for _ in range(200)
    ]

    pieces = dict(learn_pieces((f"▁{text}".replace(" ", "▁") for text in texts), 30))

    assert {"▁walk", "▁jump", "▁play", "▁look", "▁talk"} <= set(pieces)
    assert len(pieces) == 30


def test_probabilities_sum_to_about_one_and_come_in_order() -> None:
    pieces = learn_pieces(["▁the▁cat▁sat▁on▁the▁mat"] * 20, 15)
    scores = [score for _, score in pieces]

    assert scores == sorted(scores, reverse=True)
    assert sum(map(math.exp, scores)) == pytest.approx(1, abs=0.1)


def test_more_pieces_fit_the_text_better() -> None:
    texts = ["the newest lower house", "a lower new tower", "the tower of the newest house"] * 99

    few, many = (Unigram.train(texts, size) for size in (20, 30))

    assert sum(map(many.log_prob, texts)) > sum(map(few.log_prob, texts))


def test_training_does_not_depend_on_the_order_of_texts() -> None:
    texts = ["the newest lower house", "a lower new tower"] * 3

    one, other = Unigram.train(texts, 30), Unigram.train(texts[::-1], 30)

    assert one.vocab == other.vocab
    assert [piece.score for piece in one.model.pieces] == pytest.approx(
        [piece.score for piece in other.model.pieces]
    )


def test_rare_characters_stay_unknown() -> None:
    texts = ["abab " * 500 + "漢"]

    assert "漢" not in Unigram.train(texts, 12).vocab
    assert "漢" in Unigram.train(texts, 12, character_coverage=1.0).vocab


def test_special_tokens_symbols_bytes_and_sentinels_count_in_the_size() -> None:
    tokenizer = Unigram.train(
        ["the newest lower house, the tower"] * 5,
        300,
        num_sentinels=3,
        byte_fallback=True,
        user_defined_symbols=["<x>"],
    )

    assert len(tokenizer) <= 300
    assert tokenizer.vocab[:4] == ["<pad>", "</s>", "<unk>", "<x>"]
    assert tokenizer.vocab[4:260] == [f"<0x{byte:02X}>" for byte in range(256)]
    assert tokenizer.vocab[-3:] == ["<extra_id_2>", "<extra_id_1>", "<extra_id_0>"]


def test_no_text_makes_a_vocabulary_of_special_tokens() -> None:
    assert Unigram.train([], 20).vocab == ["<pad>", "</s>", "<unk>"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 5}, "vocab_size must leave room for 8 characters"),
        ({"vocab_size": 50, "character_coverage": 0.0}, "character_coverage must be above 0"),
        ({"texts": "one string", "vocab_size": 50}, "texts must be a list"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Unigram.train(**{"texts": ["a lower tower"], **options})
