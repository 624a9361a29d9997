"""Unigram: the most probable cut, unknowns and bytes, T5's frame and sentinels, files."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest

from minift.tokenizers import Unigram, load_tokenizer
from minift.tokenizers.charsmap import CharacterMap, Normalizer, nfkc_rules
from minift.tokenizers.sentencepiece import Piece, PieceKind, SentencePieceModel
from minift.tokenizers.unigram_files import BYTE_PIECES

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TEXTS = ["the newest café is lower than the lowest", "low lower lowest, new newer newest!"] * 3
FRAME = [
    Piece("<pad>", 0.0, PieceKind.CONTROL),
    Piece("</s>", 0.0, PieceKind.CONTROL),
    Piece("<unk>", 0.0, PieceKind.UNKNOWN),
]


def small(scores: dict[str, float], *more: Piece, num_sentinels: int = 0, **rules: bool) -> Unigram:
    pieces = [*FRAME, *more, *(Piece(text, score) for text, score in scores.items())]
    model = SentencePieceModel(pieces, Normalizer(**rules), pad_id=0, eos_id=1)
    return Unigram(model, num_sentinels)


@pytest.fixture(scope="module")
def trained() -> Unigram:
    normalizer = Normalizer(CharacterMap.from_rules(nfkc_rules()))
    return Unigram.train(TEXTS, 80, num_sentinels=4, normalizer=normalizer)


def test_the_most_probable_cut_is_taken_not_the_longest_piece() -> None:
    tokenizer = small({"▁": -3, "a": -3, "b": -3, "c": -3, "ab": -4, "▁a": -9, "bc": -1})

    assert tokenizer.tokenize("abc") == ["▁", "a", "bc"]
    assert tokenizer.log_prob("abc") == -7


def test_the_best_cut_is_the_best_of_all_cuts() -> None:
    draw = random.Random(0)
    strings = ["".join(s) for n in (1, 2, 3) for s in itertools.product("ab", repeat=n)]
    scores = {string: -draw.uniform(1, 9) for string in strings}
    tokenizer = small(scores, add_dummy_prefix=False)

    def best(text: str) -> float:
        cuts = range(1, min(3, len(text)) + 1)
        return max((scores[text[:n]] + best(text[n:]) for n in cuts), default=0.0)

    for _ in range(50):
        text = "".join(draw.choices("ab", k=draw.randrange(1, 10)))
        assert tokenizer.log_prob(text) == pytest.approx(best(text))
        assert "".join(tokenizer.tokenize(text)) == text


def test_a_run_of_unknown_characters_is_one_unknown_token() -> None:
    tokenizer = small({"▁": -1, "a": -1})

    assert tokenizer.tokenize("漢字a🙂 x") == ["▁", "<unk>", "a", "<unk>", "▁", "<unk>"]
    assert tokenizer.spans("漢字a🙂 x") == [(0, 0), (0, 2), (2, 3), (3, 4), (4, 4), (5, 6)]


def test_bytes_spell_what_is_unknown() -> None:
    byte_pieces = [Piece(token, 0.0, PieceKind.BYTE) for token in BYTE_PIECES]
    tokenizer = small({"▁": -1, "a": -1}, *byte_pieces)

    assert tokenizer.tokenize("aé") == ["▁", "a", "<0xC3>", "<0xA9>"]
    assert tokenizer.spans("aé") == [(0, 0), (0, 1), (1, 2), (1, 2)]
    assert tokenizer.decode(tokenizer.encode("aé漢🙂 a")) == "aé漢🙂 a"
    assert tokenizer.detokenize(["a", "<0xE6>", "<0xBC>", "a"]) == "a\ufffd\ufffda"
    # Written out it is text, not a byte.
    assert tokenizer.decode(tokenizer.encode("<0x41>")) == "<0x41>"


def test_user_defined_symbols_are_always_one_token() -> None:
    symbol = Piece("ab", 0.0, PieceKind.USER_DEFINED)
    tokenizer = small({"▁": -1, "a": -0.1, "b": -0.1, "abc": -1.5, "c": -1}, symbol)

    assert tokenizer.tokenize("abcab") == ["▁", "ab", "c", "ab"]


def test_unused_and_control_pieces_are_not_made_from_text() -> None:
    unused = Piece("ab", -0.1, PieceKind.UNUSED)
    tokenizer = small({"▁": -1, "a": -2, "b": -2}, unused)

    assert tokenizer.tokenize("ab") == ["▁", "a", "b"]
    assert tokenizer.encode("</s>", special_tokens=False) != [1]
    assert tokenizer.encode("</s>") == [1, 1]


def test_each_text_ends_with_eos_and_sentinels_count_down_at_the_end(trained: Unigram) -> None:
    last = len(trained) - 1

    assert trained.sentinel_ids == [last, last - 1, last - 2, last - 3]
    assert (trained.pad_id, trained.eos_id, trained.unk_id) == (0, 1, 2)
    first, second = (trained.encode(text, special_tokens=False) for text in ("low", "new"))
    assert trained.encode("low", "new") == [*first, 1, *second, 1]
    assert trained.encode("low<extra_id_1> new") == [*first, last - 1, *second, 1]
    assert set(trained.sentinel_ids) <= trained.special_ids


def test_decoding_gives_back_normalised_text(trained: Unigram) -> None:
    for text in TEXTS:
        assert trained.decode(trained.encode(text)) == text
    assert trained.decode(trained.encode("  the\tnew \n")) == "the new"


def test_spans_hold_what_their_tokens_say(trained: Unigram) -> None:
    text = "  the  newest\tcafe\u0301 is lower "

    tokens, spans = trained.tokenize(text), trained.spans(text)

    assert len(tokens) == len(spans)
    for token, (start, end) in zip(tokens, spans):
        assert text[start:end] == token.strip("▁").replace("é", "e\u0301")
    assert trained([text], return_offsets=True)["offsets"].tolist()[0] == [
        *map(list, spans),
        [0, 0],
    ]


def test_spans_follow_the_order_of_any_text(
    trained: Unigram, random_texts: list[str], nasty_texts: list[str]
) -> None:
    for text in [*nasty_texts, *random_texts]:
        spans = trained.spans(text)
        assert len(spans) == len(trained.tokenize(text))
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert spans == sorted(spans)


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_no_text_raises(
    byte_fallback: bool, random_texts: list[str], nasty_texts: list[str]
) -> None:
    tokenizer = Unigram.train(TEXTS, 400, byte_fallback=byte_fallback)

    for text in [*nasty_texts, *random_texts]:
        tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False)
        ids = tokenizer.encode(text, text, special_tokens=False)
        assert (tokenizer.unk_id in ids) <= (not byte_fallback)


def test_a_model_without_eos_and_pad_frames_nothing() -> None:
    tokenizer = Unigram(SentencePieceModel([FRAME[2], Piece("▁", -1.0), Piece("a", -1.0)]))

    assert tokenizer.encode("a", "a") == [1, 2, 1, 2]
    assert tokenizer.eos_id is None
    assert tokenizer.pad_id == tokenizer.unk_id == 0


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([Piece("a")], r"must have one for the unknown, got \[\]"),
        ([*FRAME, Piece("a"), Piece("a")], "'a' again"),
        ([*FRAME, Piece("")], "got an empty string"),
        ([*FRAME, Piece("<0x00>", 0.0, PieceKind.BYTE)], "all 256 bytes or none, got 1"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(pieces: list[Piece], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Unigram(SentencePieceModel(pieces))


@pytest.mark.parametrize("layout", ["minift", "huggingface"])
def test_a_saved_tokenizer_comes_back_the_same(
    layout: str, trained: Unigram, tmp_path: Path
) -> None:
    trained.save(tmp_path, layout=layout)

    loaded = load_tokenizer(tmp_path)

    assert isinstance(loaded, Unigram)
    assert loaded.vocab == trained.vocab
    assert loaded.fingerprint == trained.fingerprint
    assert loaded.encode("a lower ﬁne café…") == trained.encode("a lower ﬁne café…")


def test_a_folder_with_a_model_file_alone_is_t5s(trained: Unigram, tmp_path: Path) -> None:
    trained.write_model(tmp_path / "spiece.model")
    assert len(load_tokenizer(tmp_path).sentinel_ids) == 100

    (tmp_path / "tokenizer_config.json").write_text('{"extra_ids": 4}')
    assert load_tokenizer(tmp_path).fingerprint == trained.fingerprint


def test_a_model_file_of_another_name_has_no_sentinels_but_its_own(
    trained: Unigram, tmp_path: Path
) -> None:
    trained.write_model(tmp_path / "any.model")

    assert load_tokenizer(tmp_path).vocab == trained.vocab[:-4]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("tokenizer_config.json", {"extra_ids": -1}, "extra_ids must be in 0..10000, got -1"),
        ("tokenizer_config.json", {"tokenizer_class": "AlbertTokenizer"}, "got 'AlbertTokenizer'"),
    ],
)
def test_settings_of_other_tokenizers_are_refused(
    file: str, change: dict, message: str, trained: Unigram, tmp_path: Path
) -> None:
    trained.write_model(tmp_path / "spiece.model")
    (tmp_path / file).write_text(json.dumps(change))

    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / file))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", {"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]}, "unk_id must be in 0"),
        ("model", {"type": "Unigram", "unk_id": 0, "vocab": [["a"]]}, r"vocab\[0\] must be"),
        ("model", {"type": "Unigram", "unk_id": 0, "vocab": "a"}, "vocab must be a list"),
        ("normalizer", {"type": "Lowercase"}, "normalizer must be .* got 'Lowercase'"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "!"}, "in base64"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer must be Metaspace"),
        ("pre_tokenizer", None, "prepend_scheme must be"),
        ("post_processor", None, "post_processor must put '</s>' after a text"),
    ],
)
def test_a_tokenizer_json_of_another_way_is_refused(
    key: str, value: object, message: str, trained: Unigram, tmp_path: Path
) -> None:
    trained.save(tmp_path, layout="huggingface")
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pieces", [["a", "b", "normal"]], r"pieces\[0\] must be a text, a score and one of"),
        ("pieces", [["a", 1.0, "odd"]], r"pieces\[0\] must be"),
        ("eos_id", 5000, "eos_id must be in -1.."),
        ("add_dummy_prefix", 1, "add_dummy_prefix must be true or false, got 1"),
        ("charsmap", "AAAA", "character map must be"),
        ("other", 1, "must be an object with the names"),
    ],
)
def test_a_damaged_file_of_ours_is_named(
    key: str, value: object, message: str, trained: Unigram, tmp_path: Path
) -> None:
    trained.save(tmp_path)
    path = tmp_path / "unigram.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("number", [-1, "4", 10**12, True])
def test_a_damaged_number_of_sentinels_is_named(
    number: object, trained: Unigram, tmp_path: Path
) -> None:
    trained.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    own = json.loads(path.read_text())
    path.write_text(json.dumps({**own, "settings": {"num_sentinels": number}}))

    with pytest.raises(ValueError, match=r"tokenizer\.json: num_sentinels must be in 0\.\.10000"):
        load_tokenizer(tmp_path)


@pytest.mark.skipif(not DATA.exists(), reason="needs T5's model beside the checkout")
def test_t5_ids_of_known_texts() -> None:
    t5 = load_tokenizer(DATA / "t5")

    assert len(t5) == 32_100
    assert t5.encode("Hello  world") == [8774, 296, 1]
    assert t5.encode("The <extra_id_0> walks in<extra_id_1> park") == [
        *[37, 32099, 10681, 16, 32098, 2447, 1]
    ]
    assert t5.decode([8774, 296, 1]) == "Hello world"
