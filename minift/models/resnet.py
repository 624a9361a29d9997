"""ResNet: blocks that learn a correction to what passes through them, y = relu(x + f(x)).

He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition": equation 1 and figure 5
(the blocks), table 1 (the nets for ImageNet), section 4.2 (the nets of 6n + 2 layers for CIFAR).

The stages are the rows of table 1: a stem, then layer1, layer2, ..., each twice as wide and half
as large as the one below. The lowest see edges and colours, which any picture has; the highest see
what the training labels asked for. That is why one freezes from the bottom.

Shapes: N batch, C channels, H height, W width, K classes. Submodules are called conv1, bn1, ...,
downsample, as in torchvision, so that its checkpoints fit after a change of prefix.

On purpose not as in the paper: every shortcut that changes the shape is a 1x1 convolution with
BatchNorm (its option B, in the CIFAR nets too); a bottleneck's stride is in its 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.stages import Model, Staged


@dataclass(frozen=True)
class ResNetConfig:
    blocks: tuple[int, ...]  # number of residual blocks in layer1, layer2, ...
    block: str = "basic"  # "basic": two 3x3 convolutions; "bottleneck": 1x1, 3x3, 1x1
    width: int = 16  # channels inside the blocks of layer1; each further layer doubles them
    stem: str = "small"  # "small": 3x3, stride 1; "paper": 7x7, stride 2, then max-pooling
    in_channels: int = 3  # 3: red, green, blue; 1: grey
    zero_init: bool = False  # start every block with f(x) = 0 (Goyal et al. 2017, section 5.1)
    pixel_mean: tuple[float, ...] = (0.5,)  # of uint8 pictures in parts of 255: one number, or
    pixel_std: tuple[float, ...] = (0.25,)  # one a channel; weights from elsewhere bring their own

    def __post_init__(self) -> None:
        for name in ("blocks", "pixel_mean", "pixel_std"):  # JSON knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.blocks or min(self.blocks) < 1:
            raise ValueError(f"blocks must be one or more positive counts, got {self.blocks}")
        # Of fewer than 8 channels a convolution of 1x1 with a stride, as in the shortcuts, writes
        # beyond its memory on CPUs that have AVX2 and no more (oneDNN, issue 6035).
        for name, least in (("width", 8), ("in_channels", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.block not in BLOCKS:
            raise ValueError(f"block must be one of {sorted(BLOCKS)}, got {self.block!r}")
        if self.stem not in STEM_STRIDES:
            raise ValueError(f"stem must be one of {sorted(STEM_STRIDES)}, got {self.stem!r}")
        for name in ("pixel_mean", "pixel_std"):
            values = getattr(self, name)
            if len(values) not in (1, self.in_channels) or not all(
                isinstance(value, (int, float)) for value in values
            ):
                raise ValueError(
                    f"{name} must be 1 or {self.in_channels} numbers (in_channels), got {values}"
                )
        if not min(self.pixel_std) > 0:
            raise ValueError(f"pixel_std must be above 0, got {self.pixel_std}")

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels that leave layer1, layer2, ..."""
        expansion = BLOCKS[self.block].expansion
        return tuple(self.width * 2**index * expansion for index in range(len(self.blocks)))


class ResidualBlock(nn.Module):
    """y = relu(shortcut(x) + f(x)): (N, C_in, H, W) -> (N, C_out, H / stride, W / stride)."""

    expansion = 1  # channels that leave the block per channel inside it

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.downsample = nn.Sequential()  # empty: x passes unchanged
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The BatchNorm that scales f's output."""
        raise NotImplementedError

    def residual(self, x: Tensor) -> Tensor:
        """f(x), with the shape of y."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.downsample(x) + self.residual(x))


class BasicBlock(ResidualBlock):
    """f is two 3x3 convolutions; they need no bias, since BatchNorm subtracts the mean."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__(in_channels, width, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(ResidualBlock):
    """f narrows by a 1x1 convolution, works by a 3x3, and widens fourfold by another 1x1."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__(in_channels, width * self.expansion, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
}
STEM_STRIDES = {"small": 1, "paper": 4}  # picture side / side of layer1's map


class Stem(nn.Module):
    """The bottom stage: from the picture's channels to the width of layer1."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        kernel_size, stride = {"small": (3, 1), "paper": (7, 2)}[config.stem]
        self.conv1 = nn.Conv2d(
            config.in_channels,
            config.width,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            bias=False,
        )
        self.bn1 = nn.BatchNorm2d(config.width)
        self.is_pooled = config.stem == "paper"

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))  # (N, width, H / stride, W / stride)
        return F.max_pool2d(x, 3, stride=2, padding=1) if self.is_pooled else x

    def reset_parameters(self) -> None:
        reset_convolutions(self)


