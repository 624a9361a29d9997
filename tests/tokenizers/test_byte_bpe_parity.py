"""ByteBPE gives the ids, spans and merges of transformers, tokenizers and tiktoken."""

# ruff: noqa: RUF001 (signs that look like others are the point)

from __future__ import annotations

import json
import random
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from minift.tokenizers import ByteBPE, load_tokenizer
from minift.tokenizers.byte_bpe import split_words

pytestmark = pytest.mark.parity

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
GPT2 = DATA / "gpt2"
needs_gpt2 = pytest.mark.skipif(not GPT2.exists(), reason="needs GPT-2's vocabulary")
TEXT_FILES = sorted(
    path
    for suffix in ("txt", "tsv", "cor", "json")
    for path in DATA.glob(f"*/*.{suffix}")
    if not path.parent.name.startswith(("gpt2", "bert-"))
)
MAX_LINES, MAX_LINE = 3000, 20_000  # of a file; characters of a line

NASTY = [
    *["", " ", "  ", "\n", "\r\n", "\t", " \n ", "\n\n  a", "a  ", "   a   b   ", "\u3000a\u00a0b"],
    *["\x00", "\x1c\x1d\x1e\x1f", "a\x1cb", " \x1c ", "\x85", " \x85a", "\x7f\x80", "\u2028\u2029"],
    *["'s't're've'm'll'd", "it's IT'S it’s", "''s", "'", " 's", "x'S", "don't've", "'d'"],
    *["🙂", "👩‍👩‍👧‍👦 family", "🏳️‍🌈", "🇩🇪🇫🇷", "e\u0301", "\u0301", "a\u0301\u0302\u0303", "Z̷̨̛a̸l̶g̵o̴"],
    *["\u200b", "a\u200db", "\ufeffBOM", "\u202eright\u202c", "\u00ad", "\u180e", "\ufffd"],
    *["مرحبا بالعالم ١٢٣", "สวัสดีชาวโลก", "नमस्ते दुनिया १२", "你好，世界！", "こんにちは"],
    *["안녕하세요", "\uffff"],
    *["½²³Ⅷ①〇", "1½2", "a²", " ²", "x_1__y", "_", "3.14e-10", "1,000,000", "٣٤", "𝟘𝟙𝒜", "ªº", "ǅ"],
    *["<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>"],
    *["<|endoftext", "<|<|endoftext|>|>", "http://a.b/c?d=e&f#g", "x=1;\n\ty==2 // ok"],
    *["a" * 3000, "ab" * 1500, " " * 500, "\n" * 300, "9" * 500, "!?" * 300, "ß" * 700, "漢" * 700],
    *["Mixed: Ünïcödé ﬁ ﬂ ŉ İı ẞ", "\U0010ffff\U000e0001", "\x0b\x0c", "tab\tsep\tend "],
]


def random_texts(number: int, seed: int = 0) -> list[str]:
    """Any code points that `unicodedata` knows, among common pieces; no halves of surrogates."""
    draw = random.Random(seed)
    known = [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs")
    ]
    pieces = ["the", " ", "  ", "\n", "'s", "1", "é", "!", "<|endoftext|>"]
    return [
        "".join(
            draw.choice(pieces) if draw.random() < 0.6 else chr(draw.choice(known))
            for _ in range(draw.randrange(30))
        )
        for _ in range(number)
    ]


