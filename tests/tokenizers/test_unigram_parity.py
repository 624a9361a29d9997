"""Unigram gives the ids, texts and files of sentencepiece and of transformers' T5Tokenizer."""

# ruff: noqa: RUF001 (signs that look like others are the point)

from __future__ import annotations

import io
import random
import re
from pathlib import Path
from typing import Any

import pytest

from minift.tokenizers import Unigram, load_tokenizer
from minift.tokenizers.charsmap import CharacterMap, Normalizer, nfkc_rules
from minift.tokenizers.sentencepiece import PieceKind, read_model

pytestmark = pytest.mark.parity
sentencepiece = pytest.importorskip("sentencepiece")

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MODELS = [DATA / "t5" / "spiece.model", DATA / "sentencepiece" / "test_model.model"]
TEXT_FILES = sorted(
    path
    for suffix in ("txt", "tsv", "cor", "json")
    for path in DATA.glob(f"*/*.{suffix}")
    if not path.parent.name.startswith(("gpt2", "bert-"))
)
MAX_LINES, MAX_LINE = 1000, 3000  # of a file; characters of a line
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs the data beside the checkout")
ROOT = Path(__file__).resolve().parents[2]

NASTY = [
    *["", " ", "  ", "\n", "\t a \n b ", "\u3000a\u00a0b", "a" * 500, " " * 200, "ab" * 300],
    *["\x00", "a\x00b", "\x01\x7f\x85", "\u2028\u2029", "\ufeffBOM", "\ufffd", "\uffff"],
    *["🙂", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "e\u0301", "\u0301", "a\u0301\u0302\u0303", "Z̷̨̛a̸l̶g̵o̴"],
    *[
        "ﬁ ﬂ ŉ ① ㍿ ﷺ ½ Å ẞ İ",
        "か\u3099 ｶﾞ",
        "\u1112\u1161\u11ab 한",
        "漢字かな交じり文",
        "你好，世界！",
    ],
    *[
        "مرحبا بالعالم ١٢٣",
        "สวัสดีชาวโลก",
        "नमस्ते दुनिया",
        "\u200b \u200d\u200c\u00ad",
        "\u202ex\u202c",
    ],
    *[
        "</s> <pad> <unk> <s>",
        "▁",
        "▁▁ a▁b ▁",
        "<0x41>",
        "<x>",
        "ABC AB ABCAB",
        "foo bar  foo  bar",
    ],
    *["000 0000 00000 111111", "3181118\t3181443", "!!!???...", "\U0010ffff"],
]


def random_texts(number: int, seed: int = 0) -> list[str]:
    """Any characters of Unicode among common and nasty pieces; no halves of surrogate pairs."""
    draw = random.Random(seed)
    pieces = [*NASTY[:12], *NASTY[18:], "the ", "tion", " ", "00", "e\u0301"]

    def character() -> str:
        code = draw.randrange(draw.choice([0x250, 0x3000, 0x110000]))
        return chr(code) if not 0xD800 <= code < 0xE000 else "A"

    return [
        "".join(
            draw.choice(pieces)[:20] if draw.random() < 0.6 else character()
            for _ in range(draw.randrange(25))
        )
        for _ in range(number)
    ]


def file_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").split("\n")
    step = max(1, len(lines) // MAX_LINES)
    return [line[:MAX_LINE] for line in lines[::step]]


def assert_same(unigram: Unigram, reference: Any, texts: list[str]) -> None:
    for text in texts:
        expected = reference.encode(text)
        assert unigram.encode(text, special_tokens=False) == expected, ascii(text)
        known = [index for index in expected if index != reference.unk_id()]
        assert unigram.decode(known) == reference.decode(known), ascii(text)


def train_reference(**options: Any) -> bytes:
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training_texts()),
        model_writer=content,
        minloglevel=2,
        **{"vocab_size": 500, "hard_vocab_limit": False, **options},
    )
    return content.getvalue()


