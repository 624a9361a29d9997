"""Devices, precisions and seeds."""

from __future__ import annotations

import pytest
import torch

from minift.training import Seeds, autocast, precision, resolve_device, resolve_precision

CPU = torch.device("cpu")


def test_auto_device_prefers_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cpu") == CPU


def test_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda' is not available here"):
        resolve_device("cuda")
    with pytest.raises(ValueError, match="one of auto, cuda, mps, cpu, got 'tpu'"):
        resolve_device("tpu")


def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda: True)
    assert resolve_precision("auto", CPU) == "bf16"
    monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda: False)
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    for supported, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, s=supported: s
        )
        assert resolve_precision("auto", torch.device("cuda")) == expected


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, fp32 or bf16, got 'fp16'"):
        resolve_precision("fp16", CPU)
    with pytest.raises(ValueError, match="fp32 or bf16 here, got 'auto'"):
        autocast("auto", CPU)


def test_autocast_multiplies_in_the_precision() -> None:
    x = torch.ones(2, 2)
    with autocast("bf16", CPU):
        assert (x @ x).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert (x @ x).dtype == torch.float32


def test_seeds_differ_from_each_other_and_come_again() -> None:
    drawn = [Seeds.from_seed(seed) for seed in range(50)]
    assert len({s for seeds in drawn for s in (seeds.init, seeds.order, seeds.dropout)}) == 150
    assert Seeds.from_seed(7) == drawn[7]
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        Seeds.from_seed(-1)
