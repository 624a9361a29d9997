"""What the studies of text do after pretraining: learn a task of the world from few labels."""

from __future__ import annotations

import torch
from torch import Tensor

from minift.data.world_tasks import Example
from minift.recipes.finetuning import FinetuneConfig, Finetuned, finetune, score
from minift.recipes.story_nlp import task_dataset
from minift.stages import Model
from minift.studies.results import Row
from minift.tokenizers import Tokenizer

Dataset = dict[str, Tensor]


def train_and_test(
    tokenizer: Tokenizer, task: str, num_labels: int, num_test: int, seed: int
) -> tuple[Dataset, Dataset]:
    """The few labels, and examples to judge by, which hold other words."""
    train = task_dataset(tokenizer, task, num_labels, seed=seed)
    return train, task_dataset(tokenizer, task, num_test, seed=seed + 1000, split="test")


def learn(
    model: Model, train: Dataset, test: Dataset, config: FinetuneConfig
) -> tuple[Row, Finetuned]:
    """Fine-tune under a new head, the same for a seed whatever else differs; judge on `test`.

    The head names one of two classes, or points where labels are the ends of a span, (N, 2).
    """
    torch.manual_seed(config.seed)
    is_span = train["labels"].ndim == 2
    model.reset_head("span" if is_span else "classify", None if is_span else 2)
    tuned = finetune(model, train, config)
    return judged(model, test), tuned


def class_of(example: Example) -> int:
    """The label of an example that has a class, and not a span."""
    assert example.label is not None
    return int(example.label)


def whole_epochs(num_steps: int, num_rows: int, batch_size: int) -> int:
    """The fewest passes over so many rows that come to so many steps."""
    return -(-num_steps // max(1, num_rows // batch_size))


def judged(model: Model, test: Dataset) -> Row:
    """The accuracy, and that of always giving the commonest answer: a class, or a span."""
    _, counts = test["labels"].unique(dim=0, return_counts=True)
    return {
        "accuracy": next(iter(score(model, test, "fp32").values())),  # of spans: "exact"
        "majority": int(counts.max()) / len(test["labels"]),
    }
