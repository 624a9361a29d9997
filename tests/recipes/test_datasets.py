"""From texts and labels to tensors: where answers stand, what the decoder reads."""

from __future__ import annotations

import pytest
import torch

from minift.recipes.datasets import (
    answer_scores,
    classification_dataset,
    decode_span,
    encode_documents,
    span_dataset,
    text_to_text_dataset,
)
from minift.tokenizers import WordPiece, WordVocab

QUESTIONS = ["who sat ?", "what did the dog see ?"]
CONTEXTS = ["the old cat sat on the mat .", "at night the dog saw a red house ."]
ANSWERS = ["the old cat", "a red house"]
STARTS = [context.index(answer) for context, answer in zip(CONTEXTS, ANSWERS)]
TEXTS = [*QUESTIONS, *CONTEXTS]


@pytest.fixture(params=["words", "pieces"])
def tokenizer(request):
    if request.param == "words":
        return WordVocab.train(TEXTS, vocab_size=60)
    return WordPiece.train(TEXTS, vocab_size=44)  # too small for whole words


def test_classes_go_with_their_texts(tokenizer):
    dataset = classification_dataset(tokenizer, CONTEXTS, labels=[1, 0], max_length=32)

    assert dataset["labels"].tolist() == [1, 0]
    assert dataset["labels"].dtype == torch.int64
    assert dataset["input_ids"].shape == dataset["attention_mask"].shape
    for row, text in enumerate(CONTEXTS):
        real = dataset["input_ids"][row][dataset["attention_mask"][row]]
        assert real.tolist() == tokenizer.encode(text)


def test_pairs_have_two_segments_and_no_labels_are_needed(tokenizer):
    dataset = classification_dataset(tokenizer, QUESTIONS, CONTEXTS, max_length=64)

    assert "labels" not in dataset
    assert dataset["token_type_ids"].any(1).all()
    assert dataset["input_ids"][0][dataset["attention_mask"][0]].tolist() == (
        tokenizer.encode(QUESTIONS[0], CONTEXTS[0])
    )


def test_labels_point_at_the_tokens_of_the_answer(tokenizer):
    dataset = span_dataset(tokenizer, QUESTIONS, CONTEXTS, ANSWERS, STARTS, max_length=64)

    for row, answer in enumerate(ANSWERS):
        first, last = dataset["labels"][row].tolist()
        ids = dataset["input_ids"][row, first : last + 1].tolist()
        assert ids == tokenizer.encode(answer, special_tokens=False)
        assert dataset["token_type_ids"][row, first : last + 1].all()  # not in the question
        assert decode_span(tokenizer, dataset["input_ids"][row], dataset["labels"][row]) == answer


@pytest.mark.parametrize("layout", ["bert", "gpt", "t5"])
def test_the_context_is_told_from_question_frame_and_padding(layout):
    tokenizer = WordVocab.train([*QUESTIONS, *CONTEXTS], vocab_size=200, layout=layout)

    dataset = span_dataset(tokenizer, QUESTIONS, CONTEXTS, max_length=64)

    for row, context in enumerate(CONTEXTS):
        ids = dataset["input_ids"][row, dataset["is_context"][row]].tolist()
        assert ids == tokenizer.encode(context, special_tokens=False)
        nothing = torch.tensor([0, 0])  # also where the question's first word stands there
        assert decode_span(tokenizer, dataset["input_ids"][row], nothing) == ""


def test_the_label_is_the_occurrence_that_was_meant():
    context = "the cat saw the cat ."
    tokenizer = WordVocab.train([context], vocab_size=40)

    dataset = span_dataset(
        tokenizer, ["what ?"] * 2, [context] * 2, ["cat"] * 2, [4, 16], max_length=32
    )

    first, second = dataset["labels"].tolist()
    assert [end - start for start, end in (first, second)] == [0, 0]
    assert second[0] - first[0] == 3  # "cat saw the cat"


def test_an_answer_that_is_cut_off_points_at_cls():
    tokenizer = WordVocab.train(TEXTS, vocab_size=60)
    whole = span_dataset(tokenizer, QUESTIONS, CONTEXTS, ANSWERS, STARTS, max_length=64)
    last = int(whole["labels"][1, 1])

    def labels(max_length: int) -> list[int]:
        cut = span_dataset(
            tokenizer, QUESTIONS[1:], CONTEXTS[1:], ANSWERS[1:], STARTS[1:], max_length=max_length
        )
        return cut["labels"][0].tolist()

    assert labels(last + 2) == whole["labels"][1].tolist()  # the answer, then [SEP]
    assert labels(last + 1) == [0, 0]  # its last word is gone
    assert labels(last - 2) == [0, 0]  # all of it is gone


def test_no_answer_points_at_cls_and_one_that_was_not_found_is_refused():
    tokenizer = WordVocab.train(TEXTS, vocab_size=60)

    def labels(*starts: int | None) -> list[list[int]]:
        rows = (tokenizer, QUESTIONS, CONTEXTS, ANSWERS, starts)
        return span_dataset(*rows, max_length=64)["labels"].tolist()

    assert labels(*STARTS)[0] != [0, 0]
    assert labels(None, STARTS[1]) == [[0, 0], labels(*STARTS)[1]]
    with pytest.raises(ValueError, match="starts must be at least 0, or None, got -1 in row 1"):
        labels(STARTS[0], "red".find("blue"))