def training_texts() -> list[str]:
    """English that is always there: the documentation of this package, and mixed scripts."""
    paths = sorted((ROOT / "minift").rglob("*.py"))[:25]
    lines = [line.strip() for path in paths for line in path.read_text("utf-8").split("\n")]
    return [line for line in lines if line] + NASTY[18:30] * 3


@needs_data
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.name)
@pytest.mark.parametrize("path", TEXT_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_ids_of_real_texts_are_sentencepieces(model: Path, path: Path) -> None:
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))

    assert_same(_loaded(model), reference, file_lines(path))


@needs_data
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.name)
def test_ids_of_nasty_texts_are_sentencepieces(model: Path) -> None:
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))

    assert_same(_loaded(model), reference, NASTY + random_texts(3000))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byte_fallback": True, "vocab_size": 800},
        {"user_defined_symbols": ["foo bar", "<x>", "ABC", "AB", "\n", "e\u0301", "ﬁ", "11", "▁"]},
        {"normalization_rule_name": "identity"},
        {"normalization_rule_name": "nfkc_cf", "byte_fallback": True, "vocab_size": 800},
        {
            "normalization_rule_name": "identity",
            "add_dummy_prefix": False,
            "remove_extra_whitespaces": False,
        },
        {"remove_extra_whitespaces": False, "user_defined_symbols": ["  "]},
        {"add_dummy_prefix": False},
        {"treat_whitespace_as_suffix": True},
        {"split_by_whitespace": False},
        {"control_symbols": ["<c>"], "pad_id": 3, "bos_id": -1},
        {"eos_id": -1, "bos_id": -1, "vocab_size": 5000},
    ],
    ids=str,
)
def test_models_trained_with_any_options_give_the_same_ids(
    options: dict[str, Any], tmp_path: Path
) -> None:
    content = train_reference(**options)
    reference = sentencepiece.SentencePieceProcessor(model_proto=content)
    (tmp_path / "any.model").write_bytes(content)
    texts = NASTY + random_texts(500) + training_texts()[::10]

    unigram = Unigram.from_model(tmp_path / "any.model")

    assert_same(unigram, reference, texts)
    unigram.write_model(tmp_path / "again.model")
    rewritten = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "again.model"))
    assert [rewritten.encode(text) for text in texts] == [reference.encode(text) for text in texts]
    assert read_model(tmp_path / "again.model").pieces == unigram.model.pieces


@pytest.mark.parametrize("options", [{}, {"byte_fallback": True}, {"user_defined_symbols": ["AB"]}])
def test_sentencepiece_opens_a_model_that_we_trained(
    options: dict[str, Any], tmp_path: Path
) -> None:
    normalizer = Normalizer(CharacterMap.from_rules(nfkc_rules()))
    unigram = Unigram.train(training_texts(), 900, normalizer=normalizer, **options)

    unigram.write_model(tmp_path / "ours.model")

    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "ours.model"))
    assert_same(unigram, reference, NASTY + random_texts(1000) + training_texts()[::10])


@pytest.mark.parametrize("vocab_size", [400, 1500])
def test_training_fits_unseen_text_as_well_as_sentencepiece(
    vocab_size: int, tmp_path: Path
) -> None:
    texts = [text for text in training_texts() if text.isascii()]
    held_out = texts[::10]
    seen = [text for index, text in enumerate(texts) if index % 10]
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(seen),
        model_writer=content,
        minloglevel=2,
        vocab_size=vocab_size,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        character_coverage=1.0,
    )
    (tmp_path / "reference.model").write_bytes(content.getvalue())
    reference = Unigram.from_model(tmp_path / "reference.model")

    ours = Unigram.train(
        seen, vocab_size, normalizer=reference.model.normalizer, character_coverage=1.0
    )

    assert len(ours) == len(reference) == vocab_size
    # Negative log-likelihood: at most 2% above theirs. Their probabilities need not sum to one
    # after pruning, so each is measured as it is.
    assert _loss(ours, held_out) <= 1.02 * _loss(reference, held_out)


