"""What a story measured, as numbers: results.json beside its page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from statistics import stdev
from typing import Any

import torch

from minift.training.files import write_text
from minift.training.precision import num_cores, processor

PICTURED = ("curve", "model")  # what a row holds for the page alone


def write_results(path: Path, settings: Any, rows: Sequence[Any], seconds: float) -> None:
    """Write the rows of a story's table with its settings, and on what it ran.

    settings : the story's dataclass.
    rows : dataclasses with `scores`, one a seed, and their mean, `score`.
    seconds : of the whole story.
    """
    content = {
        "settings": asdict(settings),
        "machine": {
            "torch": torch.__version__,
            "processor": processor(),
            "cores": num_cores(),
            "threads": torch.get_num_threads(),
        },
        "seconds": seconds,
        "rows": [numbers_of(row) for row in rows],
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def numbers_of(row: Any) -> dict[str, Any]:
    """A row's plain values, its score, and where there are several, their standard deviation."""
    plain = {
        each.name: getattr(row, each.name) for each in fields(row) if each.name not in PICTURED
    }
    spread = {"sd": stdev(row.scores)} if len(row.scores) > 1 else {}
    return {**plain, "score": row.score, **spread}
