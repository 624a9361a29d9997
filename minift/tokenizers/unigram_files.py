"""The files of a unigram tokenizer, in and out.

    unigram.json             pieces, scores and normalisation                ours
    spiece.model             the same as a protocol buffer                   SentencePiece's
    tokenizer.json           the same, how a text is cut and framed          Hugging Face's
    tokenizer_config.json    how many sentinels T5 has, which token ends a text

Settings under which we would give other ids are refused by their name, for ids that are nearly
right would mislead a model without any sign of it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from minift.tokenizers.charsmap import SPACE, CharacterMap, Normalizer
from minift.tokenizers.files import read_json
from minift.tokenizers.huggingface import (
    added_tokens,
    is_list_of,
    part_type,
    read_object,
    token_content,
)
from minift.tokenizers.layouts import sentinel_token
from minift.tokenizers.sentencepiece import Piece, PieceKind, SentencePieceModel, read_model

T5_NAME = "spiece.model"
T5_SENTINELS = 100  # that its file lacks
MAX_SENTINELS = 10_000  # more are a mistake
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]

_FLAGS = (
    "add_dummy_prefix",
    "remove_extra_whitespaces",
    "escape_whitespaces",
    "whitespace_as_suffix",
)
# No spaces at the ends (there, ^ and $ would match at every line's), one in a row.
_SHRINKING = [{"Regex": r"\A +| +\z"}, {"Regex": " {2,}"}]
_ROLES = ("pad_id", "bos_id", "eos_id")


def own_file(model: SentencePieceModel) -> str:
    """Return the content of unigram.json, a piece a line."""
    charsmap = model.normalizer.charsmap
    head = {
        **{name: getattr(model, name) for name in _ROLES},
        **{name: getattr(model.normalizer, name) for name in _FLAGS},
        "charsmap": None if charsmap is None else base64.b64encode(charsmap.content).decode(),
    }
    lines = ",\n".join(json.dumps([p.text, p.score, p.kind.name.lower()]) for p in model.pieces)
    return json.dumps(head, indent=1)[:-2] + f',\n "pieces": [\n{lines}\n]}}\n'


def read_own_file(path: Path) -> SentencePieceModel:
    """Read unigram.json; ValueError names the file and the key that is not as it must be."""
    content = read_json(path)
    names = {*_ROLES, *_FLAGS, "charsmap", "pieces"}
    if not isinstance(content, dict) or set(content) != names:
        raise ValueError(f"{path}: must be an object with the names {sorted(names)}")
    entries = content["pieces"]
    if not is_list_of(list, entries):
        raise ValueError(f"{path}: pieces must be a list of lists")
    kinds = {kind.name.lower(): kind for kind in PieceKind}
    pieces = []
    for index, entry in enumerate(entries):
        if len(entry) != 3 or not _is_piece(*entry[:2]) or entry[2] not in list(kinds):
            raise ValueError(
                f"{path}: pieces[{index}] must be a text, a score and one of {list(kinds)}, "
                f"got {entry!r}"
            )
        pieces.append(Piece(entry[0], float(entry[1]), kinds[entry[2]]))
    for name in _ROLES:
        if type(content[name]) is not int or not -1 <= content[name] < len(pieces):
            raise ValueError(
                f"{path}: {name} must be in -1..{len(pieces) - 1}, got {content[name]!r}"
            )
    for name in _FLAGS:
        if not isinstance(content[name], bool):
            raise ValueError(f"{path}: {name} must be true or false, got {content[name]!r}")
    normalizer = Normalizer(
        _read_charsmap(content["charsmap"], path), **{name: content[name] for name in _FLAGS}
    )
    return SentencePieceModel(pieces, normalizer, **{name: content[name] for name in _ROLES})


def read_folder(folder: Path) -> tuple[SentencePieceModel, int]:
    """Read a folder in Hugging Face's layout: the model, and how many sentinels come behind it.

    Raises
    ------
    ValueError naming the file and the key: what is not there, not of its form, or not T5's way.
    """
    config_path = folder / "tokenizer_config.json"
    config = read_object(config_path)
    name = config.get("tokenizer_class")
    if isinstance(name, str) and name.startswith(("Albert", "XLNet", "XLMRoberta", "Camembert")):
        raise ValueError(f"{config_path}: tokenizer_class must frame texts as T5's, got {name!r}")
    path = folder / "tokenizer.json"
    if path.exists():
        return _read_tokenizer_json(path, config)
    paths = sorted(folder.glob("*.model"))
    path = folder / T5_NAME if folder / T5_NAME in paths or len(paths) != 1 else paths[0]
    model = read_model(path)
    num_sentinels = config.get("extra_ids", T5_SENTINELS if path.name == T5_NAME else 0)
    if type(num_sentinels) is not int or not 0 <= num_sentinels <= MAX_SENTINELS:
        raise ValueError(
            f"{config_path}: extra_ids must be in 0..{MAX_SENTINELS}, got {num_sentinels!r}"
        )
    return model, num_sentinels


def huggingface_files(model: SentencePieceModel, num_sentinels: int) -> dict[str, str]:
    """Return file name -> content of a folder that transformers' AutoTokenizer opens."""
    rules = model.normalizer
    if rules.whitespace_as_suffix or not rules.escape_whitespaces:
        raise ValueError('layout must be "minift" for spaces that are not "▁" before a word')
    if any(piece.kind == PieceKind.UNUSED for piece in model.pieces):
        raise ValueError('layout must be "minift" for a model with unused pieces')
    sentinels = [
        Piece(sentinel_token(number), 0.0, PieceKind.CONTROL)
        for number in reversed(range(num_sentinels))
    ]
    pieces = [*model.pieces, *sentinels]
    unknown = next(i for i, piece in enumerate(pieces) if piece.kind == PieceKind.UNKNOWN)
    whole = (PieceKind.CONTROL, PieceKind.UNKNOWN, PieceKind.USER_DEFINED)
    added = [
        {
            "id": index,
            "content": piece.text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": piece.kind != PieceKind.USER_DEFINED,
        }
        for index, piece in enumerate(pieces)
        if piece.kind in whole
    ]
    steps: list[dict[str, Any]] = []
    if rules.charsmap is not None:
        content = base64.b64encode(rules.charsmap.content).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": content})
    if rules.remove_extra_whitespaces:
        steps += [
            {"type": "Replace", "pattern": pattern, "content": content}
            for pattern, content in zip(_SHRINKING, ["", " "])
        ]
    prefix = "always" if rules.add_dummy_prefix else "never"
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": prefix, "split": True}
    first, second = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    frame: dict[str, Any] = {"single": [first], "pair": [first, second], "special_tokens": {}}
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if model.eos_id >= 0:
        eos = pieces[model.eos_id].text
        end, last = ({"SpecialToken": {"id": eos, "type_id": n}} for n in (0, 1))
        frame["single"] = [first, end]
        frame["pair"] = [first, end, second, last]
        frame["special_tokens"] = {eos: {"id": eos, "ids": [model.eos_id], "tokens": [eos]}}
        config["eos_token"] = eos
    if model.pad_id >= 0:
        config["pad_token"] = pieces[model.pad_id].text
    config["unk_token"] = pieces[unknown].text
    config["extra_ids"] = num_sentinels
    config["clean_up_tokenization_spaces"] = False
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": steps} if steps else None,
        "pre_tokenizer": metaspace,
        "post_processor": {"type": "TemplateProcessing", **frame},
        "decoder": {
            "type": "Sequence",
            "decoders": [{"type": "ByteFallback"}, metaspace, {"type": "Fuse"}],
        },
        "model": {
            "type": "Unigram",
            "unk_id": unknown,
            "vocab": [[piece.text, piece.score] for piece in pieces],
            "byte_fallback": any(piece.kind == PieceKind.BYTE for piece in pieces),
        },
    }
    return {
        "tokenizer.json": json.dumps(description, ensure_ascii=False, indent=1) + "\n",
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=1) + "\n",
    }


