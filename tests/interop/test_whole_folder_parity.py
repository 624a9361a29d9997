"""A folder with model and tokenizer, from `minift.save`: texts go in, equal numbers come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import minift
from minift.data.world import world_documents
from minift.stages import Model
from minift.tokenizers import ByteBPE, Tokenizer, Unigram, WordPiece

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.parity

TEXTS = [sentence for document in world_documents(30, seed=0) for sentence in document]
TOKENIZERS: dict[str, type[Tokenizer]] = {"bert": WordPiece, "gpt": ByteBPE, "t5": Unigram}
CASES = {  # family, head -> the auto class
    ("bert", "mlm"): "AutoModelForMaskedLM",
    ("bert", "classify"): "AutoModelForSequenceClassification",
    ("bert", "tag"): "AutoModelForTokenClassification",
    ("bert", "span"): "AutoModelForQuestionAnswering",
    ("gpt", "lm"): "AutoModelForCausalLM",
    ("gpt", "classify"): "AutoModelForSequenceClassification",
    ("t5", "lm"): "AutoModelForSeq2SeqLM",
}


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {
        family: kind.train(TEXTS, vocab_size=360)  # type: ignore[attr-defined]
        for family, kind in TOKENIZERS.items()
    }


def saved(family: str, head: str, tokenizer: Tokenizer, folder: Path) -> Model:
    """A small model whose vocabulary is padded to a multiple of 64."""
    torch.manual_seed(0)
    model = minift.create_model(
        f"{family}-micro",
        head=head,
        num_classes=3 if head in ("classify", "tag") else None,
        vocab_size=(tokenizer.vocab_size + 63) // 64 * 64,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        intermediate_size=48,
    ).eval()
    minift.save(model, folder, tokenizer, layout="huggingface")
    return model


@pytest.mark.parametrize(("family", "head"), CASES)
def test_texts_give_the_same_output_on_both_sides(family, head, tokenizers, tmp_path):
    model = saved(family, head, tokenizers[family], tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    theirs = getattr(transformers, CASES[family, head]).from_pretrained(tmp_path).eval()
    pairs = TEXTS[4:8] if family == "bert" else None

    batch = tokenizers[family](TEXTS[:4], pairs)
    inputs = tokenizer(TEXTS[:4], pairs, padding=True, return_tensors="pt")

    assert torch.equal(batch["input_ids"], inputs["input_ids"])
    assert torch.equal(batch["attention_mask"], inputs["attention_mask"].bool())
    names = [name for name in model.input_names if name in batch]
    more = {"decoder_input_ids": torch.tensor([[0, 5, 6]] * 4)} if family == "t5" else {}
    with torch.no_grad():
        found: Any = model(**{name: batch[name] for name in names}, **more)
        expected = theirs(**{name: inputs[name] for name in names}, **more)
    if head == "span":
        torch.testing.assert_close(found.start, expected.start_logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.end, expected.end_logits, atol=1e-5, rtol=1e-5)
        return
    logits = expected.logits
    if family == "gpt" and head == "lm":
        found, logits = found[batch["attention_mask"]], logits[batch["attention_mask"]]
    torch.testing.assert_close(found, logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt", "t5"])
def test_texts_are_continued_by_the_same_tokens(family, tokenizers, tmp_path):
    model: Any = saved(family, "lm", tokenizers[family], tmp_path)
    theirs = getattr(transformers, CASES[family, "lm"]).from_pretrained(tmp_path).eval()
    batch = tokenizers[family](TEXTS[:3], padding_side="left" if family == "gpt" else "right")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}

    eos_id = tokenizers[family].eos_id
    found = model.generate(**inputs, max_new_tokens=12, temperature=0, eos_id=eos_id)
    # They end by what the folder says of the tokenizer.
    expected = theirs.generate(**inputs, max_new_tokens=12, do_sample=False)

    expected = expected[:, -found.shape[1] :] if family == "t5" else expected
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("family", "head"), CASES)
def test_the_folder_comes_back_to_us(family, head, tokenizers, tmp_path):
    model = saved(family, head, tokenizers[family], tmp_path)

    loaded, tokenizer = minift.load(tmp_path), minift.load_tokenizer(tmp_path)

    assert tokenizer.fingerprint == tokenizers[family].fingerprint
    again = loaded.state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(tokenizers, tmp_path):
    saved("bert", "mlm", tokenizers["bert"], tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 100}))

    with pytest.raises(ValueError, match=r"config\.json: vocab_size is 100, the tokenizer beside"):
        minift.load_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"word_embeddings\.weight' must be \(100, 32\) by config"):
        minift.load(tmp_path)
