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


def test_the_largest_difference_is_found_at_real_tokens(parity):
    ones, mask = torch.ones(2, 3, 4), torch.tensor([[True] * 3, [True, False, False]])
    other = ones.clone()
    other[1, 2] = 9.0  # padding
    assert parity.apart([ones], [other], mask) == {"difference": 0, "largest": 1}
    other[1, 0, 3] = 1.5
    found = parity.apart([ones, ones], [ones, other], mask)
    assert found == {"difference": 0.5, "largest": 1.5}
    assert parity.of_largest(parity.apart([ones * torch.nan], [ones])) == "nan of 1"


def test_gradients_are_compared_by_the_size_of_each(parity):
    theirs, written = nn.Linear(2, 2), nn.Linear(2, 2)
    for weight, other, size in zip(theirs.parameters(), written.parameters(), (1000.0, 1.0)):
        weight.grad = torch.full_like(weight, size)
        nn.init.constant_(other, size)
    assert parity.gradients_apart(written, theirs) == 0
    nn.init.constant_(written.bias, 1.5)
    assert parity.gradients_apart(written, theirs) == 0.5


def test_texts_with_other_ids_are_counted_and_the_first_is_shown(parity):
    ids, other = [[1], [2, 3], [4]], [[1], [2], [5]]

    def cells(*compared):
        return parity.cells(parity.TOKENIZERS, parity.differing(*compared))[-3:]

    assert cells(["a", "ß", "c"], ids, ids) == ["3", "0", ""]
    assert cells(["a", "ß", "c"], ids, other) == ["3", "2", r"'\xdf'"]
    assert cells(["a"], ids[:1], ids)[:2] == ["3", "2"]  # merges that only they have


def test_the_cells_of_a_model_show_its_numbers(parity):
    gap = {"difference": 1.25e-6, "largest": 4.3211}
    row = {
        **{"model": "BERT", "reference": "transformers"},
        **{"load": {"matched": 63, "missing": 1, "unexpected": 0}, "layers": gap, "logits": gap},
        **{"loss": {"difference": 0.0, "largest": 6.0}, "gradient": 0.0},
        **{"generation": {"same": 79, "compared": 80}, "export": {**gap, "astray": 2}},
    }
    assert parity.cells(parity.MODELS, row) == [
        *("BERT", "transformers", "63 / 1 / 0", "1.3e-06 of 4.32", "1.3e-06 of 4.32"),
        *("0 of 6", "0", "79 of 80", "1.3e-06 of 4.32, 2 astray"),
    ]


@pytest.mark.parity
@pytest.mark.parametrize("label", ["BERT", "T5 v1.1, gated"])
def test_a_row_says_that_both_compute_the_same(parity, tmp_path, label):
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")

    row = parity.transformer_row(label, tmp_path)

    assert row.keys() == parity.MODELS.keys()
    assert row["load"]["missing"] == row["load"]["unexpected"] == 0
    assert max(row[column]["difference"] for column in ("layers", "logits", "loss")) < 1e-4
    assert row["gradient"] < 1e-4
    assert row["generation"] == (None if label == "BERT" else {"same": 80, "compared": 80})
    assert row["export"]["difference"] == row["export"]["astray"] == 0


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
    row = parity.transformer_row("BERT", tmp_path)

    assert row["gradient"] > 1e-5
    for column in ("layers", "logits", "loss", "export"):
        assert row[column]["difference"] > 1e-5, column