def _read_tokenizer_json(path: Path, config: Mapping[str, Any]) -> tuple[SentencePieceModel, int]:
    content = read_object(path)
    described = content.get("model")
    if not isinstance(described, dict) or described.get("type") != "Unigram":
        raise ValueError(f'{path}: model type must be "Unigram"')
    entries, unknown = described.get("vocab"), described.get("unk_id")
    if not isinstance(entries, list) or not is_list_of(list, entries):
        raise ValueError(f"{path}: model vocab must be a list of pairs")
    if type(unknown) is not int or not 0 <= unknown < len(entries):
        raise ValueError(f"{path}: model unk_id must be in 0..{len(entries) - 1}, got {unknown!r}")
    for index, entry in enumerate(entries):
        if len(entry) != 2 or not _is_piece(*entry):
            raise ValueError(f"{path}: model vocab[{index}] must be [text, score], got {entry!r}")
    added = content.get("added_tokens") or []
    if not is_list_of(dict, added):
        raise ValueError(f"{path}: added_tokens must be a list of objects")
    whole = added_tokens(added, path)

    pieces = []
    by_bytes = set(BYTE_PIECES) if described.get("byte_fallback") else set()
    for index, (text, score) in enumerate(entries):
        kind = PieceKind.BYTE if text in by_bytes else PieceKind.NORMAL
        if text in whole:
            kind = PieceKind.CONTROL if whole[text][1] else PieceKind.USER_DEFINED
        if index == unknown:
            kind = PieceKind.UNKNOWN
        pieces.append(Piece(text, float(score), kind))
    ids = {piece.text: index for index, piece in enumerate(pieces)}
    for token, (index, special) in sorted(whole.items(), key=lambda item: item[1]):
        if ids.setdefault(token, len(pieces)) != index:
            raise ValueError(
                f"{path}: added token {token!r} must have id {ids[token]} as in the vocabulary, "
                f"got {index}"
            )
        if index == len(pieces):
            pieces.append(
                Piece(token, 0.0, PieceKind.CONTROL if special else PieceKind.USER_DEFINED)
            )
    num_sentinels = next(
        n for n in count() if not pieces or pieces[-1 - n].text != sentinel_token(n)
    )
    pieces = pieces[: len(pieces) - num_sentinels]

    def role(name: str, usual: str) -> int:
        index = ids.get(token_content(config.get(name)) or usual, -1)
        return index if index < len(pieces) else -1

    eos_id = role("eos_token", "</s>")
    _check_frame(content.get("post_processor"), pieces[eos_id].text if eos_id >= 0 else None, path)
    return (
        SentencePieceModel(
            pieces,
            _read_normalizer(content, path),
            pad_id=role("pad_token", "<pad>"),
            bos_id=role("bos_token", "<s>"),
            eos_id=eos_id,
        ),
        num_sentinels,
    )


