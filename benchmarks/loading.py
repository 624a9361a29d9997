"""Loading a BERT-base from a folder in the Hugging Face layout, and reading each weight once."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

import minift
from benchmarks.peers import num_weights
from benchmarks.runner import Row, Settings, Side, Work, Workload


def prepare(settings: Settings) -> None:
    name = "bert-tiny" if settings.is_quick else "bert-base"
    minift.save(minift.create_model(name, head="pretrain"), settings.folder, layout="huggingface")


def loading(load: Callable[[], nn.Module]) -> Work:
    def run() -> float:
        return sum(float(weight.detach().abs().sum()) for weight in load().parameters())

    return Work(run, same={"weights": num_weights(load())})


def ours(settings: Settings) -> Work:
    return loading(lambda: minift.load(settings.folder))


def theirs(settings: Settings) -> Work:
    from transformers import BertForPreTraining

    return loading(lambda: BertForPreTraining.from_pretrained(settings.folder))


WORKLOAD = Workload(
    prepare=prepare,
    sides={
        "minift": Side(ours),
        "transformers": Side(theirs, ("transformers:BertForPreTraining",)),
    },
    rows=[Row("loading BERT-base", "minift", "transformers", reach_memory=0.7)],
)
