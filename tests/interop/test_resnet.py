"""ResNet weights in and out without the reference libraries: sizes, heads, formats and damage."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import minift
from minift.interop.resnet import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    export_state,
    load_resnet,
    save_resnet,
)
from minift.models.resnet import ResNet, ResNetConfig

OWN_SCALE = {"pixel_mean": (0.5,), "pixel_std": (0.25,)}
CONFIGS = {
    "basic": ResNetConfig((1, 2), width=8),
    "bottleneck": ResNetConfig((2, 1, 1), "bottleneck", width=8, stem="paper"),
    "grey": ResNetConfig((1, 1, 1, 1), width=8, stem="paper", in_channels=1),
    "one layer": ResNetConfig((3,), width=8),
}
State = dict[str, Tensor]


def net(config: ResNetConfig = CONFIGS["basic"], head: str | None = "classify") -> ResNet:
    torch.manual_seed(0)
    model = ResNet(config, head, 5 if head == "classify" else None)
    model.train()
    shape = (4, config.in_channels, 32, 32)
    model(torch.randn(shape))  # moves the running statistics
    return model.eval()


def pictures(model: ResNet) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, model.config.in_channels, 32, 32, generator=generator)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("head", ["classify", None])
@torch.no_grad()
def test_a_net_comes_back_with_its_sizes_and_outputs(
    tmp_path: Path, config: ResNetConfig, head: str | None
) -> None:
    model = net(config, head)
    save_resnet(model, tmp_path / "a.pth")
    again, report = load_resnet(tmp_path / "a.pth", **OWN_SCALE)
    assert again.config == config
    assert (again.head_name, again.num_classes) == (model.head_name, model.num_classes)
    assert torch.equal(again(pictures(model)), model(pictures(model)))
    assert report.matched == list(model.state_dict())
    assert not again.training


@torch.no_grad()
def test_safetensors_hold_the_same(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    model = net()
    save_resnet(model, tmp_path / "a.safetensors")
    again, _ = load_resnet(tmp_path / "a.safetensors")
    assert torch.equal(again(pictures(model)), model(pictures(model)))


def test_loaded_weights_are_the_model_s_own(tmp_path: Path) -> None:
    """A file that is mapped into memory may be overwritten while the model is in use."""
    pytest.importorskip("safetensors")
    model = net()
    save_resnet(model, tmp_path / "a.safetensors")
    again, _ = load_resnet(tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[: len(content) // 2] + b"\0" * 1000)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"param_groups": []}},
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
        lambda state: {name: torch.nn.Parameter(v, False) for name, v in state.items()},
    ],
    ids=["training checkpoint", "several devices", "before torch 0.4.1", "parameters"],
)
@torch.no_grad()
def test_state_dicts_as_training_scripts_leave_them(
    tmp_path: Path, wrap: Callable[[State], State]
) -> None:
    model = net()
    torch.save(wrap(export_state(model)), tmp_path / "a.pt")
    again, report = load_resnet(tmp_path / "a.pt")
    assert torch.equal(again(pictures(model)), model(pictures(model)))
    assert not report.missing
    assert not report.unexpected


def test_a_weight_that_is_no_number_is_still_the_file_s(tmp_path: Path) -> None:
    """A run that diverged: one wants to look at it, and NaN is not equal to itself."""
    state = export_state(net())
    state["conv1.weight"][0] = torch.nan
    torch.save(state, tmp_path / "a.pth")
    model, _ = load_resnet(tmp_path / "a.pth")
    assert export_state(model)["conv1.weight"][0].isnan().all()


def test_half_precision_is_widened(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in export_state(net()).items()}
    torch.save(state, tmp_path / "a.pth")
    model, _ = load_resnet(tmp_path / "a.pth")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


# ----------------------------------------------------------------------------------------- heads


def test_another_number_of_classes_is_a_fresh_head_and_a_note(tmp_path: Path) -> None:
    save_resnet(net(), tmp_path / "a.pth")
    model, report = load_resnet(tmp_path / "a.pth", head="classify", num_classes=3)
    assert model(pictures(model)).shape == (2, 3)
    assert report.missing == ["head.linear.weight", "head.linear.bias"]
    assert report.unexpected == ["fc.weight", "fc.bias"]
    assert "missing 2: head.linear.weight" in report.summary()


def test_a_head_that_the_file_lacks_is_a_note(tmp_path: Path) -> None:
    save_resnet(net(head=None), tmp_path / "a.pth")
    model, report = load_resnet(tmp_path / "a.pth", head="classify", num_classes=3)
    assert model.num_classes == 3
    assert report.missing == ["head.linear.weight", "head.linear.bias"]
    assert not report.unexpected


@pytest.mark.parametrize("head", ["segment", "locate"])
def test_another_task_s_head_is_fresh(tmp_path: Path, head: str) -> None:
    save_resnet(net(), tmp_path / "a.pth")
    model, report = load_resnet(
        tmp_path / "a.pth", head=head, num_classes=4 if head == "segment" else None
    )
    assert model.head_name == head
    assert all(name.startswith("head.") for name in report.missing)
    assert report.unexpected == ["fc.weight", "fc.bias"]


def test_a_head_without_a_name_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"head must be classify or None .* got 'locate'"):
        save_resnet(net(head="locate"), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"must end in \.pth, \.pt or \.safetensors"):
        save_resnet(net(), tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())


def test_minift_load_opens_the_file(tmp_path: Path) -> None:
    save_resnet(net(), tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="fresh weights: .*head.linear.weight"):
        model = minift.load(tmp_path / "a.pth", num_classes=7)
    assert (model.head_name, model.num_classes) == ("classify", 7)


# ------------------------------------------------------------------------------- scale of pictures


def test_colour_pictures_are_scaled_as_imagenet_s_and_grey_ones_are_not(tmp_path: Path) -> None:
    save_resnet(net(), tmp_path / "colour.pth")
    save_resnet(net(CONFIGS["grey"]), tmp_path / "grey.pth")
    colour, _ = load_resnet(tmp_path / "colour.pth")
    grey, _ = load_resnet(tmp_path / "grey.pth")
    assert (colour.config.pixel_mean, colour.config.pixel_std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert grey.config == CONFIGS["grey"]
    white = colour.prepare(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8))
    assert white[0, 1, 0, 0] == pytest.approx((1 - 0.456) / 0.224)


def test_the_scale_is_kept_in_a_checkpoint(tmp_path: Path) -> None:
    save_resnet(net(), tmp_path / "a.pth")
    model, _ = load_resnet(tmp_path / "a.pth")
    minift.save(model, tmp_path / "saved")
    assert minift.load(tmp_path / "saved").config == model.config


# ---------------------------------------------------------------------------------------- damage


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def instead(**changed: tuple[int, ...]) -> Callable[[State], State]:
    shapes = {name.replace("__", "."): shape for name, shape in changed.items()}
    return lambda state: {**state, **{name: torch.zeros(shape) for name, shape in shapes.items()}}


DAMAGE: dict[str, tuple[Callable[[State], object], str]] = {
    "a trunk weight missing": (without("layer2.0.bn1.bias"), r"lacks 'layer2\.0\.bn1\.bias'"),
    "statistics missing": (without("bn1.running_var"), r"lacks 'bn1\.running_var'"),
    "no stem": (without("conv1.weight"), r"lacks 'conv1\.weight': these are not"),
    "no layer": (without("layer1.0.conv1.weight"), r"lacks 'layer1\.0\.conv1\.weight'"),
    "a block missing in the middle": (
        without("layer2.0.conv1.weight"),
        r"lacks 'layer2\.0\.conv1\.weight', the model's 'trunk\.stages\.layer2\.0",
    ),
    "a layer missing": (
        lambda state: {k: v for k, v in state.items() if not k.startswith("layer1.")},
        r"lacks 'layer1\.0\.conv1\.weight'",
    ),
    "a number of a block out of all proportion": (
        instead(layer1__9999__conv1__weight=(8, 8, 3, 3)),
        r"\d+ weights cannot be those of 10002 blocks",
    ),
    "a number of many digits": (
        instead(**{f"layer1__{'9' * 5000}__conv1__weight": (4, 4, 3, 3)}),
        r"has 'layer1\.9999",
    ),
    "another size": (
        instead(layer1__0__conv2__weight=(8, 5, 3, 3)),
        r"'layer1\.0\.conv2\.weight' must be \(8, 8, 3, 3\) by the other weights, got \(8, 5",
    ),
    "a stem of another kernel": (instead(conv1__weight=(8, 3, 5, 5)), r"with k 7 or 3, got"),
    "a stem without width": (instead(conv1__weight=(0, 3, 3, 3)), r"width must be at least 8"),
    "a stem without channels": (instead(conv1__weight=(8, 0, 3, 3)), r"in_channels must be"),
    "a stem that is no convolution": (instead(conv1__weight=(4,)), r"with k 7 or 3, got \(4,\)"),
    "an unknown weight in the trunk": (instead(layer1__0__se__weight=(4,)), r"has 'layer1\.0\.se"),
    "a head of another width": (instead(fc__weight=(5, 9)), r"'fc\.weight' must be \(5, 16\)"),
    "too many layers": (
        instead(**{f"layer{n}__0__conv1__weight": (8, 8, 3, 3) for n in range(3, 99)}),
        r"'layer3\.0\.conv1\.weight' must be \(32, 16, 3, 3\)",
    ),
    "no tensors by name": (lambda _: [torch.zeros(1)], "must hold tensors by name"),
    "a number among the tensors": (lambda state: {**state, "epoch": 3}, "got int for 'epoch'"),
    "nothing": (lambda _: {}, r"lacks 'conv1\.weight'"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_with_file_and_weight(tmp_path: Path, kind: str) -> None:
    change, message = DAMAGE[kind]
    torch.save(change(export_state(net())), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"a\.pth.*{message}") as caught:
        load_resnet(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


class Harmful:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("harm"),))


def test_code_in_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in ({**export_state(net()), "fc.weight": Harmful()}, net()):
        torch.save(content, "a.pth")
        with pytest.raises(ValueError, match=r"a\.pth: .*would run code"):
            load_resnet("a.pth")
    assert not Path("harm").exists()


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    for name in ("a.pth", "a.safetensors"):
        save_resnet(net(), tmp_path / name)
        content = (tmp_path / name).read_bytes()
        for length in (0, 4, 100, len(content) // 2, len(content) - 1):
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(ValueError, match=name):
                load_resnet(tmp_path / name)


def test_a_header_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "a.safetensors"
    save_resnet(net(), path)
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header["conv1.weight"]["shape"] = [4000, 3, 3, 3]
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + size :])
    with pytest.raises(ValueError, match=r"a\.safetensors: 'conv1\.weight'"):
        load_resnet(path)


def test_a_width_that_no_memory_has_is_refused_before_it_is_made(tmp_path: Path) -> None:
    """Every tensor is small, but by the stem's width the layers above would take terabytes."""
    state = export_state(net(CONFIGS["grey"]))
    state["conv1.weight"] = torch.zeros(1).expand(1_000_000, 1, 7, 7)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: 'conv1|a\.pth: 'bn1"):
        load_resnet(tmp_path / "a.pth")


def test_whole_numbers_are_no_weights(tmp_path):
    path = tmp_path / "a.pth"
    save_resnet(net(), path)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "conv1.weight": state["conv1.weight"].to(torch.int8)}, path)
    with pytest.raises(ValueError, match=r"'conv1.weight' is of torch.int8, not torch.float32"):
        load_resnet(path)
