"""Fine-tuning with a frozen lower part: 512 samples, 5 epochs, against the loop one writes by hand.

By hand: `requires_grad = False` below, and every batch runs through everything in every epoch.
`finetune` runs the frozen part once. Both end with the same weights: there is no dropout, the
frozen BatchNorms are in eval mode by hand too, and both take the rows in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import minift
from benchmarks.bert import V, our_bert
from benchmarks.peers import num_weights
from benchmarks.runner import Row, Settings, Side, Work, Workload
from minift.data.batches import epoch_batches, trim_padding
from minift.interop import save_resnet
from minift.recipes.finetuning import FinetuneConfig, finetune
from minift.training.precision import Seeds

B, NUM_EPOCHS, T, NUM_CLASSES, LR = 32, 5, 128, 2, 5e-4
Dataset = dict[str, Tensor]


def prepare(settings: Settings) -> None:
    folder = Path(settings.folder)
    bert = our_bert(0.0, 0.0, head="classify", num_classes=NUM_CLASSES)
    minift.save(bert, folder / "bert", layout="huggingface")
    resnet = minift.create_model("resnet18", num_classes=NUM_CLASSES)
    save_resnet(resnet, folder / "resnet18.pth")


def texts(settings: Settings) -> Dataset:
    generator, N = torch.Generator().manual_seed(0), settings.size(512, 64)
    lengths = torch.randint(16, T + 1, (N, 1), generator=generator)
    mask = torch.arange(T) < lengths
    ids = torch.randint(5, V, (N, T), generator=generator) * mask
    labels = torch.randint(NUM_CLASSES, (N,), generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def pictures(settings: Settings) -> Dataset:
    generator, N = torch.Generator().manual_seed(0), settings.size(512, 64)
    images = torch.randn(N, 3, 64, 64, generator=generator)
    labels = torch.randint(NUM_CLASSES, (N,), generator=generator)
    return {"images": images.contiguous(memory_format=torch.channels_last), "labels": labels}


def ours(settings: Settings, source: str, num_frozen: int) -> Work:
    model: Any = minift.load(Path(settings.folder) / source)
    data = texts(settings) if source == "bert" else pictures(settings)
    config = FinetuneConfig(
        epochs=NUM_EPOCHS,
        batch_size=B,
        lr=LR,
        weight_decay=0.0,
        schedule="constant",
        warmup=0.0,
        num_frozen=num_frozen,
        precision="fp32",
        progress=False,
    )

    def run() -> float:
        finetune(model, data, config)
        return spread(model.head)

    return work(run, model, data)


def by_hand(model: nn.Module, data: Dataset, trained: list[nn.Module], head: nn.Module) -> Work:
    model.requires_grad_(False).eval()
    for part in trained:
        part.requires_grad_(True).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    batches = epoch_batches(data, B, seed=Seeds.from_seed(0).order)

    def run() -> float:
        optimizer = torch.optim.AdamW(weights, lr=LR, weight_decay=0.0, fused=True)
        for step in range(num_steps(data)):
            batch = trim_padding(batches(step))  # as a collator pads: to the longest of the batch
            labels = batch.pop("labels")
            logits = model(batch["images"]) if "images" in batch else model(**batch).logits
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
        return spread(head)

    return work(run, model, data)


def num_steps(data: Dataset) -> int:
    return NUM_EPOCHS * len(data["labels"]) // B


def work(run: Callable[[], float], model: nn.Module, data: Dataset) -> Work:
    same = {"weights": num_weights(model), "samples": len(data["labels"])}
    return Work(run, same, num_steps(data))


def spread(head: nn.Module) -> float:
    """A figure that tells whether both sides end with the same head."""
    return sum(float(weight.detach().norm()) for weight in head.parameters() if weight.ndim == 2)


def bert_by_hand(settings: Settings, num_trained: int) -> Work:
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(Path(settings.folder) / "bert")
    parts = [*model.bert.encoder.layer, model.bert.pooler]
    trained = [*parts[len(parts) - num_trained :], model.classifier]
    return by_hand(model, texts(settings), trained, model.classifier)


def resnet_by_hand(settings: Settings, is_layer4_trained: bool) -> Work:
    import timm

    model = timm.create_model("resnet18", num_classes=NUM_CLASSES)
    state = torch.load(Path(settings.folder) / "resnet18.pth", weights_only=True)
    model.load_state_dict(state)
    model.to(memory_format=torch.channels_last)
    trained = [model.layer4, model.fc] if is_layer4_trained else [model.fc]
    return by_hand(model, pictures(settings), trained, model.fc)


BERT, RESNET = ("transformers:BertForSequenceClassification",), ("timm",)
WORKLOAD = Workload(
    prepare=prepare,
    sides={
        "minift, BERT top": Side(partial(ours, source="bert", num_frozen=4)),
        "by hand, BERT top": Side(partial(bert_by_hand, num_trained=2), BERT),
        "minift, BERT head": Side(partial(ours, source="bert", num_frozen=6)),
        "by hand, BERT head": Side(partial(bert_by_hand, num_trained=0), BERT),
        "minift, ResNet top": Side(partial(ours, source="resnet18.pth", num_frozen=4)),
        "by hand, ResNet top": Side(partial(resnet_by_hand, is_layer4_trained=True), RESNET),
        "minift, ResNet head": Side(partial(ours, source="resnet18.pth", num_frozen=5)),
        "by hand, ResNet head": Side(partial(resnet_by_hand, is_layer4_trained=False), RESNET),
    },
    rows=[
        Row("BERT, last layer and head", "minift, BERT top", "by hand, BERT top", 2.5),
        Row("ResNet-18, layer4 and fc", "minift, ResNet top", "by hand, ResNet top", 1.5),
        Row("BERT, head only", "minift, BERT head", "by hand, BERT head", 4.5),
        Row("ResNet-18, fc only", "minift, ResNet head", "by hand, ResNet head", 4.5),
    ],
)