def lines_of(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [line[:MAX_LINE] for line in lines[:MAX_LINES]]


@pytest.fixture(scope="module")
def ours() -> ByteBPE:
    return ByteBPE.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt")


@pytest.fixture(scope="module")
def reference() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2Tokenizer(
        vocab=str(GPT2 / "vocab.json"), merges=str(GPT2 / "merges.txt")
    )


@needs_gpt2
@pytest.mark.parametrize("path", TEXT_FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_ids_and_texts_of_real_files_equal_transformers(
    path: Path, ours: ByteBPE, reference: Any
) -> None:
    lines = lines_of(path)

    expected = reference(lines)["input_ids"]

    assert [ours.encode(line) for line in lines] == expected
    assert [ours.decode(ids) for ids in expected] == reference.batch_decode(
        expected, skip_special_tokens=True
    )


@needs_gpt2
@pytest.mark.parametrize("texts", [NASTY, random_texts(2000)], ids=["nasty", "random"])
def test_ids_and_spans_of_nasty_texts_equal_transformers(
    texts: list[str], ours: ByteBPE, reference: Any
) -> None:
    expected = reference(texts, return_offsets_mapping=True)

    for index, text in enumerate(texts):
        assert ours.encode(text) == expected["input_ids"][index], repr(text)
        batch = ours([text], return_offsets=True)
        spans = [tuple(span) for span in batch["offsets"][0].tolist()]
        assert spans == expected["offset_mapping"][index], repr(text)


@needs_gpt2
def test_texts_of_random_ids_equal_transformers(ours: ByteBPE, reference: Any) -> None:
    draw = random.Random(0)

    for _ in range(1000):
        ids = [draw.randrange(50257) for _ in range(draw.randrange(20))]
        for skip in (True, False):
            assert ours.decode(ids, skip) == reference.decode(ids, skip_special_tokens=skip)


@needs_gpt2
@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_padded_on_either_side_equal_transformers(
    side: str, ours: ByteBPE, reference: Any
) -> None:
    texts = ["Hello world", "a", "", "the quick brown fox<|endoftext|>jumps"]
    reference.pad_token = reference.eos_token

    expected = reference(
        texts, padding=True, truncation=True, max_length=6, padding_side=side, return_tensors="pt"
    )
    batch = ours(texts, max_length=6, padding_side=side)

    assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
    assert batch["attention_mask"].long().tolist() == expected["attention_mask"].tolist()


@needs_gpt2
def test_ids_equal_tiktoken(ours: ByteBPE) -> None:
    """From the two local files: its own loader takes them from the network."""
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {ours.decode_bytes([index]): index for index in range(50256)}
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
    reference = tiktoken.Encoding(
        "gpt2",
        pat_str=pattern,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 50256},
        explicit_n_vocab=50257,
    )

    for text in [*NASTY, *random_texts(1000, seed=1)]:
        assert ours.encode(text) == reference.encode(text, allowed_special="all"), repr(text)
        assert ours.encode(text, special_tokens=False) == reference.encode_ordinary(text)


def test_words_are_split_as_by_tokenizers_for_every_known_character() -> None:
    """Each character of `unicodedata` beside a letter, a number, a sign, a space and a tab."""
    tokenizers = pytest.importorskip("tokenizers")
    splitter = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)

    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) not in ("Cn", "Cs"):
            text = f"a{character}a1{character}1!{character}! {character} \t{character}\tx"
            pieces = splitter.pre_tokenize_str(text)
            assert split_words(text) == [text[start:end] for _, (start, end) in pieces], hex(code)


