"""A BERT tokenizer in Hugging Face's layout: what comes back, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minift.tokenizers import WordPiece, load_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = [*SPECIAL, "cafe", "café", "Café", "[E1]", "a", "##b"]
TEXT = "Café [E1] ab"


def save(folder: Path, **settings: Any) -> WordPiece:
    tokenizer = WordPiece(VOCAB, added_tokens={"[E1]": True}, **settings)
    tokenizer.save(folder, layout="huggingface")
    return tokenizer


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lowercase": False},
        {"lowercase": True, "strip_accents": False},
        {"lowercase": False, "strip_accents": True, "split_chinese": False},
        {"max_word_length": 200},
    ],
)
def test_a_saved_folder_comes_back_the_same(settings: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = save(tmp_path, **settings)

    loaded = load_tokenizer(tmp_path)

    assert isinstance(loaded, WordPiece)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)


def test_an_old_folder_of_a_list_and_settings_is_read(tmp_path: Path) -> None:
    tokenizer = save(tmp_path, lowercase=False)
    (tmp_path / "tokenizer.json").unlink()
    change(tmp_path / "tokenizer_config.json", lambda c: c.update(never_split=["[E1]", "[E9]"]))

    loaded = load_tokenizer(tmp_path)

    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    assert loaded.added_tokens == {"[E1]": False}


def test_without_settings_it_is_the_uncased_model(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    (tmp_path / "config.json").write_text("{}")

    assert load_tokenizer(tmp_path).tokenize("Café") == ["cafe"]


def test_the_settings_file_says_how_a_text_is_cleaned(tmp_path: Path) -> None:
    save(tmp_path, lowercase=True)
    change(tmp_path / "tokenizer_config.json", lambda c: c.update(do_lower_case=False))

    assert load_tokenizer(tmp_path).tokenize("Café") == ["Café"]


def test_added_tokens_behind_the_vocabulary_are_read(tmp_path: Path) -> None:
    save(tmp_path)
    added = {"id": len(VOCAB), "content": "[E2]", "special": True}
    change(tmp_path / "tokenizer.json", lambda c: c["added_tokens"].append(added))

    loaded = load_tokenizer(tmp_path)

    assert len(loaded) == len(VOCAB) + 1
    assert loaded.encode("a[E2]", special_tokens=True)[1:-1] == [9, len(VOCAB)]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["model"].update(unk_token="<unk>"), "model unk_token must be '.UNK.', got"),
        (lambda c: c["model"].update(continuing_subword_prefix="@@"), "prefix must be '##', got"),
        (lambda c: c["model"].update(max_input_chars_per_word=0), "per_word must be a positive"),
        (lambda c: c["model"].update(vocab=["a"]), "model must have a vocab"),
        (lambda c: c["model"]["vocab"].update(more=99), r"ids must be 0\.\.11, each once"),
        (lambda c: c.update(normalizer=None), "normalizer must be BertNormalizer, got None"),
        (lambda c: c["normalizer"].update(clean_text=False), "clean_text must be true"),
        (lambda c: c["normalizer"].update(lowercase="no"), "lowercase must be true or false"),
        (lambda c: c.update(pre_tokenizer={"type": "Split"}), "pre_tokenizer must be .* got Split"),
        (lambda c: c.update(post_processor=None), "post_processor must be .* got None"),
        (lambda c: c.update(added_tokens=[1]), "added_tokens must be a list of objects"),
        (lambda c: c["added_tokens"][5].update(id=3), r"'\[E1\]' must have id 8"),
        (lambda c: c["added_tokens"][5].update(lstrip=True), r"'\[E1\]': lstrip must be false"),
        (lambda c: c["added_tokens"][5].update(normalized=True), "normalized must be false"),
    ],
)
def test_a_description_that_is_not_berts_is_refused(
    edit: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    save(tmp_path)
    change(tmp_path / "tokenizer.json", edit)

    with pytest.raises(ValueError, match=rf"^{tmp_path}.*(?:{message})"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_lower_case": "yes"}, "do_lower_case must be true or false, got 'yes'"),
        ({"cls_token": "<s>"}, r"cls_token must be '\[CLS\]', got '<s>'"),
        ({"mask_token": {"content": "<mask>"}}, r"mask_token must be '\[MASK\]', got '<mask>'"),
    ],
)
def test_settings_that_are_not_berts_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save(tmp_path)
    change(tmp_path / "tokenizer_config.json", lambda c: c.update(settings))

    with pytest.raises(ValueError, match=rf"tokenizer_config\.json: {message}"):
        load_tokenizer(tmp_path)


def test_a_list_without_berts_tokens_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    (tmp_path / "tokenizer_config.json").write_text('{"never_split": null}')

    with pytest.raises(ValueError, match="the vocabulary must hold"):
        load_tokenizer(tmp_path)


def test_never_split_is_a_list(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    (tmp_path / "tokenizer_config.json").write_text('{"never_split": "[E1]"}')

    with pytest.raises(ValueError, match="never_split must be a list"):
        load_tokenizer(tmp_path)