@needs_data
def test_t5_is_transformers_t5(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "spiece.model").write_bytes(MODELS[0].read_bytes())
    reference = transformers.T5Tokenizer.from_pretrained(tmp_path)
    unigram = load_tokenizer(tmp_path)

    assert len(unigram) == len(reference) == 32_100
    assert unigram.sentinel_ids == reference.convert_tokens_to_ids(
        [f"<extra_id_{number}>" for number in range(100)]
    )
    assert (unigram.pad_id, unigram.eos_id, unigram.unk_id) == (
        *(reference.pad_token_id, reference.eos_token_id, reference.unk_token_id),
    )
    texts = [
        *["The <extra_id_0> walks in<extra_id_1> park", "<extra_id_99>x<extra_id_0>", "</s> a"],
        *["x <pad> y", "translate English to German: That is good.", "a  b\n\tc", "漢字 🙂🙂", ""],
        *(line for path in TEXT_FILES for line in file_lines(path)[:: MAX_LINES // 50]),
    ]
    for text in texts:
        assert unigram.encode(text) == reference(text)["input_ids"], ascii(text)
    for text in texts[:200]:
        pair = (text, "and more")
        assert unigram.encode(*pair) == reference(*pair)["input_ids"]
    batch = unigram(texts[:50], max_length=20)
    expected = reference(
        texts[:50], max_length=20, truncation=True, padding=True, return_tensors="pt"
    )
    assert batch["input_ids"].equal(expected["input_ids"])
    assert batch["attention_mask"].long().equal(expected["attention_mask"])


@needs_data
def test_a_folder_that_transformers_wrote_is_read(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "spiece.model").write_bytes(MODELS[0].read_bytes())
    transformers.T5Tokenizer.from_pretrained(tmp_path / "old").save_pretrained(tmp_path / "new")

    from_model = load_tokenizer(tmp_path / "old")
    from_json = load_tokenizer(tmp_path / "new")

    assert not (tmp_path / "new" / "spiece.model").exists()
    assert from_json.fingerprint == from_model.fingerprint


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_transformers_opens_a_folder_that_we_wrote(byte_fallback: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    unigram = Unigram.train(
        training_texts(), 900, num_sentinels=5, byte_fallback=byte_fallback, character_coverage=0.99
    )

    unigram.save(tmp_path, layout="huggingface")

    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(reference) == len(unigram)
    # In a long run of one sign ways to cut it are equally good, and transformers, which counts with
    # 64 bits, takes another one than SentencePiece and we.
    plain_texts = [text for text in training_texts()[::5] if not re.search(r"(.)\1{5}", text)]
    for text in [*plain_texts, "a <extra_id_1>b</s> c", "  two  spaces  ", "x漢🙂y", " a \n b "]:
        ids = unigram.encode(text)
        assert reference(text)["input_ids"] == ids, ascii(text)
        if unigram.unk_id not in ids:
            decoded = reference.decode(ids, skip_special_tokens=True)
            assert decoded == unigram.decode(ids), ascii(text)
    again = load_tokenizer(tmp_path)
    assert again.fingerprint == unigram.fingerprint
    plain = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    assert plain.encode("the same pieces") == unigram.encode(
        "the same pieces", special_tokens=False
    )


_MODELS: dict[Path, Unigram] = {}


def _loaded(path: Path) -> Unigram:
    if path not in _MODELS:
        _MODELS[path] = Unigram.from_model(path)
    return _MODELS[path]


def _loss(unigram: Unigram, texts: list[str]) -> float:
    assert all(piece.kind != PieceKind.USER_DEFINED for piece in unigram.model.pieces)
    return -sum(unigram.log_prob(text) for text in texts)
