"""The files of a BERT tokenizer, in and out.

    vocab.txt                a token a line, the first has id 0              BERT's own
    tokenizer_config.json    whether capitals, accents and Chinese characters count
    tokenizer.json           all in one, with the added tokens

Where several say something, the ids are those of tokenizer.json, but how a text is cleaned is what
tokenizer_config.json says, as in transformers. Settings under which we would give other ids are
refused by their name, for ids that are nearly right would mislead a model without any sign of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from minift.tokenizers.files import read_vocab
from minift.tokenizers.huggingface import (
    added_entries,
    added_tokens,
    in_order,
    is_list_of,
    part_type,
    read_added_tokens,
    read_object,
    token_content,
    with_added,
)
from minift.tokenizers.layouts import LAYOUTS

SPECIAL = LAYOUTS["bert"]
ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


class BertFiles(NamedTuple):
    """What the files say, ready for the constructor of `WordPiece`."""

    vocab: list[str]  # id = position
    lowercase: bool = True
    strip_accents: bool | None = None
    split_chinese: bool = True
    max_word_length: int = 100
    added_tokens: Mapping[str, bool] = {}  # token -> whether decoding leaves it out


def read_folder(folder: Path) -> BertFiles:
    """Read a folder in Hugging Face's layout, with a tokenizer.json or with BERT's vocab.txt.

    Raises
    ------
    ValueError naming the file and the key: what is not there, not of its form, or not BERT's way.
    """
    config_path, path = folder / "tokenizer_config.json", folder / "tokenizer.json"
    config = read_object(config_path)
    roles = {**read_object(folder / "special_tokens_map.json"), **config}
    for role in ROLES:
        token = token_content(roles.get(role))
        if token not in (None, getattr(SPECIAL, role)):
            raise ValueError(
                f"{config_path}: {role} must be {getattr(SPECIAL, role)!r}, got {token!r}"
            )
    settings: dict[str, Any] = {}
    if path.exists():
        content = read_object(path)
        ids, settings = _read_vocabulary(content, path), _read_settings(content, path)
        entries = content.get("added_tokens") or []
        if not is_list_of(dict, entries):
            raise ValueError(f"{path}: added_tokens must be a list of objects")
        added = added_tokens(entries, path)
    else:
        ids = {token: index for index, token in enumerate(read_vocab(folder / "vocab.txt"))}
        added = _never_split(ids, config, config_path) | read_added_tokens(folder, config)
        entries = list(config.get("added_tokens_decoder", {}).values())
    for key, name in (
        ("do_lower_case", "lowercase"),
        ("strip_accents", "strip_accents"),
        ("tokenize_chinese_chars", "split_chinese"),
    ):
        if config.get(key) is not None:
            settings[name] = _flag(config[key], key, config_path)

    if settings.get("lowercase", True) or settings.get("strip_accents"):
        _require_literal(entries, folder)
    ids = with_added(ids, added, folder)
    missing = [token for token in SPECIAL.tokens if token not in ids]
    if missing:
        raise ValueError(f"{folder}: the vocabulary must hold {SPECIAL.tokens}, lacks {missing}")
    further = {
        token: is_special for token, (_, is_special) in added.items() if token not in SPECIAL.tokens
    }
    return BertFiles(in_order(ids, folder), added_tokens=further, **settings)


def huggingface_files(files: BertFiles) -> dict[str, str]:
    """Return file name -> content of a folder that transformers' AutoTokenizer opens."""
    ids = {token: index for index, token in enumerate(files.vocab)}
    whole = {**files.added_tokens, **dict.fromkeys(SPECIAL.tokens, True)}
    first, second = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    start, middle, end = (
        {"SpecialToken": {"id": token, "type_id": token_type}}
        for token, token_type in (("[CLS]", 0), ("[SEP]", 0), ("[SEP]", 1))
    )
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_entries(whole, ids),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": files.split_chinese,
            "strip_accents": files.strip_accents,
            "lowercase": files.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, first, middle],
            "pair": [start, first, middle, second, end],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]}
                for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": SPECIAL.unk_token,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": files.max_word_length,
            "vocab": ids,
        },
    }
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": files.lowercase,
        "strip_accents": files.strip_accents,
        "tokenize_chinese_chars": files.split_chinese,
        **{role: getattr(SPECIAL, role) for role in ROLES},
    }
    return {
        "vocab.txt": "".join(f"{token}\n" for token in files.vocab),
        "tokenizer.json": json.dumps(description, ensure_ascii=False, indent=1) + "\n",
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=1) + "\n",
    }


def _read_vocabulary(content: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Return token -> id of a tokenizer.json, once its model is seen to be BERT's."""
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        raise ValueError(f'{path}: model type must be "WordPiece", got {part_type(model)}')
    for key, value in (("unk_token", "[UNK]"), ("continuing_subword_prefix", "##")):
        if model.get(key, value) != value:
            raise ValueError(f"{path}: model {key} must be {value!r}, got {model[key]!r}")
    ids = model.get("vocab")
    if not isinstance(ids, dict) or "" in ids:
        raise ValueError(f"{path}: model must have a vocab, token: id")
    return dict(ids)


def _read_settings(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return how a tokenizer.json has a text cleaned, cut and framed, if it is a way we have."""
    for key, kinds in (
        ("normalizer", ("BertNormalizer",)),
        ("pre_tokenizer", ("BertPreTokenizer",)),
        ("post_processor", ("TemplateProcessing", "BertProcessing")),
    ):
        if part_type(content.get(key)) not in kinds:
            raise ValueError(
                f"{path}: {key} must be {' or '.join(kinds)}, got {part_type(content.get(key))}"
            )
    normalizer = content["normalizer"]
    if normalizer.get("clean_text", True) is not True:
        raise ValueError(f"{path}: normalizer clean_text must be true")
    settings: dict[str, Any] = {}
    for key, name in (("lowercase", "lowercase"), ("handle_chinese_chars", "split_chinese")):
        settings[name] = _flag(normalizer.get(key, True), f"normalizer {key}", path)
    if normalizer.get("strip_accents") is not None:
        settings["strip_accents"] = _flag(
            normalizer["strip_accents"], "normalizer strip_accents", path
        )
    length = content["model"].get("max_input_chars_per_word", 100)
    if type(length) is not int or length < 1:
        raise ValueError(
            f"{path}: model max_input_chars_per_word must be a positive number, got {length!r}"
        )
    return {**settings, "max_word_length": length}


def _never_split(
    ids: Mapping[str, int], config: Mapping[str, Any], path: Path
) -> dict[str, tuple[int, bool]]:
    """Return the tokens that BERT's own code was told never to split, as added ones."""
    tokens = config.get("never_split") or []
    if not is_list_of(str, tokens):
        raise ValueError(f"{path}: never_split must be a list of tokens")
    return {token: (ids[token], False) for token in tokens if token in ids}


def _require_literal(entries: Iterable[Mapping[str, Any]], folder: Path) -> None:
    for entry in entries:
        if entry.get("normalized"):
            raise ValueError(
                f"{folder}: added token {entry['content']!r}: normalized must be false, for added "
                f"tokens are looked for before a text loses its capitals and accents"
            )


def _flag(value: Any, key: str, path: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{path}: {key} must be true or false, got {value!r}")
    return value
