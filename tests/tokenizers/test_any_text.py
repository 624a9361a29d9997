"""Whatever the text, no tokenizer fails, and each token stands where its span says."""

from __future__ import annotations

import pytest

from minift.tokenizers import ByteBPE, Tokenizer, Unigram, WordPiece, WordVocab

TEXTS = ["The newest café is lower than the lowest.", "Wider, newer, lower: new!", "日本 İ ß ก็"]
TOKENIZERS: dict[str, Tokenizer] = {
    "word_vocab": WordVocab.train(TEXTS, 60),
    "wordpiece": WordPiece.train(TEXTS, 100),
    "wordpiece_cased": WordPiece.train(TEXTS, 100, lowercase=False),
    "byte_bpe": ByteBPE.train(TEXTS, 280),
    "unigram": Unigram.train(TEXTS, 60),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_any_text_is_read_and_written(
    name: str, nasty_texts: list[str], random_texts: list[str]
) -> None:
    tokenizer = TOKENIZERS[name]

    for text in [*nasty_texts, *random_texts]:
        for special_tokens in (True, False):
            ids = tokenizer.encode(text, text[::-1], special_tokens)
            assert all(0 <= index < len(tokenizer) for index in ids)
            assert isinstance(tokenizer.decode(ids), str)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_spans_of_any_text_follow_it(
    name: str, nasty_texts: list[str], random_texts: list[str]
) -> None:
    tokenizer = TOKENIZERS[name]
    shortest = 0 if name == "unigram" else 1  # the space it puts before a text stands nowhere

    for text in [*nasty_texts, *random_texts]:
        spans = tokenizer.spans(text)
        assert len(spans) == len(tokenizer.tokenize(text))
        assert all(0 <= start <= end - shortest for start, end in spans)
        assert all(end <= len(text) for _, end in spans)
        if name != "wordpiece":  # dropping accents first puts the marks of a letter in order
            assert spans == sorted(spans)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_offsets_of_a_batch_are_the_spans_of_its_texts(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    mark = tokenizer.special.tokens[0]
    first, second = f" Lower{mark}the İ", "new, café"

    batch = tokenizer([first, "new"], [second, "the"], return_offsets=True, max_length=40)
    ids, types, offsets = (
        batch[key][0].tolist() for key in ("input_ids", "token_type_ids", "offsets")
    )

    assert set(tokenizer([first])) == set(batch) - {"offsets"}
    texts = (first, second)
    read = [texts[which][start:end] for which, (start, end) in zip(types, offsets) if end]
    assert mark in read
    assert [s for s, o in zip(ids, offsets) if o == [0, 0] and s not in tokenizer.special_ids] == []
    pieces = [tokenizer.spans(part) for part in (" Lower", "the İ")]
    own = [list(span) for span in pieces[0]]
    own.append([len(" Lower"), len(" Lower") + len(mark)])
    skip = len(" Lower") + len(mark)
    own += [[skip + start, skip + end] for start, end in pieces[1]]
    assert [o for o, t in zip(offsets, types) if t == 0 and o != [0, 0]] == own
    assert [o for o, t in zip(offsets, types) if t == 1 and o != [0, 0]] == [
        list(span) for span in tokenizer.spans(second)
    ]
    padding = ~batch["attention_mask"]
    assert padding.any()
    assert not batch["offsets"][padding].any()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_offsets_are_cut_and_padded_with_the_ids(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    texts = ["the newest café is lower", "new"]
    whole = tokenizer(texts, return_offsets=True)["offsets"]

    cut = tokenizer(texts, return_offsets=True, max_length=5, padding_side="left")

    assert cut["offsets"].shape == (*cut["input_ids"].shape, 2)
    kept = cut["offsets"][0][cut["offsets"][0, :, 1] > 0]
    assert kept.equal(whole[0][whole[0, :, 1] > 0][: len(kept)])
    assert tokenizer([], return_offsets=True)["offsets"].shape == (0, 0, 2)
