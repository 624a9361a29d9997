"""The tables of parity show what is alike, and what is not."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def parity(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # the benchmarks are not part of the package
    return importlib.import_module("benchmarks.parity")


def gap(cell: str) -> float:
    return float(cell.split(" of ")[0])


def test_the_largest_difference_is_found_at_real_tokens(parity):
    ones, mask = torch.ones(2, 3, 4), torch.tensor([[True] * 3, [True, False, False]])
    other = ones.clone()
    other[1, 2] = 9.0  # padding
    assert parity.apart([ones], [other], mask) == "0 of 1"
    other[1, 0, 3] = 1.5
    assert parity.apart([ones, ones], [ones, other], mask) == "5.0e-01 of 1.5"
    assert parity.apart([ones * torch.nan], [ones]) == "nan of 1"


def test_gradients_are_compared_by_the_size_of_each(parity):
    theirs, written = nn.Linear(2, 2), nn.Linear(2, 2)
    for weight, other, size in zip(theirs.parameters(), written.parameters(), (1000.0, 1.0)):
        weight.grad = torch.full_like(weight, size)
        nn.init.constant_(other, size)
    assert parity.gradients_apart(written, theirs) == "0"
    nn.init.constant_(written.bias, 1.5)
    assert parity.gradients_apart(written, theirs) == "5.0e-01"


def test_texts_with_other_ids_are_counted_and_the_first_is_shown(parity):
    ids, other = [[1], [2, 3], [4]], [[1], [2], [5]]
    assert parity.differing(["a", "b|", "c"], ids, ids) == ("3", "0", "")
    assert parity.differing(["a", "b|", "c"], ids, other) == ("3", "2", r"'b\|'")
    assert parity.differing(["a"], ids[:1], ids)[:2] == ("3", "2")  # merges that only they have


@pytest.mark.parity
@pytest.mark.parametrize("label", ["BERT", "T5 v1.1, gated"])
def test_a_row_says_that_both_compute_the_same(parity, tmp_path, label):
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")

    row = dict(zip(parity.MODELS.split(" | "), parity.transformer_row(label, tmp_path)))

    assert row["load"].endswith(" / 0 / 0")
    assert max(gap(row["layers"]), gap(row["logits"]), gap(row["loss"])) < 1e-4
    assert gap(row["gradient"]) < 1e-4
    assert row["generation"] == ("" if label == "BERT" else "80 of 80")
    assert gap(row["export"]) == 0
    assert "astray" not in row["export"]


@pytest.mark.parity
def test_a_row_shows_a_weight_that_is_read_wrongly(parity, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")

    def read_wrongly(read, folder):
        model, report = read(folder)
        with torch.no_grad():
            model.trunk.stages["block1"].attention.sublayer.key.weight[0] *= 1.1
        return model, report

    monkeypatch.setattr(
        parity.interop, "load_folder", partial(read_wrongly, parity.interop.load_folder)
    )
    row = dict(zip(parity.MODELS.split(" | "), parity.transformer_row("BERT", tmp_path)))

    for column in ("layers", "logits", "loss", "gradient", "export"):
        assert gap(row[column]) > 1e-5, column