def reference_merges(texts: list[str], vocab_size: int, min_count: int) -> list[tuple[str, ...]]:
    tokenizers = pytest.importorskip("tokenizers")
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(
        texts,
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    merges = json.loads(trained.to_str())["model"]["merges"]
    return [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in merges]


def test_merges_equal_the_bare_trainer_that_begins_with_all_bytes() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    texts = ["the low lower lowest café", "the newest of the low 新しい"] * 3
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = byte_level(add_prefix_space=False)

    theirs.train_from_iterator(
        texts,
        tokenizers.trainers.BpeTrainer(
            vocab_size=300,
            min_frequency=2,
            initial_alphabet=byte_level.alphabet(),
            show_progress=False,
        ),
    )

    ours = ByteBPE.train(texts, 301)  # one more, for the end of a text
    assert ours.merges == [tuple(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]]
    assert ours.vocab[:-1] == [theirs.id_to_token(index) for index in range(300)][: len(ours) - 1]


@pytest.mark.skipif(not DATA.exists(), reason="needs the texts beside the checkout")
@pytest.mark.parametrize(
    "name",
    [
        "wikitext-2/valid.txt",
        "tinyshakespeare/input.txt",
        "lee/lee_background.cor",
        "mrpc/train.tsv",
    ],
)
def test_merges_of_real_files_equal_the_trainer_of_tokenizers(name: str) -> None:
    lines = lines_of(DATA / name)

    assert ByteBPE.train(lines, 4000).merges == reference_merges(lines, 4000, 2)


@pytest.mark.parametrize("seed", range(20))
def test_merges_of_texts_full_of_ties_equal_the_trainer_of_tokenizers(seed: int) -> None:
    draw = random.Random(seed)
    letters = draw.choice(["aaaab", "ab c\n", "abcdefgh é漢"])
    texts = ["".join(draw.choices(letters, k=100)) for _ in range(5)]
    min_count = draw.choice([1, 2])

    expected = reference_merges(texts, 400, min_count)

    assert ByteBPE.train(texts, 400, min_count=min_count).merges == expected


def small() -> ByteBPE:
    """A tokenizer of our own, with tokens of every sort: padding, special, plain, with a space."""
    trained = ByteBPE.train(["the low lower lowest café 新しい", "the newest of the low"] * 3, 290)
    vocab = [*trained.vocab[:-1], "<pad>", "</s>", "<|user|>", "<two words>", "  "]
    return ByteBPE(
        vocab,
        trained.merges,
        eos_token="</s>",
        pad_token="<pad>",
        added_tokens={"<|user|>": True, "<two words>": False, "  ": False},
    )


@pytest.mark.parametrize("which", ["trained", "small", "gpt2"])
def test_autotokenizer_opens_what_is_written(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    transformers = pytest.importorskip("transformers")
    if which == "gpt2" and not GPT2.exists():
        pytest.skip("needs GPT-2's vocabulary")
    trained = ByteBPE.train(["the low lower lowest", "the newest"] * 3, 290)
    mine = {"trained": lambda: trained, "small": small}.get(
        which, lambda: request.getfixturevalue("ours")
    )()

    mine.save(tmp_path, layout="huggingface")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)

    assert len(theirs) == len(mine)
    assert (theirs.eos_token_id, theirs.pad_token_id) == (mine.eos_id, mine.pad_id)
    special = "the low<|user|> lower  <two words>newest</s><pad> the"
    for text in [special, *NASTY, *random_texts(300)]:
        ids = theirs(text)["input_ids"]
        assert mine.encode(text) == ids, repr(text)
        for skip in (True, False):
            assert mine.decode(ids, skip) == theirs.decode(ids, skip_special_tokens=skip)
    texts, pairs = ["the low", "lower", ""], ["newest", "", "the"]
    expected = theirs(texts, pairs, padding=True, padding_side="left")
    assert mine(texts, pairs, padding_side="left")["input_ids"].tolist() == expected["input_ids"]


@pytest.mark.parametrize("which", ["trained", "small"])
@pytest.mark.parametrize("files", [["tokenizer.json"], ["vocab.json", "merges.txt"]])
def test_what_transformers_writes_is_read(which: str, files: list[str], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    mine = small() if which == "small" else ByteBPE.train(["the low lower lowest"] * 3, 270)
    mine.save(tmp_path / "mine", layout="huggingface")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "mine")
    theirs.save_pretrained(tmp_path / "theirs")
    if files != ["tokenizer.json"]:  # as before 2020: GPT-2's two files and those beside them
        (tmp_path / "theirs" / "tokenizer.json").unlink()
        theirs.backend_tokenizer.model.save(str(tmp_path / "theirs"))
        added = {token: mine.token_to_id(token) for token in mine.added_tokens}
        (tmp_path / "theirs" / "added_tokens.json").write_text(json.dumps(added))

    again = load_tokenizer(tmp_path / "theirs")

    assert isinstance(again, ByteBPE)
    assert (again.vocab, again.merges) == (mine.vocab, mine.merges)
    assert (again.eos_token, again.pad_token) == (mine.eos_token, mine.pad_token)
    assert again.added_tokens.keys() == mine.added_tokens.keys()
    for text in [*NASTY, *random_texts(100)]:
        assert again.encode(text) == theirs(text)["input_ids"]
