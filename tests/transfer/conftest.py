"""A model with every difficulty at once: BatchNorm, dropout, a tied weight, a shared field."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.stages import Model, Staged

V, C, T = 12, 8, 5  # vocabulary, width, length
NUM_CLASSES = 3


class Flow(NamedTuple):
    hidden: Tensor  # (B, T, C)
    mask: Tensor  # (B, T) bool
    bias: Tensor | None = None  # (T,), the same for all rows

    shared = ("bias",)


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(V, C)
        self.position_bias = nn.Parameter(torch.randn(T))

    def reset_parameters(self) -> None:
        self.token.reset_parameters()
        nn.init.normal_(self.position_bias)

    def forward(self, flow: Flow) -> Flow:
        return flow._replace(hidden=self.token(flow.hidden), bias=self.position_bias * 1)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(C, C)
        self.norm = nn.BatchNorm1d(C)
        self.dropout = nn.Dropout(0.5)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        self.norm.reset_parameters()

    def forward(self, flow: Flow) -> Flow:
        new = self.norm(self.linear(flow.hidden).transpose(1, 2)).transpose(1, 2)
        new = self.dropout(new) * flow.bias[:, None]
        return flow._replace(hidden=flow.hidden + new.masked_fill(~flow.mask[..., None], 0))


class Classify(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(C, NUM_CLASSES)

    def forward(self, flow: Flow) -> Tensor:
        return self.linear(flow.hidden.mean(1))


class TiedDecoder(nn.Module):
    """Logits over the vocabulary with the embedding's own matrix."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(V))

    def forward(self, flow: Flow) -> Tensor:
        return flow.hidden @ self.weight.T + self.bias


class TapBottom(nn.Module):
    taps = ("embedding", "block1")

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(C, NUM_CLASSES)

    def forward(self, flows: list[Flow]) -> Tensor:
        return self.linear(sum(flow.hidden.mean(1) for flow in flows))


class TinyModel(Model):
    input_names = ("input_ids", "attention_mask")

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        if name == "tied":
            return TiedDecoder(self.trunk.stages["embedding"].token.weight)
        return {"classify": Classify, "taps": TapBottom}[name]()

    def prepare(self, input_ids: Tensor, attention_mask: Tensor) -> Flow:
        return Flow(input_ids, attention_mask)


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """Build a model by the name of its head: three stages called embedding, block0, block1."""

    def make(head: str = "classify", seed: int = 0) -> Model:
        torch.manual_seed(seed)
        trunk = Staged({"embedding": Embedding(), "block0": Block(), "block1": Block()})
        return TinyModel(None, trunk, head)

    return make


@pytest.fixture
def dataset() -> dict[str, Tensor]:
    """32 rows; the label of a row can be learnt from its first token."""
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(V, (32, T), generator=generator)
    attention_mask = torch.arange(T) < torch.randint(2, T + 1, (32, 1), generator=generator)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "labels": input_ids[:, 0] % NUM_CLASSES,
    }


@pytest.fixture
def train() -> Callable[..., None]:
    """Train on the whole of a data set for some steps."""

    def run(model: Model, optimizer: torch.optim.Optimizer, data: dict, steps: int = 3) -> None:
        model.train()
        for _ in range(steps):
            logits = model(**{name: data[name] for name in model.input_names})
            if logits.dim() == 3:
                loss = F.cross_entropy(logits.flatten(0, 1), data["input_ids"].flatten())
            else:
                loss = F.cross_entropy(logits, data["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


@pytest.fixture
def moved() -> Callable[..., set[str]]:
    """Say which entries of a state dict differ between two moments."""

    def names(before: dict[str, Tensor], model: Model) -> set[str]:
        after = model.state_dict()
        return {name for name in before if not torch.equal(before[name], after[name])}

    return names


@pytest.fixture
def snapshot() -> Callable[[Model], dict[str, Tensor]]:
    return lambda model: {name: value.clone() for name, value in model.state_dict().items()}