class Layer(nn.Sequential):
    """One stage of residual blocks; the first of them changes the channels and takes the stride."""

    def __init__(self, config: ResNetConfig, index: int) -> None:
        block = BLOCKS[config.block]
        width, out_channels = config.width * 2**index, config.out_channels[index]
        in_channels = config.out_channels[index - 1] if index else config.width
        rest = [block(out_channels, width, stride=1) for _ in range(config.blocks[index] - 1)]
        super().__init__(block(in_channels, width, stride=2 if index else 1), *rest)
        self.zero_init = config.zero_init

    def reset_parameters(self) -> None:
        reset_convolutions(self)
        if self.zero_init:
            for block in self.children():
                assert isinstance(block, ResidualBlock)
                nn.init.zeros_(block.last_norm.weight)


def reset_convolutions(module: nn.Module) -> None:
    """Draw a stage anew, running statistics included.

    Convolutions: normal with variance 2 / fan_out (He et al. 2015, eq. 14), which keeps the size of
    the gradient through a relu. BatchNorm: scale 1, shift 0, running mean 0 and variance 1.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()


class ClassifyHead(nn.Module):
    """Average the map over its area, then one linear layer: (N, C, H, W) -> logits (N, K)."""

    def __init__(self, config: ResNetConfig, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(config.out_channels[-1], num_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features.mean(dim=(2, 3)))


class SegmentHead(nn.Module):
    """A class for every pixel, from the maps of all layers: -> logits (N, K, H, W).

    The top map knows what is there but hardly where, the bottom map the reverse. Each is brought
    to one width and to the size of the largest, and they are summed (the skips of Long et al. 2015;
    the summing of Kirillov et al. 2019, section 3.1). K counts the background as a class.
    """

    def __init__(self, config: ResNetConfig, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.taps = tuple(f"layer{index + 1}" for index in range(len(config.blocks)))
        self.stride = STEM_STRIDES[config.stem]
        self.lateral = nn.ModuleList(nn.Conv2d(C, width, 1) for C in config.out_channels)
        self.out = nn.Conv2d(width, num_classes, 3, padding=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        size = list(features[0].shape[2:])
        maps = [lateral(x) for lateral, x in zip(self.lateral, features)]
        total = maps[0]  # (N, width, H / stride, W / stride)
        for smaller in maps[1:]:
            total = total + F.interpolate(smaller, size, mode="bilinear", align_corners=False)
        logits = self.out(F.relu(total))  # (N, K, H / stride, W / stride)
        return F.interpolate(
            logits, scale_factor=self.stride, mode="bilinear", align_corners=False
        )  # (N, K, H, W)


class LocateHead(nn.Module):
    """The box around the one object: (N, C, H, W) -> (N, 4), x0 y0 x1 y1 in parts of the picture.

    Averaging the map over its area, which serves for classes, throws away where things are; what
    is left of it is only what the convolutions could tell from the zeros around the border. So the
    head points: each of P maps of attention sums to one over the area, and its mean place is a
    point x, y (the spatial softmax of Levine et al. 2016). From the points and the average, one
    linear layer reads the box as a size and a place, both in (0, 1): it begins at
    place * (1 - size), a share of the room that is left, so that it never leaves the picture.
    """

    def __init__(self, config: ResNetConfig, num_points: int = 16) -> None:
        super().__init__()
        channels = config.out_channels[-1]
        self.attention = nn.Conv2d(channels, num_points, 1)
        self.linear = nn.Linear(channels + 2 * num_points, 4)

    def forward(self, features: Tensor) -> Tensor:
        H, W = features.shape[2:]
        weight = self.attention(features).flatten(2).softmax(dim=2)  # (N, P, HW)
        weight = weight.unflatten(2, (H, W))  # (N, P, H, W)
        x = (weight.sum(dim=2) * cell_centres(W, weight)).sum(dim=2)  # (N, P)
        y = (weight.sum(dim=3) * cell_centres(H, weight)).sum(dim=2)  # (N, P)
        average = features.mean(dim=(2, 3))  # (N, C)
        box = self.linear(torch.cat([x, y, average], dim=1)).float()  # bfloat16 would round places
        place, size = box.sigmoid().chunk(2, dim=1)  # (N, 2) each: along x, along y
        start = place * (1 - size)  # (N, 2)
        return torch.cat([start, start + size], dim=1)


def cell_centres(num_cells: int, like: Tensor) -> Tensor:
    """Centres of the cells of one side, (num_cells,), from -1 to 1; device and dtype of `like`."""
    cells = torch.arange(num_cells, device=like.device, dtype=like.dtype)
    return (2 * cells + 1) / num_cells - 1


class ResNet(Model):
    """A residual net with a head.

    Parameters
    ----------
    config : sizes; `PRESETS` holds the named ones.
    head : "classify" -> logits (N, K); "segment" -> logits (N, K, H, W), where K counts the
        background; "locate" -> boxes (N, 4); None -> the map of the top layer (N, C, H', W').
    num_classes : K, for "classify" and "segment" only.

    Examples
    --------
    >>> model = ResNet(PRESETS["resnet10"], head="classify", num_classes=10)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> model.reset_head("segment", num_classes=3)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """

    family = "resnet"
    input_names = ("images",)

    def __init__(
        self, config: ResNetConfig, head: str | None = "classify", num_classes: int | None = None
    ) -> None:
        stages: dict[str, nn.Module] = {"stem": Stem(config)}
        for index in range(len(config.blocks)):
            stages[f"layer{index + 1}"] = Layer(config, index)
        super().__init__(config, Staged(stages), head, num_classes)

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        if name == "locate":
            if num_classes is not None:
                raise ValueError(f"num_classes must be None for head 'locate', got {num_classes}")
            return LocateHead(self.config)
        if name not in ("classify", "segment"):
            raise ValueError(f"head must be classify, segment, locate or None, got {name!r}")
        if num_classes is None or num_classes < 1:
            raise ValueError(f"num_classes must be at least 1 for head {name!r}, got {num_classes}")
        head_class = ClassifyHead if name == "classify" else SegmentHead
        return head_class(self.config, num_classes)

    def prepare(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """Check and scale pictures, (N, C, H, W) in and out.

        uint8 becomes (x / 255 - pixel_mean) / pixel_std, so about zero mean and unit spread. Float
        passes as it is: it has been scaled already.
        """
        channels = self.config.in_channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise ValueError(f"images must be (N, {channels}, H, W), got {tuple(images.shape)}")
        H, W = images.shape[2:]
        stride = getattr(self.head, "stride", 1)
        if H % stride or W % stride:
            raise ValueError(
                f"images must have sides divisible by {stride} for a label per pixel, got {H} x {W}"
            )
        if images.dtype == torch.uint8:
            mean, std = (
                torch.tensor(values, device=images.device).view(1, -1, 1, 1)
                for values in (self.config.pixel_mean, self.config.pixel_std)
            )
            images = (images.float() / 255 - mean) / std
        # Channels innermost: all later maps follow, and resnet10 trains 1.6 times as fast on a CPU.
        return images.contiguous(memory_format=torch.channels_last)


PRESETS: dict[str, ResNetConfig] = {
    # Section 4.2: three layers of n blocks, 6n + 2 layers with weights.
    "resnet8": ResNetConfig((1, 1, 1)),
    "resnet14": ResNetConfig((2, 2, 2)),
    "resnet20": ResNetConfig((3, 3, 3)),
    # One block in each of four layers: the smallest net with all the stages of table 1.
    "resnet10": ResNetConfig((1, 1, 1, 1)),
    "resnet-tiny": ResNetConfig((1, 1, 1, 1)),  # the same, by the name that comes with weights
    # Table 1.
    "resnet18": ResNetConfig((2, 2, 2, 2), width=64, stem="paper"),
    "resnet34": ResNetConfig((3, 4, 6, 3), width=64, stem="paper"),
    "resnet50": ResNetConfig((3, 4, 6, 3), "bottleneck", width=64, stem="paper"),
    "resnet101": ResNetConfig((3, 4, 23, 3), "bottleneck", width=64, stem="paper"),
    "resnet152": ResNetConfig((3, 8, 36, 3), "bottleneck", width=64, stem="paper"),
}
