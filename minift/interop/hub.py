"""A public model by its name: its folder, downloaded from the model hub once and then kept.

huggingface_hub does the work: it takes a broken connection up again, and keeps whole files in the
user's cache. Here stands what it leaves open: which files a model needs, that the weights are the
ones the hub speaks of, and what to do where there is no network.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from minift.interop.files import WEIGHT_FILES, read_weights
from minift.training.files import file_digest

CONFIG_FILES = (  # what describes model and tokenizer; code, and weights of other kinds, stay there
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
SHARDS = {  # an index -> the files that it may point at
    "model.safetensors.index.json": r"model-\d+-of-\d+\.safetensors",
    "pytorch_model.bin.index.json": r"pytorch_model-\d+-of-\d+\.bin",
}


def fetch(name: str, *, endpoint: str | None = None, cache_dir: str | Path | None = None) -> Path:
    """Return the folder of a public model, in the user's cache; downloads what is not there yet.

    Parameters
    ----------
    name : "owner/name", or "owner/name@revision" for a commit, tag or branch; the newest otherwise.
    endpoint, cache_dir : the hub's address and the cache, None as huggingface_hub has them.

    Returns
    -------
    Path
        Its last part is the commit, so that the path says exactly which weights these are.

    Raises
    ------
    ValueError : the name is none, the hub has no such model, or there is neither network nor copy.
    ImportError : huggingface_hub is not installed.

    Examples
    --------
    >>> model = minift.load(fetch("prajjwal1/bert-tiny"))  # doctest: +SKIP
    """
    repository, _, revision = name.partition("@")
    if not re.fullmatch(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*", repository):
        raise ValueError(f"name must be 'owner/name' or 'owner/name@revision', got {name!r}")
    try:
        from huggingface_hub import HfApi, errors, snapshot_download
    except ImportError:
        raise ImportError(
            f"{name}: the model hub needs huggingface_hub: pip install 'minift[hub]'"
        ) from None
    version: dict[str, Any] = {"repo_id": repository, "revision": revision or None}
    try:
        info = HfApi(endpoint=endpoint).model_info(**version, files_metadata=True)
        files = needed_files([file.rfilename for file in info.siblings or ()])
        folder = Path(
            snapshot_download(
                **version, allow_patterns=files, endpoint=endpoint, cache_dir=cache_dir
            )
        )
    except errors.RepositoryNotFoundError:
        raise ValueError(f"{name}: the hub has no public model of this name") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{name}: the model has no revision {revision!r}") from None
    except Exception as error:  # a broken network has many, and other ones in other versions
        kept = _kept(version, cache_dir)
        if kept is not None:
            return kept
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{name}: the model hub could not be reached and the cache has no copy ({why}); with a "
            "network, run this again and it goes on, or copy the model's folder here and use --from"
        ) from None
    for file in info.siblings or ():
        if file.lfs is not None and file.rfilename in files:
            _require_digest(folder / file.rfilename, file.lfs.sha256)
    return folder


def needed_files(names: list[str]) -> list[str]:
    """Of a repository's files those that are read: descriptions, and one kind of weights."""
    weights = next((file for file in WEIGHT_FILES if file in names), None)
    shards = re.compile(SHARDS.get(weights or "", "$^"))
    return [
        name for name in names if name in CONFIG_FILES or name == weights or shards.fullmatch(name)
    ]


def _kept(version: dict[str, Any], cache_dir: str | Path | None) -> Path | None:
    """The copy of an earlier download, if it is whole."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(**version, filename="config.json", cache_dir=cache_dir)
    if not isinstance(config, str):
        return None
    try:
        read_weights(Path(config).parent)  # maps the file, and holds its header against its size
    except ValueError:
        return None
    return Path(config).parent


def _require_digest(path: Path, expected: str) -> None:
    """A file that is not the hub's is deleted, so that the next try downloads it anew."""
    found = file_digest(path)
    if found != expected:
        path.resolve().unlink()  # the file; in the folder is a link to it
        path.unlink(missing_ok=True)
        raise ValueError(
            f"{path}: must have the sha256 {expected}, got {found}; it was deleted, "
            "run this again to download it anew"
        )
