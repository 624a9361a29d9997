"""The files of a GPT-2 tokenizer, in and out.

    vocab.json               token -> id                                    GPT-2's own two
    merges.txt               a merge a line, the first learnt first
    tokenizer.json           both in one, the added tokens, and how a text is cut
    tokenizer_config.json    which token ends a text, which fills a row

Folders of today hold the last two, older ones the first two. A tokenizer.json can describe much
that GPT-2's tokenizer is not: other splits, prefixes, normalisation. Each such setting is refused
by its name, for ids that are nearly right would mislead a model without any sign of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minift.tokenizers.files import index_tokens, read_json, read_text
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

END_OF_TEXT = "<|endoftext|>"

# Keys of the model in tokenizer.json, and the values that mean what GPT-2 does.
_GPT2_MODEL: dict[str, tuple[Any, ...]] = {
    "dropout": (None, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}
_ROLES = ("bos_token", "unk_token", "cls_token", "sep_token", "mask_token")


class BPEFiles(NamedTuple):
    """What the files say, ready for the constructor of `ByteBPE`."""

    vocab: list[str]  # id = position
    merges: list[tuple[str, str]]
    eos_token: str
    pad_token: str
    added_tokens: dict[str, bool]  # token -> whether decoding leaves it out


def read_folder(folder: Path) -> BPEFiles:
    """Read a folder in Hugging Face's layout, with a tokenizer.json or with GPT-2's two files.

    Raises
    ------
    ValueError naming the file and the key: what is not there, not of its form, or not GPT-2's way.
    """
    config = read_object(folder / "tokenizer_config.json")
    roles = {**read_object(folder / "special_tokens_map.json"), **config}
    if (folder / "tokenizer.json").exists():
        ids, merges, added = _read_tokenizer_json(folder / "tokenizer.json")
    else:
        ids = read_vocab_json(folder / "vocab.json")
        merges = read_merges(folder / "merges.txt")
        added = read_added_tokens(folder, config)
    for key in ("add_prefix_space", "add_bos_token"):
        if config.get(key):
            raise ValueError(f"{folder / 'tokenizer_config.json'}: {key} must be false")

    ids = with_added(ids, added, folder)
    eos_token = token_content(roles.get("eos_token")) or END_OF_TEXT
    pad_token = token_content(roles.get("pad_token")) or eos_token
    for role, token in (("eos_token", eos_token), ("pad_token", pad_token)):
        if token not in ids:
            raise ValueError(
                f"{folder / 'tokenizer_config.json'}: {role} must be in the vocabulary, "
                f"got {token!r}"
            )
    more = [roles.get(role) for role in _ROLES]
    for name in ("additional_special_tokens", "extra_special_tokens"):
        more += roles[name] if isinstance(roles.get(name), list) else []
    is_special = {token: special for token, (_, special) in added.items()}
    is_special.update((token, True) for token in map(token_content, more) if token in ids)
    for token in (eos_token, pad_token):
        is_special.pop(token, None)
    return BPEFiles(in_order(ids, folder), merges, eos_token, pad_token, is_special)


def huggingface_files(files: BPEFiles) -> dict[str, str]:
    """Return file name -> content of a folder that transformers' AutoTokenizer opens.

    A pair of texts has the end of a text between them, as in our layout; GPT-2 itself has no pairs.
    """
    ids = {token: index for index, token in enumerate(files.vocab)}
    whole = {**files.added_tokens, files.eos_token: True, files.pad_token: True}
    eos = files.eos_token
    first, second = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    between = {"SpecialToken": {"id": eos, "type_id": 0}}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    byte_level["use_regex"] = True
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_entries(whole, ids),
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first],
            "pair": [first, between, second],
            "special_tokens": {eos: {"id": eos, "ids": [ids[eos]], "tokens": [eos]}},
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": ids,
            # Strings, not pairs of strings: older readers know only these, and no token of a merge
            # has a space.
            "merges": [f"{left} {right}" for left, right in files.merges],
        },
    }
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        # All of them, or the reader's own would be added to a vocabulary that lacks them.
        **dict.fromkeys(["bos_token", "eos_token", "unk_token"], eos),
        "pad_token": files.pad_token,
    }
    return {
        **own_files(files.vocab, files.merges),
        "tokenizer.json": json.dumps(description, ensure_ascii=False, indent=1) + "\n",
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=1) + "\n",
    }


def own_files(vocab: Sequence[str], merges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the content of GPT-2's own two files."""
    ids = {token: index for index, token in enumerate(vocab)}
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    return {
        "vocab.json": json.dumps(ids, ensure_ascii=False) + "\n",
        "merges.txt": "#version: 0.2\n" + lines,
    }


