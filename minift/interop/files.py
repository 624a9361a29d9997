"""Files of weights that others wrote: name -> tensor, of which nothing is believed unchecked.

A checkpoint comes from a stranger. A .safetensors file is a header (JSON: names, types, shapes,
byte ranges) and then bare bytes; it can hold nothing that runs, is mapped into memory instead of
read, and its header is held against the size of the file first. A .bin, .pt or .pth file is a
pickle in a zip archive, which could run code; so only tensors, numbers and strings are read from it
(`weights_only`). A large checkpoint is cut into shards, and an index says which name is in which.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from minift.training.files import load_tensors, write_bytes

WEIGHT_FILES = (  # of the Hugging Face layout; the first that is there counts
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
WRAPPERS = ("state_dict", "model")
MAX_HEADER = 100_000_000  # bytes; the format's own limit
ITEM_SIZES = {  # bytes of one number
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("BOOL", "I8", "U8"), 1),
}


def read_weights(source: str | Path) -> dict[str, Tensor]:
    """Read all tensors of a weights file, of an index of shards, or of a folder with either.

    Parameters
    ----------
    source : a .safetensors file, a pickled state dict (.bin, .pt, .pth) or one that a training
        script put beside its optimizer's (`WRAPPERS`), an index (.index.json), or a folder in
        which `WEIGHT_FILES` are looked for.

    Returns
    -------
    dict
        Name -> tensor on the CPU, as in the file. Those of a .safetensors file are views of the
        mapped file: copy them before the file changes.

    Raises
    ------
    ValueError : naming the file, and the tensor where it is one, for what is missing, cut off,
        damaged, or holds more than tensors.
    """
    path = Path(source)
    if path.is_dir():
        path = weights_file(path)
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    state = load_tensors(path)
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping):
        raise ValueError(f"{path}: must hold tensors by name, got a {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{path}: must hold tensors by name, got {type(value).__name__} for {name!r}"
            )
    return dict(state)


def weights_file(folder: Path) -> Path:
    """Return the file of `folder` that its weights are in, or the index of its shards."""
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder} has no weights: none of {', '.join(WEIGHT_FILES)}")


def write_safetensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, no two of which share memory, in one piece; order and names are kept."""
    _require_safetensors(path)
    from safetensors.torch import save

    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # The metadata says whose tensors these are; transformers refuses a file without it.
    write_bytes(path, save(content, metadata={"format": "pt"}))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; ValueError names the file and what is wrong with it."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    # Besides broken JSON: bytes that are no UTF-8, and brackets nested without end.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must be a JSON object, got a {type(content).__name__}")
    return content


def _read_shards(index: Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict):
        raise ValueError(f'{index}: "weight_map" must say the file of each name, got {places!r}')
    names_in: dict[str, list[str]] = {}
    for name, file in places.items():
        # A bare name, or the index could point at any file of this machine; and not at an index.
        is_shard = isinstance(file, str) and Path(file).suffix in (".safetensors", ".bin")
        if not is_shard or Path(file).name != file:
            raise ValueError(f"{index}: {name!r} must be in a file of this folder, got {file!r}")
        names_in.setdefault(file, []).append(name)
    state: dict[str, Tensor] = {}
    for file, names in names_in.items():
        shard = read_weights(index.with_name(file))
        missing = [name for name in names if name not in shard]
        if missing:
            raise ValueError(f"{index.with_name(file)} lacks {missing[0]!r}, which {index} puts in")
        state.update((name, shard[name]) for name in names)
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    _require_safetensors(path)
    from safetensors import SafetensorError, safe_open

    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:  # mapped: no byte is read until it is used
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None


def _check_header(path: Path) -> None:
    """Hold what the header says against the size of the file, and name the tensor that lies."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or header_size > min(size - 8, MAX_HEADER):
                raise ValueError(
                    f"{path}: is cut off or no .safetensors file: its header would take "
                    f"{header_size} bytes, the file has {size}"
                )
            header = json.loads(file.read(header_size).decode("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: its header must be JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: its header must be a JSON object, got {header!r:.80}")
    num_bytes = size - 8 - header_size
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            begin, end = _naturals(entry["data_offsets"])
            needed = math.prod(_naturals(entry["shape"])) * ITEM_SIZES.get(entry["dtype"], 0)
        except (TypeError, KeyError, ValueError):
            raise ValueError(
                f"{path}: {name!r} must have dtype, shape and data_offsets, got {entry!r:.200}"
            ) from None
        if end > num_bytes:
            raise ValueError(
                f"{path}: {name!r} should end at byte {end} of the data, of which there are "
                f"{num_bytes}: the file is cut off, or its header lies"
            )
        if entry["dtype"] in ITEM_SIZES and end - begin != needed:
            raise ValueError(
                f"{path}: {name!r} of shape {entry['shape']} and type {entry['dtype']} must take "
                f"{needed} bytes, its header says {end - begin}"
            )


def _naturals(values: Iterable[Any]) -> list[int]:
    numbers = list(values)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"must be whole numbers from 0 on, got {numbers}")
    return numbers


def _require_safetensors(path: str | Path) -> None:
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{path}: .safetensors files need safetensors: pip install 'minift[interop]'"
        ) from None
