"""Fine-tuning with a frozen lower part: 512 samples, 5 epochs, against the loop one writes by hand.

By hand: `requires_grad = False` below, and every batch runs through everything in every epoch.
`finetune` runs the frozen part once. Without dropout, for by hand it would also drop what is
frozen; the order of the rows differs, so losses agree only roughly.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import minift
from benchmarks.bert import V, our_bert, their_bert
from benchmarks.peers import prepare_torchvision
from benchmarks.runner import Row, Settings, Work, Workload
from minift.recipes.finetuning import FinetuneConfig, finetune
from minift.stages import Model

B, NUM_EPOCHS, T, NUM_CLASSES = 32, 5, 128, 2


def texts(settings: Settings) -> dict[str, Tensor]:
    generator, N = torch.Generator().manual_seed(0), settings.size(512, 64)
    lengths = torch.randint(16, T + 1, (N, 1), generator=generator)
    mask = torch.arange(T) < lengths
    ids = torch.randint(5, V, (N, T), generator=generator) * mask
    labels = torch.randint(NUM_CLASSES, (N,), generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def pictures(settings: Settings) -> dict[str, Tensor]:
    generator, N = torch.Generator().manual_seed(0), settings.size(512, 64)
    images = torch.randn(N, 3, 64, 64, generator=generator)
    labels = torch.randint(NUM_CLASSES, (N,), generator=generator)
    return {"images": images.contiguous(memory_format=torch.channels_last), "labels": labels}


def ours(model: Model, data: dict[str, Tensor], num_frozen: int) -> Work:
    config = FinetuneConfig(
        epochs=NUM_EPOCHS, batch_size=B, num_frozen=num_frozen, progress=False, precision="fp32"
    )
    return lambda: finetune(model, data, config).history.records[-1]["loss"]


def by_hand(model: nn.Module, data: dict[str, Tensor], trained: list[nn.Module]) -> Work:
    model.requires_grad_(False)
    for part in trained:
        part.requires_grad_(True)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    inputs = {name: values for name, values in data.items() if name != "labels"}
    labels = data["labels"]

    def work() -> float:
        optimizer = torch.optim.AdamW(weights, lr=5e-4, fused=True)
        model.train()
        for epoch in range(NUM_EPOCHS):
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
            for rows in order.split(B):
                batch = {name: values[rows] for name, values in inputs.items()}
                if "attention_mask" in batch:  # as a collator pads: to the longest of the batch
                    longest = int(batch["attention_mask"].sum(1).max())
                    batch = {name: values[:, :longest] for name, values in batch.items()}
                    logits = model(**batch).logits
                else:
                    logits = model(batch["images"])
                loss = F.cross_entropy(logits, labels[rows])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
        return loss.item()

    return work


def our_text(settings: Settings, num_frozen: int) -> Work:
    model = our_bert(0.0, dropout=0.0, head="classify", num_classes=NUM_CLASSES)
    return ours(model, texts(settings), num_frozen)


def their_text(settings: Settings, num_trained: int) -> Work:
    model = their_bert("BertForSequenceClassification", 0.0, dropout=0.0, num_labels=NUM_CLASSES)
    parts = [*model.bert.encoder.layer, model.bert.pooler]
    return by_hand(model, texts(settings), [*parts[len(parts) - num_trained :], model.classifier])


def our_pictures(settings: Settings, num_frozen: int) -> Work:
    model = minift.create_model("resnet18", num_classes=NUM_CLASSES)
    return ours(model, pictures(settings), num_frozen)


def their_pictures(settings: Settings, is_layer4_trained: bool) -> Work:
    prepare_torchvision()
    import timm

    model = timm.create_model("resnet18", num_classes=NUM_CLASSES)
    model.to(memory_format=torch.channels_last)
    trained = [model.layer4, model.fc] if is_layer4_trained else [model.fc]
    return by_hand(model, pictures(settings), trained)


WORKLOAD = Workload(
    sides={
        "minift, BERT top": partial(our_text, num_frozen=4),
        "by hand, BERT top": partial(their_text, num_trained=2),
        "minift, BERT head": partial(our_text, num_frozen=6),
        "by hand, BERT head": partial(their_text, num_trained=0),
        "minift, ResNet top": partial(our_pictures, num_frozen=4),
        "by hand, ResNet top": partial(their_pictures, is_layer4_trained=True),
        "minift, ResNet head": partial(our_pictures, num_frozen=5),
        "by hand, ResNet head": partial(their_pictures, is_layer4_trained=False),
    },
    rows=[
        Row("BERT, last layer and head", "minift, BERT top", "by hand, BERT top", 2.5),
        Row("BERT, head only", "minift, BERT head", "by hand, BERT head", 4.5),
        Row("ResNet-18, layer4 and fc", "minift, ResNet top", "by hand, ResNet top", 1.5),
        Row("ResNet-18, fc only", "minift, ResNet head", "by hand, ResNet head", 4.5),
    ],
)
