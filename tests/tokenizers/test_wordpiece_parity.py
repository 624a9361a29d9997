"""WordPiece against the reference libraries: the same ids, offsets, files, and merges in training.

The texts are those beside the checkout, where they are, and the strings of conftest.py. Characters
that the two sides' tables of Unicode know differently are found, counted and left out.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from minift.tokenizers import WordPiece, load_tokenizer
from minift.tokenizers.bert_text import NOT_SPACE, basic_tokenize, read_words
from minift.tokenizers.files import read_vocab
from minift.tokenizers.pair_merges import learn_merges

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FILES = sorted(
    path for kind in ("txt", "tsv", "json", "cor", "md") for path in DATA.rglob(f"*.{kind}")
)
NUM_LINES, LINE_LENGTH = 1000, 5000
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MODELS = ["bert-base-uncased", "bert-base-cased"]
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs texts beside the checkout")


def lines_of(path: Path) -> list[str]:
    """Some lines from the whole of a file, and of a very long one its beginning."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    step = max(1, len(lines) // NUM_LINES)
    return [line[:LINE_LENGTH] for line in lines[::step][:NUM_LINES]]


@pytest.fixture(scope="module", params=MODELS)
def trio(request: pytest.FixtureRequest) -> tuple[WordPiece, Any, Any]:
    """Ours, transformers' and tokenizers' with BERT's vocabulary, or with a small one."""
    return make_trio(request.param)


def make_trio(name: str) -> tuple[WordPiece, Any, Any]:
    lowercase = name.endswith("uncased")
    path = DATA / name / "vocab.txt"
    letters = [chr(code) for code in range(33, 0x250)] + list("日本語新本人を하ีاσ👍")
    small = [*SPECIAL, *dict.fromkeys(letters), *dict.fromkeys(f"##{x}" for x in letters)]
    vocab = read_vocab(path) if path.exists() else small
    ids = {token: index for index, token in enumerate(vocab)}
    return (
        WordPiece(vocab, lowercase),
        transformers.BertTokenizer(vocab=ids, do_lower_case=lowercase),
        tokenizers.BertWordPieceTokenizer(vocab=ids, lowercase=lowercase),
    )


def assert_equal(ours: WordPiece, theirs: Any, texts: list[str]) -> None:
    """Ids and offsets of texts with their frames, text by text."""
    rows = theirs._tokenizer.encode_batch(texts)
    for text, row in zip(texts, rows):
        assert ours.encode(text) == row.ids, ascii(text)
        offsets = ours([text], return_offsets=True)["offsets"][0].tolist()
        assert offsets == [list(span) for span in row.offsets], ascii(text)


@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_ids_and_offsets_of_real_texts(trio: tuple[WordPiece, Any, Any], path: Path) -> None:
    ours, first, second = trio

    texts = lines_of(path)

    assert_equal(ours, first, texts)
    assert_equal(ours, second, texts)


def test_ids_and_offsets_of_nasty_strings(
    trio: tuple[WordPiece, Any, Any], nasty_texts: list[str]
) -> None:
    ours, first, second = trio
    texts = [text for text in nasty_texts if not has_surrogate(text)]

    assert_equal(ours, first, texts)
    assert_equal(ours, second, texts)


def test_pairs_and_their_types(trio: tuple[WordPiece, Any, Any], nasty_texts: list[str]) -> None:
    ours, theirs, _ = trio
    texts = [text for text in nasty_texts if not has_surrogate(text)]

    batch = ours(texts, texts[::-1], return_offsets=True)
    expected = theirs(
        texts, texts[::-1], padding=True, return_tensors="pt", return_offsets_mapping=True
    )

    for key, name in (
        ("input_ids", "input_ids"),
        ("attention_mask", "attention_mask"),
        ("token_type_ids", "token_type_ids"),
        ("offsets", "offset_mapping"),
    ):
        assert batch[key].long().equal(expected[name]), key


