"""Loading a BERT-base from a folder in the Hugging Face layout, and reading each weight once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import minift
from benchmarks.peers import prepare_torchvision
from benchmarks.runner import Row, Settings, Work, Workload


def folder(settings: Settings) -> Path:
    """A folder with fresh weights, written once and shared by both sides."""
    name = "bert-tiny" if settings.is_quick else "bert-base"
    path = Path(tempfile.gettempdir()) / f"minift-benchmark-{name}"
    if not (path / "config.json").exists():
        minift.save(minift.create_model(name, head="pretrain"), path, layout="huggingface")
    return path


def ours(settings: Settings) -> Work:
    path = folder(settings)

    def work() -> float:
        model = minift.load(path)
        return sum(float(weight.detach().sum()) for weight in model.parameters())

    return work


def theirs(settings: Settings) -> Work:
    path = folder(settings)
    prepare_torchvision()
    from transformers import BertForPreTraining

    def work() -> float:
        model = BertForPreTraining.from_pretrained(path)
        return sum(float(weight.detach().sum()) for weight in model.parameters())

    return work


WORKLOAD = Workload(
    sides={"minift": ours, "transformers": theirs},
    rows=[Row("loading BERT-base", "minift", "transformers", None)],
)
