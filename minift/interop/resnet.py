"""ResNet weights as torchvision and timm name them, in and out.

Both call a weight by the place it has in the paper's table 1 (He et al. 2016), and so do we; only
our trunk and head are named. The file says its own sizes: which blocks, how many, how wide, which
stem. So there is no list of models here, and any net of `ResNetConfig` can be handed back.

Not for relatives that keep the names and change the net: deeper stems, grouped convolutions and
attention over channels have other names or shapes, and are refused by them. Blurred pooling has no
weights of its own, so that nothing in the file can tell it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from minift.interop.files import read_weights, write_safetensors
from minift.interop.names import NameMap, Report, match
from minift.models.resnet import ResNet, ResNetConfig
from minift.training.files import save_tensors

NAMES = NameMap(
    [
        ("trunk.stages.stem.conv1", "conv1"),
        ("trunk.stages.stem.bn1", "bn1"),
        ("trunk.stages.layer{}", "layer{}"),  # block{}.conv1, bn1, ..., downsample: the same
        ("head.linear", "fc"),
    ]
)
# Mean and spread of ImageNet's colours, by which nearly all published weights want pictures scaled.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEMS = {7: "paper", 3: "small"}  # side of the first convolution's kernel


def load_resnet(
    path: str | Path,
    *,
    head: str | None = None,
    num_classes: int | None = None,
    pixel_mean: tuple[float, ...] | None = None,
    pixel_std: tuple[float, ...] | None = None,
) -> tuple[ResNet, Report]:
    """Make a model, in eval mode, of a file of weights.

    Parameters
    ----------
    path : a state dict (.pth, .pt, read with weights_only) or a .safetensors file.
    head, num_classes : another head than the file's, put on fresh; None means as in the file,
        which has a "classify" head or none.
    pixel_mean, pixel_std : how the weights want pictures scaled, which the file does not say; None
        is ImageNet's for colour pictures, and our own for others.

    Returns
    -------
    model, report
        A head that is missing, or of another number of classes than was asked for, is a note in
        the report: the model's is fresh, and the file's not used.

    Raises
    ------
    ValueError : naming the file, and the weight where it is one: the file is damaged, lacks a
        weight of the trunk, or has one of a net that is no `ResNet`.

    Examples
    --------
    >>> model, report = load_resnet("resnet18.pth", head="classify", num_classes=3)
    ... # doctest: +SKIP
    >>> print(report.summary())  # doctest: +SKIP
    resnet18.pth: matched 120; missing 2: head.linear.weight, head.linear.bias; unexpected 2: ...
    """
    state = completed(read_weights(path))
    config = config_of(state, path)
    if config.in_channels == 3:
        config = replace(config, pixel_mean=IMAGENET_MEAN, pixel_std=IMAGENET_STD)
    if pixel_mean is not None:
        config = replace(config, pixel_mean=pixel_mean)
    if pixel_std is not None:
        config = replace(config, pixel_std=pixel_std)
    saved_classes = None
    if {"fc.weight", "fc.bias"} <= state.keys() and state["fc.weight"].ndim == 2:
        saved_classes = len(state["fc.weight"]) or None
    saved_head = None if saved_classes is None else "classify"
    head = head or saved_head
    if head == saved_head:
        num_classes = num_classes or saved_classes
    use_head = (head, num_classes) == (saved_head, saved_classes)
    try:
        with torch.device("meta"):  # shapes only: what does not fit takes no memory
            own = ResNet(config, head, num_classes).state_dict(keep_vars=True)
        values, report = match(
            own, state, NAMES, source=str(path), use_head=use_head, sizes_from="the other weights"
        )
        model = ResNet(config, head, num_classes)
    except RuntimeError as error:  # torch's: too large for the memory
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None
    model.load_state_dict(values, strict=False)
    return model.eval(), report


def save_resnet(model: ResNet, path: str | Path) -> None:
    """Write a model's weights under torchvision's and timm's names.

    Their files do not say how pictures are scaled: give `load_resnet` the `pixel_mean` and
    `pixel_std` of the model's configuration again, or it takes its own.

    Parameters
    ----------
    path : by its ending a .safetensors file or, with .pth or .pt, a state dict. For a net of
        table 1 torchvision's and timm's `load_state_dict` take it as it is.

    Raises
    ------
    ValueError : the head is one they have no names for, or the ending is another.
    """
    path = Path(path)
    state = export_state(model)
    if path.suffix == ".safetensors":
        write_safetensors(path, state)
    elif path.suffix in (".pth", ".pt"):
        save_tensors(path, state)
    else:
        raise ValueError(f"path must end in .pth, .pt or .safetensors, got {str(path)!r}")


def export_state(model: ResNet) -> dict[str, Tensor]:
    """Return copies of a model's weights on the CPU under their names."""
    if model.head_name not in ("classify", None):
        raise ValueError(
            f"head must be classify or None to be named as torchvision does, got "
            f"{model.head_name!r}; model.reset_head(None) takes it off"
        )
    return {
        NAMES.theirs(name)[0]: value.detach().to("cpu", copy=True)
        for name, value in model.state_dict().items()
    }


def config_of(state: Mapping[str, Tensor], source: str | Path) -> ResNetConfig:
    """Read the sizes of a net off the names and shapes of its weights (theirs)."""
    if "conv1.weight" not in state:
        raise ValueError(f"{source} lacks 'conv1.weight': these are not the weights of a ResNet")
    shape = tuple(state["conv1.weight"].shape)
    if len(shape) != 4 or shape[2] not in STEMS or shape[2] != shape[3]:
        raise ValueError(
            f"{source}: 'conv1.weight' must be (width, channels, k, k) with k "
            f"{' or '.join(map(str, STEMS))}, got {shape}"
        )
    width, in_channels, kernel_size, _ = shape
    # The highest numbers count, so that a weight missing below them is missed by its name. Numbers
    # from a stranger's file: none may ask for more blocks than there are weights.
    places = [re.match(r"layer([1-8])\.([0-9]{1,4})\.", name) for name in state]
    numbers = [(int(place[1]), int(place[2])) for place in places if place]
    num_layers = max((layer for layer, _ in numbers), default=1)
    blocks = tuple(
        1 + max((number for layer, number in numbers if layer == index), default=0)
        for index in range(1, num_layers + 1)
    )
    if sum(blocks) > len(state):
        raise ValueError(f"{source}: {len(state)} weights cannot be those of {sum(blocks)} blocks")
    is_bottleneck = any(name.endswith(".conv3.weight") for name in state)
    block = "bottleneck" if is_bottleneck else "basic"
    try:
        return ResNetConfig(blocks, block, width, STEMS[kernel_size], in_channels)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def completed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring names of older or wrapped files to the usual form.

    torch's wrapper for several devices puts a prefix before every name. Weights of before torch
    0.4.1, of which many are still in use, lack a counter that only BatchNorm with momentum=None
    reads; it is 0 then.
    """
    prefix = "module."
    if all(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    end = "running_mean"
    norms = [name.removesuffix(end) for name in state if name.endswith(end)]
    counters = {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms}
    return {**counters, **state}
