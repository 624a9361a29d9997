"""train_nlp.py takes folders in the Hugging Face layout wherever it takes our own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scripts import load_script

import minift
from minift.checkpoint import read_description
from minift.tokenizers import ByteBPE, Tokenizer, Unigram, WordPiece

TEXTS = ["the cat sat on the mat .", "a dog ran to the red house ."] * 4
TOKENIZERS: dict[str, type[Tokenizer]] = {"bert": WordPiece, "gpt": ByteBPE, "t5": Unigram}


train_nlp = load_script("train_nlp.py")


@pytest.fixture(autouse=True)
def _needs_safetensors() -> None:
    pytest.importorskip("safetensors")


def saved(family: str, head: str | None, folder: Path) -> str:
    """A small model with more rows than tokens, and its tokenizer, as others would save them."""
    torch.manual_seed(0)
    size = {"bert": 60, "gpt": 270, "t5": 40}[family]
    tokenizer = TOKENIZERS[family].train(TEXTS, vocab_size=size)  # type: ignore[attr-defined]
    model = minift.create_model(
        f"{family}-micro",
        head=head,
        vocab_size=320,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        intermediate_size=24,
    )
    minift.save(model, folder, tokenizer, layout="huggingface")
    return str(folder)


@pytest.mark.parametrize(
    ("family", "head"), [("bert", None), ("bert", "mlm"), ("gpt", "lm"), ("gpt", None)]
)
def test_a_folder_is_finetuned_and_then_serves(family, head, tmp_path, capsys):
    data = tmp_path / "data.tsv"
    rows = [f"{text}\t{number % 2}\n" for number, text in enumerate(TEXTS)]
    data.write_text("sentence\tlabel\n" + "".join(rows))
    source, out = saved(family, head, tmp_path / "theirs"), str(tmp_path / "ours")

    flags = ["--data", str(data), "--no-progress", "--epochs", "8", "--lr", "0.01"]
    train_nlp.main(["finetune", "--from", source, *flags, "--out", out])
    train_nlp.main(["predict", "--from", out, TEXTS[0]])

    assert "weights were trained" in capsys.readouterr().out
    assert minift.load(out).num_classes == 2


def test_a_mask_is_filled(tmp_path, capsys):
    train_nlp.main(["fill-mask", "--from", saved("bert", "mlm", tmp_path), "the [MASK] sat"])

    assert capsys.readouterr().out.startswith("mask 1: ")


@pytest.mark.parametrize("family", ["gpt", "t5"])
def test_text_is_generated_also_with_rows_of_no_token(family, tmp_path, capsys):
    source = saved(family, "lm", tmp_path)

    for seed in range(5):  # of 320 rows many are no token's, and one of them is drawn soon
        flags = ["--seed", str(seed), "--max-new-tokens", "12", "--temperature", "2"]
        train_nlp.main([*flags[:2], "generate", "--from", source, "the cat", *flags[2:]])

    assert len(capsys.readouterr().out.splitlines()) >= 5


def test_a_name_on_the_hub_stands_for_its_folder(tmp_path, capsys, monkeypatch):
    folder = Path(saved("bert", "mlm", tmp_path))
    asked = []
    monkeypatch.setattr(train_nlp, "fetch", lambda name: asked.append(name) or folder)

    train_nlp.main(["fill-mask", "--from-hub", "somebody/small-bert@v1", "the [MASK] sat"])

    assert asked == ["somebody/small-bert@v1"]
    assert capsys.readouterr().out.startswith("mask 1: ")


def test_a_folder_and_a_name_on_the_hub_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as stopped:
        train_nlp.main(["fill-mask", "--from", "a", "--from-hub", "b/c", "the [MASK] sat"])

    assert stopped.value.code == 2
    assert "--from-hub: not allowed with argument --from" in capsys.readouterr().err


def test_what_is_finetuned_from_the_hub_names_its_parent(tmp_path, monkeypatch):
    folder = Path(saved("bert", None, tmp_path / "theirs"))
    monkeypatch.setattr(train_nlp, "fetch", lambda name: folder)
    data, out = tmp_path / "data.tsv", tmp_path / "ours"
    rows = [f"{text}\t{number % 2}\n" for number, text in enumerate(TEXTS)]
    data.write_text("sentence\tlabel\n" + "".join(rows))

    flags = ["--data", str(data), "--no-progress", "--epochs", "1", "--out", str(out)]
    train_nlp.main(["finetune", "--from-hub", "somebody/small-bert", *flags])

    assert read_description(out)["lineage"]["parent"] == "somebody/small-bert"
