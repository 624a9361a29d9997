"""ResNet against torchvision and timm: the same numbers at every stage, in training, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import minift
from minift.interop.resnet import NAMES as NAME_MAP
from minift.interop.resnet import export_state, load_resnet, save_resnet
from minift.models.registry import PRESETS
from minift.models.resnet import ResNet

pytestmark = pytest.mark.parity

NAMES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
TAPS = {"maxpool": "stem", **{f"layer{n}": f"layer{n}" for n in (1, 2, 3, 4)}}  # theirs -> ours


def torchvision_net(name: str, num_classes: int = 10) -> nn.Module:
    models = pytest.importorskip("torchvision.models")
    return getattr(models, name)(num_classes=num_classes)


def timm_net(name: str, num_classes: int = 10, **settings: Any) -> nn.Module:
    timm = pytest.importorskip("timm")
    return timm.create_model(name, num_classes=num_classes, **settings)


MAKERS = [torchvision_net, timm_net]


def randomised(make: Callable[..., nn.Module], name: str, **settings: Any) -> nn.Module:
    """Their net with random BatchNorm too: fresh ones are all alike and would hide a mix-up."""
    torch.manual_seed(0)
    net = make(name, **settings)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            # timm begins the last of a block at zero, which would hide the block.
            nn.init.uniform_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.bias, std=0.1)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.7, 1.5)
    return net.eval()


def pictures(number: int = 2, channels: int = 3, side: int = 64) -> Tensor:
    return torch.randn(number, channels, side, side, generator=torch.Generator().manual_seed(1))


def save_and_load(net: nn.Module, path: Path) -> ResNet:
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path)
    model, report = load_resnet(path)
    assert sorted(report.matched) == sorted(model.state_dict())
    assert not report.missing
    assert not report.unexpected
    return model


def their_outputs(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}
    hooks = [
        net.get_submodule(theirs).register_forward_hook(
            lambda _module, _inputs, output, ours=ours: kept.__setitem__(ours, output)
        )
        for theirs, ours in TAPS.items()
    ]
    kept["logits"] = net(images)
    for hook in hooks:
        hook.remove()
    return kept


def our_outputs(model: ResNet, images: Tensor) -> dict[str, Tensor]:
    return {**model.trunk.outputs(model.prepare(images)), "logits": model(images)}


def assert_near(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float) -> None:
    """Relative to the largest number of each tensor, or to 1 where that is smaller."""
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        scale = max(1.0, float(value.abs().max()))
        difference = float((ours[name] - value).abs().max()) / scale
        print(f"{name}: {difference:.1e} of {scale:.2g}")
        assert difference <= tolerance, name


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_every_stage_puts_out_the_same_and_the_export_opens_strictly(
    tmp_path: Path, name: str, make: Callable[..., nn.Module]
) -> None:
    net = randomised(make, name)
    ending = ".pth" if make is torchvision_net else ".safetensors"
    model = save_and_load(net, tmp_path / f"in{ending}")
    theirs = their_outputs(net, pictures())
    assert_near(our_outputs(model, pictures()), theirs, 1e-5)

    other = make(name)  # other random weights
    save_resnet(model, tmp_path / "out.pth")
    other.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True), strict=True)
    assert torch.equal(other.eval()(pictures()), theirs["logits"])


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_the_net_of_that_name(tmp_path: Path, name: str) -> None:
    """Made by us, opened there: strictly, and with equal outputs."""
    torch.manual_seed(0)
    model = minift.create_model(name, num_classes=10).eval()
    save_resnet(model, tmp_path / "ours.pth")  # type: ignore[arg-type]
    net = torchvision_net(name)
    net.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True), strict=True)
    images = pictures()
    with torch.no_grad():
        assert_near({"logits": model(images)}, {"logits": net.eval()(images)}, 1e-5)
    again, _ = load_resnet(tmp_path / "ours.pth", pixel_mean=(0.5,), pixel_std=(0.25,))
    assert again.config == PRESETS[name][1]


@pytest.mark.parametrize(
    ("make", "name"),
    [(torchvision_net, "resnet18"), (torchvision_net, "resnet50"), (timm_net, "resnet34")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_training_step_has_the_same_loss_gradient_and_statistics(
    tmp_path: Path, make: Callable[..., nn.Module], name: str, dtype: torch.dtype
) -> None:
    net = randomised(make, name)
    model = save_and_load(net, tmp_path / "in.pth").to(dtype).train()
    net = net.to(dtype).train()
    images, labels = pictures(4).to(dtype), torch.tensor([0, 3, 9, 3])
    # In single precision the order of the sums counts: the gradients of their own resnet50 differ
    # by up to a quarter between the two memory layouts. So they get ours.
    layout = torch.channels_last if dtype == torch.float32 else torch.contiguous_format
    their_loss = F.cross_entropy(net(images.contiguous(memory_format=layout)), labels)
    our_loss = F.cross_entropy(model(images), labels)
    their_loss.backward()
    our_loss.backward()
    assert float(our_loss.detach()) == pytest.approx(float(their_loss.detach()), abs=1e-4)

    theirs = {name: parameter.grad for name, parameter in net.named_parameters()}
    ours = {NAME_MAP.theirs(n)[0]: parameter.grad for n, parameter in model.named_parameters()}
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert value is not None
        assert ours[key] is not None
        largest = value.abs().max()
        assert largest > 0, key
        assert (ours[key] - value).abs().max() <= 1e-4 * largest, key

    # The running statistics and their counter have moved alike.
    assert_near(export_state(model), dict(net.state_dict()), 1e-5)


@torch.no_grad()
def test_grey_pictures_and_no_head(tmp_path: Path) -> None:
    net = randomised(timm_net, "resnet18", num_classes=0, in_chans=1)
    model = save_and_load(net, tmp_path / "in.safetensors")
    assert (model.head_name, model.config.in_channels) == (None, 1)
    images = pictures(channels=1)
    features = model(images).mean(dim=(2, 3))
    assert_near({"features": features}, {"features": net(images)}, 1e-5)


@torch.no_grad()
def test_pictures_in_bytes_are_scaled_as_imagenet_s_are(tmp_path: Path) -> None:
    net = randomised(torchvision_net, "resnet18")
    model = save_and_load(net, tmp_path / "in.pth")
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    normalize = pytest.importorskip("torchvision.transforms.functional").normalize
    scaled = normalize(images / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert_near({"logits": model(images.byte())}, {"logits": net(scaled)}, 1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnext50_32x4d", r"'layer1\.0\.conv1\.weight' must be \(64, 64, 1, 1\)"),
        ("wide_resnet50_2", r"'layer1\.0\.conv1\.weight' must be \(64, 64, 1, 1\)"),
        ("resnet18d", r"lacks 'conv1\.weight'"),
        ("resnet10t", r"lacks 'conv1\.weight'"),
        ("seresnet18", r"has 'layer1\.0\.se\.fc1\.weight'"),
        ("resnet50_gn", r"lacks 'bn1\.running_mean'"),
        ("resnetv2_50", r"lacks 'conv1\.weight'"),
        ("vit_tiny_patch16_224", r"lacks 'conv1\.weight'"),
    ],
)
def test_a_net_that_we_cannot_compute_is_refused(tmp_path: Path, name: str, message: str) -> None:
    torch.save(timm_net(name).state_dict(), tmp_path / "in.pth")
    with pytest.raises(ValueError, match=rf"in\.pth.*{message}"):
        load_resnet(tmp_path / "in.pth")
