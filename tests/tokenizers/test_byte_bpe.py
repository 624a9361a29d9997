"""Byte-level BPE: nothing is unknown, nothing is lost, and merges are replayed in order."""

from __future__ import annotations

import random
import sys
import unicodedata
from pathlib import Path

import pytest

from minift.tokenizers import ByteBPE
from minift.tokenizers.byte_bpe import BYTE_TO_SYMBOL, split_words

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TEXTS = [
    "low lower lowest",
    "the newest café is lower than the lowest",
    "été, naïve 新しい 🙂🙂",
] * 2


@pytest.fixture(scope="module")
def tokenizer() -> ByteBPE:
    return ByteBPE.train(TEXTS, 300)


def random_text(draw: random.Random) -> str:
    """Letters, spaces and any code points at all, halves of surrogate pairs among them."""
    return "".join(
        draw.choice(["lower", " ", "\n", "'s", "é", chr(draw.randrange(0x110000))])
        for _ in range(draw.randrange(20))
    )


def test_decoding_gives_back_any_text(tokenizer: ByteBPE) -> None:
    draw = random.Random(0)

    for text in (random_text(draw) for _ in range(500)):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n  \t ",
        "\x00\x1c\x85",
        "\ud800",
        "\udc00\ud800",
        "'",
        "''s",
        "e\u0301",
        "_1²Ⅷ½",
    ],
)
def test_decoding_gives_back_odd_texts(tokenizer: ByteBPE, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_special_token_taken_literally_comes_back_too(tokenizer: ByteBPE) -> None:
    text = "before<|endoftext|>after"

    literal = tokenizer.encode(text, special_tokens=False)
    read = tokenizer.encode(text)

    assert tokenizer.eos_id not in literal
    assert tokenizer.decode(literal) == text
    assert read.count(tokenizer.eos_id) == 1
    assert tokenizer.decode(read) == "beforeafter"
    assert tokenizer.decode(read, skip_special_tokens=False) == text


def test_half_a_character_decodes_to_the_replacement_character(tokenizer: ByteBPE) -> None:
    ids = [tokenizer.token_to_id(BYTE_TO_SYMBOL[byte]) for byte in "aé".encode()[:2]]

    assert tokenizer.decode(ids) == "a\ufffd"


def test_any_bytes_come_back(tokenizer: ByteBPE) -> None:
    draw = random.Random(2)
    contents = [bytes(range(256)), b"", b"\xff", "é".encode()[:1], b"low \xed\xa0\x80er"]
    contents += [draw.randbytes(draw.randrange(40)) for _ in range(500)]

    for content in contents:
        assert tokenizer.decode_bytes(tokenizer.encode_bytes(content)) == content


def test_bytes_of_a_text_have_the_ids_of_the_text(tokenizer: ByteBPE) -> None:
    for text in [*TEXTS, "low<|endoftext|>er", " 新しい\n\n 🙂"]:
        ids = tokenizer.encode(text, special_tokens=False)

        assert tokenizer.encode_bytes(text.encode()) == ids
        assert tokenizer.decode_bytes(ids) == text.encode()


def test_spans_are_the_characters_whose_bytes_a_token_has(tokenizer: ByteBPE) -> None:
    draw = random.Random(3)

    for text in (random_text(draw) for _ in range(300)):
        tokens, spans = tokenizer.tokenize(text), tokenizer.spans(text)

        assert len(tokens) == len(spans)
        for token, (start, end) in zip(tokens, spans):
            content = tokenizer.decode_bytes([tokenizer.token_to_id(token)])
            assert content in text[start:end].encode("utf-8", "surrogatepass")


def test_bytes_of_one_character_all_have_its_span() -> None:
    letters = ByteBPE([*BYTE_TO_SYMBOL.values(), "Ġa", "<|endoftext|>"], [("Ġ", "a")])

    offsets = letters(["ö a<|endoftext|>Ж"], return_offsets=True)["offsets"]

    # "ö" is two bytes, the space belongs to " a", a special token has the whole of its name.
    assert offsets[0].tolist() == [[0, 1], [0, 1], [1, 3], [3, 16], [16, 17], [16, 17]]


def test_a_long_word_is_read_in_no_more_than_n_log_n_steps(tokenizer: ByteBPE) -> None:
    # Steps with the square of the length would be 10^11 here, and the test would not end.
    ids = tokenizer.encode("lowest" * 50_000)

    assert tokenizer.decode(ids) == "lowest" * 50_000


def with_added_tokens() -> ByteBPE:
    trained = ByteBPE.train(TEXTS, 290)
    return ByteBPE(
        [*trained.vocab[:-1], "<pad>", "</s>", "<|user|>", "<|user|>:", "<é à>"],
        trained.merges,
        eos_token="</s>",
        pad_token="<pad>",
        added_tokens={"<|user|>": True, "<|user|>:": False, "<é à>": False},
    )


def test_added_tokens_are_whole_and_the_longest_is_taken() -> None:
    tokenizer = with_added_tokens()

    ids = tokenizer.encode("low<|user|>:<|user|> <é à></s>")

    assert [tokenizer.vocab[index] for index in ids] == [
        *["low", "<|user|>:", "<|user|>", "Ġ", "<é à>", "</s>"]
    ]
    # Special ones are left out, others are text.
    assert tokenizer.decode(ids) == "low<|user|>: <é à>"
    assert tokenizer.decode(ids, skip_special_tokens=False) == "low<|user|>:<|user|> <é à></s>"


def test_another_end_and_padding_are_used_in_rows() -> None:
    tokenizer = with_added_tokens()

    batch = tokenizer(["low", "low lower"], ["low", ""], padding_side="left")

    assert tokenizer.eos_id != tokenizer.pad_id
    pad, eos, low = (tokenizer.token_to_id(token) for token in ("<pad>", "</s>", "low"))
    rows = [[low, eos, low], [*tokenizer.encode("low lower"), eos]]
    width = max(map(len, rows))
    assert batch["input_ids"].tolist() == [[pad] * (width - len(row)) + row for row in rows]
    assert batch["attention_mask"].sum(1).tolist() == list(map(len, rows))


def test_words_are_split_by_gpt2s_pattern() -> None:
    assert split_words("They'll say: I've  2 dogs_x²!\n\n ok") == [
        *["They", "'ll", " say", ":", " I", "'ve", " ", " 2", " dogs", "_", "x", "²", "!"],
        *["\n\n", " ok"],
    ]


def test_what_goes_on_beyond_ascii_is_one_word() -> None:
    assert split_words("naïve écru Zoë9٣½ !¿?\x1f…") == [
        *["naïve", " écru", " Zoë", "9٣½", " !¿?\x1f…"]
    ]


def test_every_number_that_is_no_digit_is_known() -> None:
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in ("Nl", "No"):
            assert split_words(f"a{chr(code)}a") == ["a", chr(code), "a"], hex(code)


def test_split_words_joined_are_the_text() -> None:
    draw = random.Random(1)

    for text in (random_text(draw) for _ in range(500)):
        assert "".join(split_words(text)) == text


def test_training_finds_planted_words() -> None:
    tokenizer = ByteBPE.train(["low low lower lower lowest", "low lower lowest lowest"], 266)

    assert {"low", "Ġlow", "Ġlowest", "Ġlower"} <= set(tokenizer.vocab)
    assert tokenizer.tokenize("low lowest lower") == ["low", "Ġlowest", "Ġlower"]


def test_vocabulary_is_bytes_then_merges_then_end_of_text(tokenizer: ByteBPE) -> None:
    assert len(tokenizer) <= 300
    assert tokenizer.vocab[:256] == list(BYTE_TO_SYMBOL.values())
    assert tokenizer.vocab[256:-1] == [left + right for left, right in tokenizer.merges]
    assert tokenizer.vocab[-1] == "<|endoftext|>"
    assert tokenizer.pad_id == tokenizer.eos_id == len(tokenizer) - 1
    assert tokenizer.unk_id is None


def test_merges_are_replayed_in_the_order_learnt() -> None:
    letters = list(BYTE_TO_SYMBOL.values())
    vocab = [*letters, "bc", "ab", "abc", "<|endoftext|>"]

    tokenizer = ByteBPE(vocab, [("b", "c"), ("a", "b"), ("a", "bc")])

    # Longest match would take "ab" for "abd"; and "abc" is a + bc, because b + c came first.
    assert tokenizer.tokenize("abcabd") == ["abc", "ab", "d"]
    assert ByteBPE(vocab, [("a", "b"), ("b", "c"), ("a", "bc")]).tokenize("abc") == ["ab", "c"]


def test_training_is_deterministic() -> None:
    assert ByteBPE.train(TEXTS, 290).merges == ByteBPE.train(TEXTS[::-1], 290).merges


@pytest.mark.parametrize(
    ("extra", "merges", "message"),
    [
        (["ab"], [("a", "b"), ("b", "c")], r"merges\[1\] .*'bc' is not in it"),
        (["ab"], [("a", "b"), ("a", "b")], "each pair once, got .* 2 times"),
        (["a b"], [], "256 byte symbols, got 'a b'"),
    ],
)
def test_merges_and_tokens_that_do_not_fit_are_refused(
    extra: list[str], merges: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ByteBPE([*BYTE_TO_SYMBOL.values(), *extra, "<|endoftext|>"], merges)


def test_missing_bytes_and_too_small_a_size_are_refused() -> None:
    with pytest.raises(ValueError, match="vocab must hold all 256 bytes"):
        ByteBPE(["a", "<|endoftext|>"], [])
    with pytest.raises(ValueError, match=r"vocab_size must be at least 257, .* got 256"):
        ByteBPE.train(TEXTS, 256)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eos_token": "</s>"}, "lacks \\['</s>'\\]"),
        ({"pad_token": "<pad>"}, "lacks \\['<pad>'\\]"),
        ({"added_tokens": {"<x>": True}}, "<x>"),
        ({"added_tokens": {"Ġ": True}}, "must not be the symbol of a byte, got 'Ġ'"),
    ],
)
def test_special_tokens_that_do_not_fit_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ByteBPE([*BYTE_TO_SYMBOL.values(), "<|endoftext|>"], [], **settings)


@pytest.mark.skipif(not DATA.exists(), reason="needs GPT-2's vocabulary beside the checkout")
def test_gpt2_ids_of_known_texts() -> None:
    gpt2 = ByteBPE.from_files(DATA / "gpt2" / "vocab.json", DATA / "gpt2" / "merges.txt")

    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.eos_id == 50256
    assert gpt2.decode([15496, 995, 50256]) == "Hello world"