@pytest.mark.parametrize(
    ("pieces", "answer", "labelled"),
    [
        (["foobar", "foo", "bar"], "bar", "foobar"),  # a single token
        (["foobar", "foo", "bar"], "foo", "foobar"),
        (["foo", "##bar", "bar"], "bar", "##bar"),
        (["foo", "##bar", "bar"], "foo", "foo"),
        (["foo", "##bar", "bar"], "bar ,", "##bar,"),
    ],
)
def test_an_answer_inside_a_word_is_the_tokens_that_cover_it(pieces, answer, labelled):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = WordPiece([*special, "x", ",", *pieces])
    context = "x foobar , x"

    dataset = span_dataset(
        tokenizer, ["x"], [context], [answer], [context.index(answer)], max_length=16
    )

    found = decode_span(tokenizer, dataset["input_ids"][0], dataset["labels"][0])
    assert found == labelled


def test_an_unknown_word_is_one_token_of_an_answer():
    tokenizer = WordVocab.train(["the old cat's mat"], vocab_size=40)
    context = "the xylophonist's mat"

    dataset = span_dataset(tokenizer, ["old"], [context], ["the xylophonist"], [0], max_length=16)

    first, last = dataset["labels"][0].tolist()
    words = [tokenizer.vocab[i] for i in dataset["input_ids"][0, first : last + 1].tolist()]
    assert words == ["the", "[UNK]"]


def test_an_answer_of_unknown_words_points_at_cls():
    tokenizer = WordVocab.train(TEXTS, vocab_size=60)
    context = "the xylophone sat ."

    dataset = span_dataset(tokenizer, ["who ?"], [context], ["xylophone"], [4], max_length=16)

    assert dataset["labels"].tolist() == [[0, 0]]


def test_answers_are_scored_by_their_words_and_the_best_of_those_accepted():
    tokenizer = WordVocab.train([*TEXTS, "ice-cold"], vocab_size=60)
    rows = tokenizer(["the old cat sat", "a red house .", "the ice-cold mat"])["input_ids"]

    def scores(spans, *answers):
        return answer_scores(tokenizer, rows, torch.tensor(spans), answers)

    spans = [[1, 3], [2, 3], [2, 5]]
    accepted = [("a mat", "old cat"), ("red house",), ("ice-cold mat",)]
    assert scores(spans, *accepted) == {"exact": 1, "f1": 1}
    half = scores(spans, ("old dog",), *accepted[1:])
    assert half == {"exact": pytest.approx(2 / 3), "f1": pytest.approx((1 / 2 + 1 + 1) / 3)}


def test_no_answer_is_right_only_where_there_is_none():
    tokenizer = WordVocab.train(TEXTS, vocab_size=60)
    rows = tokenizer(["the cat", "the cat", "the xylophone"])["input_ids"]
    spans = torch.zeros(3, 2, dtype=torch.int64)  # all point at [CLS]

    scores = answer_scores(tokenizer, rows, spans, [("",), ("cat",), ("xylophone",)])

    assert scores["exact"] == scores["f1"] == pytest.approx(1 / 3)


def test_questions_alone_have_no_labels(tokenizer):
    assert "labels" not in span_dataset(tokenizer, QUESTIONS, CONTEXTS, max_length=64)


def test_the_decoder_reads_the_target_one_step_late():
    pairs = [("translate : red house", "cat sat"), ("sat", "the old red cat")]
    tokenizer = WordVocab.train([text for pair in pairs for text in pair], 60, layout="t5")
    words = tokenizer.encode

    dataset = text_to_text_dataset(
        tokenizer, pairs, max_length=16, max_target_length=16, start_id=tokenizer.pad_id
    )

    start, eos = tokenizer.pad_id, tokenizer.eos_id
    assert words("cat sat")[-1] == eos
    assert dataset["labels"].tolist() == [
        [*words("cat sat"), -100, -100],
        words("the old red cat"),
    ]
    assert dataset["decoder_input_ids"].tolist() == [
        [start, *words("cat sat"), start],
        [start, *words("the old red cat")[:-1]],
    ]
    assert dataset["attention_mask"].sum(1).tolist() == [5, 2]


def test_long_targets_are_cut():
    pairs = [("a", "the old red cat sat")]
    tokenizer = WordVocab.train(["a the old red cat sat"], 60, layout="t5")

    dataset = text_to_text_dataset(tokenizer, pairs, max_length=8, max_target_length=3, start_id=0)

    assert dataset["labels"].shape == (1, 3)
    assert dataset["labels"][0, -1] == tokenizer.eos_id


def test_documents_are_encoded_without_special_tokens():
    tokenizer = WordVocab.train(TEXTS, vocab_size=60)

    documents = encode_documents(tokenizer, [CONTEXTS, ["who sat ?"]])

    assert [len(document) for document in documents] == [2, 1]
    assert tokenizer.decode(documents[0][0]) == "the old cat sat on the mat."
    ids = {index for document in documents for sentence in document for index in sentence}
    assert not ids & tokenizer.special_ids