def _check_frame(frame: Any, eos: str | None, path: Path) -> None:
    """See that a text is followed by the end of a text, and by nothing else."""
    parts = frame.get("single") if part_type(frame) == "TemplateProcessing" else None
    names = []
    for part in parts if isinstance(parts, list) else []:
        values = part.values() if isinstance(part, dict) else []
        names += [value.get("id") for value in values if isinstance(value, dict)]
    if names != (["A"] if eos is None else ["A", eos]):
        raise ValueError(f"{path}: post_processor must put {eos!r} after a text, got {names}")


def _read_normalizer(content: Mapping[str, Any], path: Path) -> Normalizer:
    """Character map and spaces, from the normalizer and the pre_tokenizer."""

    def steps(name: str, inner: str) -> list[Any]:
        part = content.get(name)
        if part_type(part) == "Sequence" and isinstance(part, dict):
            return part.get(inner) or []
        return [] if part is None else [part]

    charsmap = None
    shrinks = False
    for step in steps("normalizer", "normalizers"):
        kind = part_type(step)
        if kind == "Precompiled":
            charsmap = _read_charsmap(step.get("precompiled_charsmap"), path)
        elif kind == "Replace" and step.get("pattern") in _SHRINKING:
            shrinks = True
        elif kind != "Strip":
            raise ValueError(f"{path}: normalizer must be SentencePiece's, got {kind!r}")
    prefix = None
    for step in steps("pre_tokenizer", "pretokenizers"):
        kind = part_type(step)
        if kind == "WhitespaceSplit":
            shrinks = True
        elif kind == "Metaspace" and step.get("replacement") == SPACE:
            old = "always" if step.get("add_prefix_space", True) else "never"
            prefix = step.get("prepend_scheme", old)
        else:
            raise ValueError(f"{path}: pre_tokenizer must be Metaspace, got {kind!r}")
    if prefix not in ("always", "never"):
        raise ValueError(f'{path}: prepend_scheme must be "always" or "never", got {prefix!r}')
    return Normalizer(
        charsmap, add_dummy_prefix=prefix == "always", remove_extra_whitespaces=shrinks
    )


def _read_charsmap(content: Any, path: Path) -> CharacterMap | None:
    if not content:
        return None
    try:
        return CharacterMap(base64.b64decode(content, validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"{path}: character map must be one in base64: {error}") from None


def _is_piece(text: Any, score: Any) -> bool:
    return isinstance(text, str) and type(score) in (int, float) and math.isfinite(score)
