"""ResNet-18's training step: batch 64, pictures of 32 and 64 pixels, SGD with momentum."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

import minift
from benchmarks.peers import num_weights, prepare_torchvision
from benchmarks.runner import Row, Settings, Work, Workload

NUM_CLASSES = 100


def steps(settings: Settings, model: nn.Module, side: int) -> Work:
    generator, B = torch.Generator().manual_seed(0), settings.size(64, 4)
    images = torch.randn(B, 3, side, side, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(NUM_CLASSES, (B,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def work() -> float:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return work


def our_resnet() -> nn.Module:
    return minift.create_model("resnet18", num_classes=NUM_CLASSES)


def ours(settings: Settings, side: int) -> Work:
    return steps(settings, our_resnet().train(), side)


def of_timm(settings: Settings, side: int) -> Work:
    prepare_torchvision()
    import timm

    model = timm.create_model("resnet18", num_classes=NUM_CLASSES)
    return steps(settings, channels_last(model), side)


def of_torchvision(settings: Settings, side: int) -> Work:
    prepare_torchvision()
    import torchvision

    model = torchvision.models.resnet18(num_classes=NUM_CLASSES)
    return steps(settings, channels_last(model), side)


def channels_last(model: nn.Module) -> nn.Module:
    """The faster of the two layouts on a CPU, for the peers as for us."""
    assert num_weights(model) == num_weights(our_resnet())
    return model.to(memory_format=torch.channels_last).train()


PEERS = {"timm": of_timm, "torchvision": of_torchvision}
WORKLOAD = Workload(
    sides={
        f"{name}, {side}": partial(build, side=side)
        for side in (32, 64)
        for name, build in {"minift": ours, **PEERS}.items()
    },
    rows=[
        Row(f"ResNet-18 step, {side} pixels", f"minift, {side}", f"{peer}, {side}", 1.05)
        for side in (32, 64)
        for peer in PEERS
    ],
)
