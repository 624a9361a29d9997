"""ResNet-18's training step: batch 64, pictures of 32 and 64 pixels, SGD with momentum.

All sides hold pictures and weights with the channels innermost, the faster layout on a CPU.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import minift
from benchmarks.peers import num_weights
from benchmarks.runner import Row, Settings, Side, Work, Workload
from minift.interop import save_resnet

NUM_CLASSES = 100


def weights_of(settings: Settings) -> Path:
    return Path(settings.folder) / "resnet18.pth"


def prepare(settings: Settings) -> None:
    save_resnet(minift.create_model("resnet18", num_classes=NUM_CLASSES), weights_of(settings))


def steps(settings: Settings, model: nn.Module, pixels: int) -> Work:
    generator, B = torch.Generator().manual_seed(0), settings.size(64, 4)
    images = torch.randn(B, 3, pixels, pixels, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(NUM_CLASSES, (B,), generator=generator)
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def run() -> float:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return Work(run, same={"weights": num_weights(model), "pictures": B})


def ours(settings: Settings, pixels: int) -> Work:
    return steps(settings, minift.load(weights_of(settings)), pixels)


def theirs(settings: Settings, model: nn.Module, pixels: int) -> Work:
    model.load_state_dict(torch.load(weights_of(settings), weights_only=True))
    return steps(settings, model, pixels)


def of_timm(settings: Settings, pixels: int) -> Work:
    import timm

    return theirs(settings, timm.create_model("resnet18", num_classes=NUM_CLASSES), pixels)


def of_torchvision(settings: Settings, pixels: int) -> Work:
    import torchvision

    return theirs(settings, torchvision.models.resnet18(num_classes=NUM_CLASSES), pixels)


PEERS = {
    "timm": Side(of_timm, ("timm",)),
    "torchvision": Side(of_torchvision, ("torchvision",)),
}
WORKLOAD = Workload(
    prepare=prepare,
    sides={
        f"{name}, {pixels} pixels": side._replace(build=partial(side.build, pixels=pixels))
        for pixels in (32, 64)
        for name, side in {"minift": Side(ours), **PEERS}.items()
    },
    rows=[
        Row("ResNet-18 step", f"minift, {pixels} pixels", f"{peer}, {pixels} pixels", 1.05)
        for pixels in (32, 64)
        for peer in PEERS
    ],
)
