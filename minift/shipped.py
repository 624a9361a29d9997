"""The weights that come with minift: five small models, each a checkpoint folder in weights/.

`python -m minift.recipes.shipped` trained them, on data that minift makes, and does so again.
weights/SHA256SUMS lists the sha256 of every file, as the program sha256sum writes and reads it. A
folder is handed out only after its files were held against that list: a damaged download or a
changed file would give a model that is a little wrong, and nobody would see it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from minift.training.files import file_digest, load_tensors, write_text

WEIGHTS = Path(__file__).parent / "weights"  # installed with the package
SUMS = "SHA256SUMS"


def shipped_names() -> list[str]:
    """Return the names of the models that come with weights."""
    return list(dict.fromkeys(file.partition("/")[0] for file in read_sums(WEIGHTS)))


def shipped_folder(name: str) -> Path:
    """Return the checkpoint folder of a model that comes with weights, its files checked.

    Raises
    ------
    ValueError : no weights come with the name (those that have some are named), or a file is
        missing or is not the one that was shipped.
    """
    names = shipped_names()
    if name not in names:
        raise ValueError(f"no weights come with {name!r}; those that have some: {', '.join(names)}")
    for file, expected in read_sums(WEIGHTS).items():
        if file.startswith(f"{name}/") and (found := file_digest(WEIGHTS / file)) != expected:
            raise ValueError(
                f"{WEIGHTS / file} is damaged: its sha256 must be {expected}, got {found}; install "
                "minift anew"
            )
    return WEIGHTS / name


def read_shipped(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what config.json says of a model that comes with weights, and these by name."""
    folder = shipped_folder(name)
    description = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return description, load_tensors(folder / "model.pt")


def read_sums(root: Path) -> dict[str, str]:
    """Read a list of digests: file, relative to the list's folder -> sha256 in hexadecimal."""
    lines = (root / SUMS).read_text(encoding="utf-8").splitlines()
    return {file: digest for digest, file in (line.split("  ", 1) for line in lines)}


def write_sums(root: Path) -> None:
    """Write the list of digests of all files in the folders of `root`."""
    files = sorted(path for path in root.glob("*/*") if path.is_file())
    lines = [f"{file_digest(path)}  {path.relative_to(root).as_posix()}\n" for path in files]
    write_text(root / SUMS, "".join(lines))