@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_is_read_alike_but_those_of_newer_unicode(lowercase: bool) -> None:
    disputed = disputed_characters(lowercase)

    # 559 and 118 with Unicode 14, of more than a million.
    assert len(disputed) < 1500
    # Nothing in Latin, Greek, Cyrillic or Hebrew; and of Arabic, Devanagari, Thai, Chinese,
    # Japanese and Korean nothing that is in use.
    assert min(disputed) > "\u0600"
    assert not any(block[0] <= sign <= block[1] for sign in disputed for block in COMMON_BLOCKS)


@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "split_chinese"),
    list(product([True, False], [None, True, False], [True, False])),
)
def test_settings_clean_alike(
    lowercase: bool,
    strip_accents: bool | None,
    split_chinese: bool,
    nasty_texts: list[str],
    random_texts: list[str],
) -> None:
    normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=split_chinese
    )
    disputed = disputed_characters(True) | disputed_characters(False)
    settings = (lowercase, strip_accents, split_chinese)
    for text in [*nasty_texts, *random_texts]:
        text = "".join(
            sign for sign in text if sign not in disputed and not "\ud800" <= sign <= "\udfff"
        )
        ours = [word.text for run in NOT_SPACE.findall(text) for word in read_words(run, *settings)]
        assert ours == their_words(normalizer, text), ascii(text)


def test_published_code_reads_alike_but_for_what_bert_text_names() -> None:
    legacy = getattr(transformers, "BertTokenizerLegacy", None)
    if legacy is None:
        pytest.skip("this transformers has no port of BERT's own code")
    basic = pytest.importorskip("transformers.models.bert.tokenization_bert_legacy").BasicTokenizer

    texts = [line for path in FILES for line in lines_of(path)[:100]]
    texts += ["Ünïcödé\u200b🎉e\u0301 漢字,a\x00b"]
    assert [basic().tokenize(text) for text in texts] == [basic_tokenize(text) for text in texts]
    assert basic().tokenize("ΣΣ a\U0002b820") == ["σς", "a", "\U0002b820"]
    assert basic_tokenize("ΣΣ a\U0002b820") == ["\u03c3\u03c3", "a\U0002b820"]


@pytest.mark.parametrize("max_word_length", [100, 200])
def test_longest_words(max_word_length: int, tmp_path: Path) -> None:
    ours = WordPiece([*SPECIAL, "a", "##a"], max_word_length=max_word_length)
    ours.save(tmp_path, layout="huggingface")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    for length in (99, 100, 101, 199, 200, 201):
        text = "a" * length + " " + "e\u0301" * length
        assert ours.encode(text) == theirs.encode(text).ids
    assert ours.unk_id not in ours.encode("a" * max_word_length)
    assert ours.unk_id in ours.encode("a" * (max_word_length + 1))


@pytest.mark.parametrize("name", MODELS)
def test_added_tokens_are_never_split(name: str, tmp_path: Path) -> None:
    _, theirs, _ = make_trio(name)
    theirs.add_special_tokens({"additional_special_tokens": ["[E1]", "[E1] x", "<É>"]})
    theirs.save_pretrained(tmp_path)

    ours = load_tokenizer(tmp_path)

    for text in ("[E1]", "a[E1] x[E1]b <É><é> [e1]", "[MASK][E1][MASK] [E1]\u00a0x"):
        assert ours.encode(text) == theirs.encode(text)
    assert ours.decode(ours.encode("a [E1] b")) == "a b"


@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("name", MODELS)
def test_folders_go_both_ways(
    name: str, strip_accents: bool | None, tmp_path: Path, nasty_texts: list[str]
) -> None:
    vocab = make_trio(name)[0].vocab
    ours = WordPiece(vocab, name.endswith("uncased"), strip_accents=strip_accents)
    texts = [text for text in nasty_texts if not has_surrogate(text)]

    ours.save(tmp_path / "ours", layout="huggingface")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_tokenizer(tmp_path / "theirs")

    assert type(theirs).__name__.startswith("BertTokenizer")
    assert again.fingerprint == ours.fingerprint
    assert load_tokenizer(tmp_path / "ours").fingerprint == ours.fingerprint
    assert [ours.encode(text) for text in texts] == [theirs.encode(text) for text in texts]


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_folder_with_a_vocabulary_and_settings_only(lowercase: bool, tmp_path: Path) -> None:
    vocab = [*SPECIAL, "cafe", "Café", "caf", "##é"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": lowercase, "tokenizer_class": "BertTokenizer"})
    )

    ours = load_tokenizer(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)

    assert ours.encode("Café café [MASK]") == theirs.encode("Café café [MASK]")
    assert ours.lowercase is lowercase


