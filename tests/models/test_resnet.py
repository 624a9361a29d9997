"""ResNet: the published sizes, what the stages promise, and that each head can learn."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.models.resnet import PRESETS, Layer, ResidualBlock, ResNet, ResNetConfig

TINY = ResNetConfig((1, 1, 1), width=8)


def squares(num_pictures: int, side: int = 16) -> dict[str, Tensor]:
    """Bright rectangles on noise: wide ones are class 0, high ones class 1."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_pictures) % 2
    long, short = 8, 5
    width = torch.where(labels == 0, long, short)
    height = torch.where(labels == 0, short, long)
    room = torch.rand(num_pictures, 2, generator=generator)
    x0 = (room[:, 0] * (side - width)).long()
    y0 = (room[:, 1] * (side - height)).long()
    x, y = torch.arange(side), torch.arange(side)[:, None]
    inside = (
        (x >= x0[:, None, None])
        & (x < (x0 + width)[:, None, None])
        & (y >= y0[:, None, None])
        & (y < (y0 + height)[:, None, None])
    )
    noise = torch.randint(0, 100, (num_pictures, 3, side, side), generator=generator)
    return {
        "images": (noise + 150 * inside[:, None]).to(torch.uint8),
        "labels": labels,
        "masks": inside * (labels + 1)[:, None, None],
        "boxes": torch.stack([x0, y0, x0 + width, y0 + height], dim=1) / side,
    }


