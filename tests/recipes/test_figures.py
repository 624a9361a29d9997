"""The pictures that teach show what is true of the model, and say it."""

from __future__ import annotations

import re

import torch

from minift.models.registry import create_model
from minift.recipes.figures import (
    LONGEST_MAP,
    add_attention,
    add_confusion,
    add_filters,
    add_step_scale,
    add_tokens,
    add_word_map,
)
from minift.recipes.report import Report
from minift.tokenizers import WordVocab

TEXTS = ["mara has a sparrow .", "tom has a hammer .", "a sparrow is a bird ."]


def test_confused_classes_are_shares_of_the_true_ones() -> None:
    report = Report("title")
    labels = torch.tensor([0, 0, 0, 0, 1])
    add_confusion(report, {"a": torch.tensor([0, 1, 1, 1, 1])}, labels, ["cat", "dog", "cow"])
    html = report.html()
    for hint in ("cat, cat: 25", "cat, dog: 75", "dog, dog: 100", "cow, cow: 0"):
        assert f"<title>{hint}</title>" in html


def test_trained_filters_stand_beside_random_ones() -> None:
    report, model = Report("title"), create_model("resnet8", head=None)
    add_filters(report, model, seed=0)
    first, second = re.findall('src="(.*?)"', report.html())
    assert first != second
    torch.manual_seed(0)
    same = create_model("resnet8", head=None)
    report = Report("title")
    add_filters(report, same, seed=0)
    assert re.findall('src="(.*?)"', report.html()) == [second, second]


def test_attention_is_drawn_for_the_tokens_of_a_row_up_to_a_length() -> None:
    tokenizer = WordVocab.train(TEXTS, vocab_size=40)
    torch.manual_seed(0)
    model = create_model("bert-micro", head=None, vocab_size=len(tokenizer))
    for number, length in ((1, 7), (30, LONGEST_MAP)):
        row = {name: v[0] for name, v in tokenizer([" ".join(TEXTS[:1] * number)]).items()}
        report = Report("title")
        add_attention(report, model, tokenizer, row)
        maps = re.findall("Heat map of token by reads", report.html())
        hints = re.findall(r"<title>\[CLS\], .*?</title>", report.html())
        assert maps
        assert len(hints) == len(maps) * length


def test_models_without_attention_have_no_map_of_it() -> None:
    report = Report("title")
    tokenizer = WordVocab.train(TEXTS, vocab_size=40)
    row = {name: values[0] for name, values in tokenizer(TEXTS[:1]).items()}
    add_attention(report, create_model("word2vec", head=None), tokenizer, row)
    assert "<svg" not in report.html()


def test_words_stand_as_their_vectors_do() -> None:
    tokenizer = WordVocab.train(TEXTS, vocab_size=40)
    vectors = torch.zeros(len(tokenizer), 8)
    for word, place in (("sparrow", 1.0), ("bird", 0.9), ("hammer", -1.0)):
        vectors[tokenizer.token_to_id(word), 3] = place
    report = Report("title")
    add_word_map(report, vectors, tokenizer, {"a": ["sparrow", "bird"], "b": ["hammer"]})
    html = report.html()
    assert "first component, 100% of the variance" in html
    places = dict(re.findall(r'x="([\d.]+)%"[^>]*><path[^>]*><title>(.*?)</title>', html))
    x = {name: float(place) for place, name in places.items()}
    assert x["b: hammer"] < 50 < x["a: bird"] < x["a: sparrow"]


def test_step_scale_says_where_the_run_ends() -> None:
    report = Report("title")
    add_step_scale(report, num_steps=160)
    html = report.html()
    assert "6.6 times" in html
    assert "A fine-tuning of 160 steps ends while they still are 2.6 times too long" in html


def test_each_tokenizer_cuts_the_same_text() -> None:
    report = Report("title")
    add_tokens(report, "mara has a woodpecker", TEXTS * 9)
    html = report.html()
    named = re.findall(r"<dt>(\w+): (\d+) tokens</dt>", html)
    assert [name for name, _ in named] == ["WordVocab", "WordPiece", "ByteBPE", "Unigram"]
    assert "[UNK]" in html