def train_both(texts: list[str], vocab_size: int) -> tuple[list[str], WordPiece]:
    """Their vocabulary in the order of its ids, and our tokenizer with as many merged pieces."""
    trainer = tokenizers.BertWordPieceTokenizer()
    trainer.train_from_iterator(texts, vocab_size=vocab_size, show_progress=False)
    theirs = sorted(trainer.get_vocab(), key=trainer.get_vocab().__getitem__)
    num_merged = sum(is_merged(token) for token in theirs)
    smallest = len(
        [token for token in WordPiece.train(texts, vocab_size).vocab if not is_merged(token)]
    )
    return theirs, WordPiece.train(texts, smallest + num_merged)


def is_merged(token: str) -> bool:
    return token not in SPECIAL and len(token.removeprefix("##")) > 1


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    path = DATA / "tinyshakespeare" / "input.txt"
    if path.exists():
        return path.read_text().split("\n")[:4000]
    generator = random.Random(0)
    words = ["".join(generator.choices("etaoinshr", k=generator.randint(2, 9))) for _ in range(300)]
    return [" ".join(generator.choices(words, k=8)) for _ in range(1000)]


def test_training_makes_the_reference_trainers_merges_in_its_order(corpus: list[str]) -> None:
    theirs, _ = train_both(corpus, 2000)
    counts = Counter(word for text in corpus for word in basic_tokenize(text))
    words = {(word[0], *(f"##{sign}" for sign in word[1:])): n for word, n in counts.items()}
    # Its numbers for single characters change from run to run, and decide its ties.
    given = [token for token in theirs if not is_merged(token)]

    learnt, _ = learn_merges(
        words, given, len(theirs), lambda left, right: left + right.removeprefix("##")
    )

    assert learnt == theirs


def test_training_finds_the_reference_trainers_pieces_but_for_ties(corpus: list[str]) -> None:
    theirs, ours = train_both(corpus, 2000)

    merged = {token for token in ours.vocab if is_merged(token)}
    expected = {token for token in theirs if is_merged(token)}
    assert len(merged) == len(expected)
    assert len(merged & expected) > 0.98 * len(expected)


COMMON_BLOCKS = [
    ("\u0620", "\u06ff"),  # Arabic
    ("\u0900", "\u097f"),  # Devanagari
    ("\u0e00", "\u0e7f"),  # Thai
    ("\u2000", "\u2bff"),  # punctuation, symbols, arrows
    ("\u3000", "\u9fff"),  # Chinese, kana
    ("\uac00", "\ud7ff"),  # hangul
    ("\U0001f300", "\U0001faff"),  # emoji
]


def has_surrogate(text: str) -> bool:
    """Whether a text holds half of a pair, which the references cannot be given."""
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def their_words(normalizer: Any, text: str) -> list[str]:
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return [word for word, _ in split(normalizer.normalize_str(text))]


DISPUTED: dict[bool, set[str]] = {}


def disputed_characters(lowercase: bool) -> set[str]:
    """Characters that are read otherwise between two letters; worked out once."""
    if lowercase not in DISPUTED:
        normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)

        def differ(signs: list[str]) -> bool:
            text = " ".join(f"a{sign}b" for sign in signs)
            return basic_tokenize(text, lowercase) != their_words(normalizer, text)

        signs = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
        blocks = [signs[start : start + 64] for start in range(0, len(signs), 64)]
        DISPUTED[lowercase] = {
            sign for block in blocks if differ(block) for sign in block if differ([sign])
        }
    return DISPUTED[lowercase]