def read_own_files(vocab_path: Path, merges_path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Read GPT-2's own two files: the vocabulary in the order of its ids, and the merges."""
    return in_order(read_vocab_json(vocab_path), vocab_path), read_merges(merges_path)


def read_vocab_json(path: Path) -> dict[str, int]:
    """Read token -> id; a token written twice is an error that names it."""
    entries = read_json(path, object_pairs_hook=lambda pairs: pairs)  # a dict would hide repeats
    if not isinstance(entries, list) or not all(isinstance(entry, tuple) for entry in entries):
        raise ValueError(f"{path} must be an object of token: id")
    index_tokens((token for token, _ in entries), f"{path}: entry", first=1)
    return dict(entries)


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Read a merge a line; ValueError names the line that is none, or one again."""
    merges: dict[tuple[str, str], int] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise ValueError(f"{path}: line {number} must be two tokens, got {line!r}")
        if (left, right) in merges:
            raise ValueError(
                f"{path}: line {number} must be a new merge, got {line!r} again, "
                f"as line {merges[left, right]} is"
            )
        merges[left, right] = number
    return list(merges)


def _read_tokenizer_json(
    path: Path,
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, tuple[int, bool]]]:
    """Return ids, merges and added tokens, once everything else is seen to be GPT-2's way."""
    content = read_object(path)
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise ValueError(f'{path}: model type must be "BPE"')
    for key, allowed in _GPT2_MODEL.items():
        if model.get(key) not in allowed:
            raise ValueError(f"{path}: model {key} must be {allowed[1]!r}, got {model[key]!r}")
    if content.get("normalizer") is not None:
        raise ValueError(f"{path}: normalizer must be null, got {part_type(content['normalizer'])}")
    splitter = content.get("pre_tokenizer")
    if not isinstance(splitter, dict) or part_type(splitter) != "ByteLevel":
        raise ValueError(f'{path}: pre_tokenizer must be "ByteLevel", got {part_type(splitter)}')
    if splitter.get("add_prefix_space") or not splitter.get("use_regex", True):
        raise ValueError(f"{path}: pre_tokenizer must have use_regex and no add_prefix_space")
    decoder = content.get("decoder")
    if decoder is not None and part_type(decoder) != "ByteLevel":
        raise ValueError(f'{path}: decoder must be "ByteLevel", got {part_type(decoder)}')
    frame = content.get("post_processor")
    if not _adds_nothing(frame):
        raise ValueError(
            f"{path}: post_processor must add no token to a text, got {part_type(frame)}"
        )

    ids, pairs = model.get("vocab"), model.get("merges")
    if not isinstance(ids, dict) or not isinstance(pairs, list):
        raise ValueError(f"{path}: model must have a vocab, token: id, and a list of merges")
    merges = []
    for number, pair in enumerate(pairs):
        parts = pair.split(" ") if isinstance(pair, str) else pair  # the old form and the new
        if not is_list_of(str, parts) or len(parts) != 2 or not all(parts):
            raise ValueError(f"{path}: merges[{number}] must be two tokens, got {pair!r}")
        merges.append((parts[0], parts[1]))
    added = content.get("added_tokens") or []
    if not is_list_of(dict, added):
        raise ValueError(f"{path}: added_tokens must be a list of objects")
    return ids, merges, added_tokens(added, path)


def _adds_nothing(frame: Any) -> bool:
    """Whether a post-processor leaves the ids of a single text alone."""
    if frame is None or part_type(frame) == "ByteLevel":  # that one narrows offsets only
        return True
    template = frame.get("single") if part_type(frame) == "TemplateProcessing" else None
    return isinstance(template, list) and all(
        isinstance(part, dict) and "Sequence" in part for part in template
    )
