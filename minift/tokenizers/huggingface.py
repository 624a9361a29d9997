"""What the files of Hugging Face's layout have in common: objects by key, ids, added tokens.

tokenizer.json           the whole of a tokenizer: how a text is cut, the vocabulary, added tokens
tokenizer_config.json    settings, and the tokens that have a role
added_tokens.json        token -> id of the added tokens, in older folders
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minift.tokenizers.files import read_json


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object, {} where there is no such file."""
    content = read_json(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} must be an object")
    return content


def in_order(ids: Mapping[str, Any], path: Path) -> list[str]:
    """Return the tokens by their ids, which must leave no hole and be taken once each."""
    # A bool would pass for the number 0 or 1.
    whole = all(type(index) is int for index in ids.values())
    if not whole or sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(f"{path}: ids must be 0..{len(ids) - 1}, each once")
    return sorted(ids, key=ids.__getitem__)


def added_tokens(entries: Iterable[Mapping[str, Any]], path: Path) -> dict[str, tuple[int, bool]]:
    tokens = {}
    for entry in entries:
        token, index = entry.get("content"), entry.get("id")
        if not isinstance(token, str) or not token or type(index) is not int:
            raise ValueError(f"{path}: an added token must have a content and an id, got {entry!r}")
        for key in ("lstrip", "rstrip", "single_word"):
            if entry.get(key):
                raise ValueError(f"{path}: added token {token!r}: {key} must be false")
        tokens[token] = (index, bool(entry.get("special")))
    return tokens


def read_added_tokens(folder: Path, config: dict[str, Any]) -> dict[str, tuple[int, bool]]:
    """Added tokens of a folder without tokenizer.json, where later and older writers put them."""
    path = folder / "tokenizer_config.json"
    described = config.get("added_tokens_decoder", {})
    if not isinstance(described, dict) or not is_list_of(dict, list(described.values())):
        raise ValueError(f"{path}: added_tokens_decoder must be objects by id")
    entries = [
        {**entry, "id": int(index) if index.isdecimal() else None}
        for index, entry in described.items()
    ]
    older = read_object(folder / "added_tokens.json")
    plain = [{"id": index, "content": token} for token, index in older.items()]
    # The description last: only it says which tokens are special.
    return {
        **added_tokens(plain, folder / "added_tokens.json"),
        **added_tokens(entries, path),
    }


def with_added(
    ids: Mapping[str, Any], added: Mapping[str, tuple[int, bool]], folder: Path
) -> dict[str, Any]:
    """Return token -> id with the added tokens, which may be in the vocabulary with the same id."""
    ids = dict(ids)
    for token, (index, _) in added.items():
        if ids.setdefault(token, index) != index:
            raise ValueError(
                f"{folder}: added token {token!r} must have id {ids[token]} as in the vocabulary, "
                f"got {index}"
            )
    return ids


def added_entries(whole: Mapping[str, bool], ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what tokenizer.json says of tokens that are looked for in a text before it is cut.

    `whole` says of each whether decoding leaves it out as special.
    """
    return [
        {
            "id": ids[token],
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": is_special,
        }
        for token, is_special in sorted(whole.items(), key=lambda item: ids[item[0]])
    ]


def token_content(token: Any) -> str | None:
    """A token is written as a string, or as an object with its content."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def part_type(part: Any) -> Any:
    """The type that a part of tokenizer.json says it is of; None for null, and a name that nothing
    has for what is no part."""
    if part is None:
        return None
    return part.get("type") if isinstance(part, dict) else f"no part: {part!r}"


def is_list_of(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