def overfit(model: ResNet, data: dict[str, Tensor], loss_of, steps: int) -> Tensor:
    """Train on the whole of `data` at every step; return the output in eval mode."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        optimizer.zero_grad()
        loss_of(model(data["images"])).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return model(data["images"])


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ],
)
def test_presets_of_table_1_have_the_published_number_of_parameters(name, num_parameters):
    with torch.device("meta"):
        model = ResNet(PRESETS[name], num_classes=1000)

    assert count(model) == num_parameters


@pytest.mark.parametrize(
    ("name", "millions"), [("resnet8", 0.08), ("resnet14", 0.18), ("resnet20", 0.27)]
)  # the paper's table 6 has the last; each further block a layer adds as much again
def test_cifar_presets_have_the_size_the_paper_gives(name, millions):
    with torch.device("meta"):
        model = ResNet(PRESETS[name], num_classes=10)

    assert count(model) == pytest.approx(millions * 1e6, abs=5e3)


@pytest.mark.parametrize("name", PRESETS)
def test_each_layer_doubles_the_channels_and_halves_the_map(name):
    config = PRESETS[name]
    with torch.device("meta"):
        model = ResNet(config, num_classes=7)
        images = torch.zeros(2, 3, 64, 96)
    maps = model.trunk.outputs(model.prepare(images))
    scale = 4 if config.stem == "paper" else 1

    for index, channels in enumerate(config.out_channels):
        assert channels == config.out_channels[0] * 2**index
        side = scale * 2**index
        assert maps[f"layer{index + 1}"].shape == (2, channels, 64 // side, 96 // side)
    assert model(images).shape == (2, 7)


def test_state_has_the_names_of_torchvision():
    model = ResNet(ResNetConfig((1, 1), "bottleneck", stem="paper"), num_classes=2)
    names = {
        name.removeprefix("trunk.stages.").removeprefix("stem.") for name in model.state_dict()
    }

    assert {"conv1.weight", "bn1.running_mean", "layer1.0.bn3.bias"} < names
    assert {"layer2.0.conv2.weight", "layer2.0.downsample.0.weight"} < names
    assert {"layer2.0.downsample.1.running_var", "head.linear.weight"} < names


def test_a_prefix_and_then_the_rest_equals_the_whole():
    torch.manual_seed(0)
    model = ResNet(PRESETS["resnet10"], num_classes=3).eval()
    images = torch.rand(2, 3, 16, 16)

    with torch.no_grad():
        whole = model(images)
        for k in range(len(model.trunk) + 1):
            below = model.trunk(model.prepare(images), stop=k)
            torch.testing.assert_close(model.forward_from(below, start=k), whole)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_zero_init_makes_each_block_its_shortcut_at_the_start(block):
    torch.manual_seed(0)
    model = ResNet(ResNetConfig((2, 2), block, width=8, zero_init=True), head=None)
    flow = model.trunk(model.prepare(torch.rand(2, 3, 8, 8)), stop=1)

    for layer in list(model.trunk.stages.values())[1:]:
        assert isinstance(layer, Layer)
        first, second = layer
        assert isinstance(first, ResidualBlock)
        after_first = first(flow)
        torch.testing.assert_close(after_first, F.relu(first.downsample(flow)))
        flow = second(after_first)
        torch.testing.assert_close(flow, after_first)  # no change of shape: the identity


def test_without_zero_init_a_block_changes_its_input():
    torch.manual_seed(0)
    model = ResNet(ResNetConfig((2,), width=8), head=None)
    flow = model.trunk(model.prepare(torch.rand(2, 3, 8, 8)), stop=1)

    assert not torch.allclose(model.trunk.stages["layer1"][1](flow), flow, atol=1e-2)


def test_convolutions_start_with_the_variance_of_he():
    torch.manual_seed(0)
    weight = ResNet(replace(TINY, width=32), head=None).trunk.stages["layer3"][0].conv2.weight

    assert weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)


def test_reset_restores_running_statistics():
    torch.manual_seed(0)
    model = ResNet(TINY, num_classes=2)
    model(torch.rand(4, 3, 8, 8))
    norm = model.trunk.stages["layer1"][0].bn1
    assert norm.running_mean.abs().max() > 0

    model.trunk.stages["layer1"].reset_parameters()

    assert torch.equal(norm.running_mean, torch.zeros(8))
    assert torch.equal(norm.running_var, torch.ones(8))


def test_frozen_stages_keep_their_running_statistics_in_training():
    torch.manual_seed(0)
    model = ResNet(TINY, num_classes=2)
    model.trunk.num_frozen = 2
    before = {name: value.clone() for name, value in model.trunk.named_buffers()}

    model.train()
    model(torch.rand(4, 3, 8, 8))

    moved = {n.split(".")[1] for n, v in model.trunk.named_buffers() if not v.equal(before[n])}
    assert moved == {"layer2", "layer3"}


def test_uint8_is_scaled_and_float_passes():
    model = ResNet(TINY, head=None)
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    floats = torch.rand(1, 3, 4, 4)

    assert model.prepare(levels).flatten().tolist() == pytest.approx([-2.0, -1.2, 2.0])
    assert torch.equal(model.prepare(floats), floats)


def test_maps_keep_the_channels_innermost():
    model = ResNet(TINY, head=None)

    features = model(torch.rand(2, 3, 16, 16))

    assert features.is_contiguous(memory_format=torch.channels_last)


def test_grey_pictures():
    model = ResNet(replace(TINY, in_channels=1), num_classes=2)

    assert model(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape == (2, 2)


def test_classify_head_learns_a_batch():
    torch.manual_seed(0)
    data = squares(16)
    model = ResNet(TINY, "classify", num_classes=2)

    logits = overfit(model, data, lambda out: F.cross_entropy(out, data["labels"]), steps=30)

    assert torch.equal(logits.argmax(dim=1), data["labels"])


def test_segment_head_learns_a_batch():
    torch.manual_seed(0)
    data = squares(16)
    model = ResNet(TINY, "segment", num_classes=3)

    logits = overfit(model, data, lambda out: F.cross_entropy(out, data["masks"]), steps=60)

    assert logits.shape == (16, 3, 16, 16)
    for label in range(3):
        truth, found = data["masks"] == label, logits.argmax(dim=1) == label
        assert (truth & found).sum() / (truth | found).sum() > 0.9


def test_locate_head_learns_a_batch():
    torch.manual_seed(0)
    data = squares(16)
    model = ResNet(TINY, "locate")

    boxes = overfit(model, data, lambda out: F.l1_loss(out, data["boxes"]), steps=80)

    assert (boxes - data["boxes"]).abs().mean() < 0.5 / 16  # half a pixel


def test_segment_head_reads_every_layer():
    torch.manual_seed(0)
    model = ResNet(TINY, "segment", num_classes=2)
    flow = [torch.rand(1, C, 8 // 2**i, 8 // 2**i) for i, C in enumerate(TINY.out_channels)]
    before = model.head(flow)

    for index in range(len(flow)):
        changed = [x + 1 if i == index else x for i, x in enumerate(flow)]
        assert not torch.allclose(model.head(changed), before)


@pytest.mark.parametrize("stem", ["small", "paper"])
def test_segment_head_gives_a_label_per_pixel(stem):
    model = ResNet(replace(TINY, stem=stem), "segment", num_classes=5)

    assert model(torch.zeros(2, 3, 24, 36)).shape == (2, 5, 24, 36)


def test_boxes_stay_within_the_picture_whatever_the_features():
    torch.manual_seed(0)
    head = ResNet(TINY, "locate").head

    x0, y0, x1, y1 = head(100 * torch.randn(200, 32, 3, 5)).unbind(1)

    for low, high in ((x0, x1), (y0, y1)):
        assert (low >= 0).all()
        assert (high <= 1).all()
        assert (low <= high).all()


def test_points_of_the_locate_head_follow_a_shifted_object():
    """One bright cell, moved to the right, moves the box to the right by what the points tell."""
    torch.manual_seed(0)
    head = ResNet(TINY, "locate").head
    nn.init.constant_(head.attention.weight, 1.0)
    nn.init.zeros_(head.linear.weight)
    head.linear.weight.data[0, :16] = 1.0  # place in x, from the points' x
    left, right = torch.zeros(2, 1, 32, 4, 4)
    left[:, :, 1, 0] = right[:, :, 1, 3] = 10.0

    assert head(left)[0, 0] < head(right)[0, 0] - 0.1
    torch.testing.assert_close(head(left)[0, 1], head(right)[0, 1])  # y0 stays


def test_reset_head_changes_the_task_and_keeps_the_trunk():
    torch.manual_seed(0)
    model = ResNet(TINY, num_classes=10).eval()
    before = {name: value.clone() for name, value in model.trunk.state_dict().items()}

    model.reset_head("segment", num_classes=3)

    assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert all(value.equal(before[name]) for name, value in model.trunk.state_dict().items())
    assert not model.head.training


def test_config_comes_back_equal_from_json():
    config = PRESETS["resnet50"]

    assert ResNetConfig(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"blocks": ()}, "blocks must be"),
        ({"blocks": (1, 0)}, r"blocks must be .* got \(1, 0\)"),
        ({"block": "wide"}, "block must be one of .* got 'wide'"),
        ({"stem": "big"}, "stem must be one of .* got 'big'"),
        ({"width": 7}, "width must be at least 8, got 7"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"pixel_mean": (0.5, 0.5)}, "pixel_mean must be 1 or 3 numbers"),
        ({"pixel_mean": ("a",)}, "pixel_mean must be 1 or 3 numbers"),
        ({"pixel_std": ()}, "pixel_std must be 1 or 3 numbers"),
        ({"pixel_std": (0.2, 0.0, 0.2)}, "pixel_std must be above 0"),
    ],
)
def test_impossible_configurations_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ResNetConfig(**{"blocks": (1,), **fields})


@pytest.mark.parametrize(
    ("head", "num_classes", "message"),
    [
        ("detect", 2, "head must be classify, segment, locate or None, got 'detect'"),
        ("classify", None, "num_classes must be at least 1 for head 'classify', got None"),
        ("segment", 0, "num_classes must be at least 1 for head 'segment', got 0"),
        ("locate", 4, "num_classes must be None for head 'locate', got 4"),
    ],
)
def test_impossible_heads_are_refused(head, num_classes, message):
    with pytest.raises(ValueError, match=message):
        ResNet(TINY, head, num_classes)


def test_pictures_of_the_wrong_shape_are_refused():
    model = ResNet(replace(TINY, stem="paper"), "segment", num_classes=2)

    with pytest.raises(ValueError, match=r"images must be \(N, 3, H, W\), got \(2, 8, 8, 3\)"):
        model(torch.zeros(2, 8, 8, 3))
    with pytest.raises(ValueError, match=r"sides divisible by 4 .* got 30 x 32"):
        model(torch.zeros(2, 3, 30, 32))
