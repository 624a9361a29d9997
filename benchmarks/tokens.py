"""Tokenizers: 2 MB of English to ids, and 8,000 tokens learnt from it.

With --data-dir the text is that folder's wikitext-2 and the vocabularies are BERT's and GPT-2's;
without it, the embedded corpus, and vocabularies learnt from it.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers import prepare_torchvision
from benchmarks.runner import Row, Settings, Work, Workload
from minift.data.docs import read_documentation
from minift.tokenizers import ByteBPE, Tokenizer, WordPiece

KINDS: dict[str, type[Tokenizer]] = {"WordPiece": WordPiece, "byte-level BPE": ByteBPE}
PUBLIC = {"WordPiece": "bert-base-uncased", "byte-level BPE": "gpt2"}
SIZE = 8000  # tokens to learn


def texts(settings: Settings) -> list[str]:
    """About 2 MB in lines."""
    if settings.data_dir is None:
        lines = [sentence for document in read_documentation() for sentence in document]
    else:
        place = Path(settings.data_dir) / "wikitext-2"
        lines = [
            line
            for name in ("valid.txt", "test.txt")
            for line in (place / name).read_text(encoding="utf-8").splitlines()
        ]
    kept, size = [], settings.size(2_000_000, 100_000)
    for line in lines:
        kept.append(line)
        size -= len(line)
        if size < 0:
            break
    return kept


def folder(settings: Settings, kind: str) -> Path:
    if settings.data_dir is not None:
        return Path(settings.data_dir) / PUBLIC[kind]
    path = Path(tempfile.gettempdir()) / f"minift-benchmark-{kind.replace(' ', '-')}"
    if not path.exists():
        learnt: Any = KINDS[kind]
        learnt.train(texts(settings), vocab_size=SIZE).save(path, layout="huggingface")
    return path


def encode_ours(settings: Settings, kind: str) -> Work:
    lines, place = texts(settings), folder(settings, kind)

    def work() -> int:
        tokenizer = KINDS[kind].from_huggingface(place)  # type: ignore[attr-defined]
        return sum(len(tokenizer.encode(line, special_tokens=False)) for line in lines)

    return work


def encode_rust(settings: Settings, kind: str) -> Work:
    from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

    lines, place = texts(settings), folder(settings, kind)

    def work() -> int:
        # Read anew each time, as ours is: both begin with an empty cache of words.
        if kind == "WordPiece":
            tokenizer = BertWordPieceTokenizer(str(place / "vocab.txt"))
        else:
            vocab, merges = str(place / "vocab.json"), str(place / "merges.txt")
            tokenizer = ByteLevelBPETokenizer(vocab, merges)
        encoded = tokenizer.encode_batch(lines, add_special_tokens=False)
        return sum(len(encoding.ids) for encoding in encoded)

    return work


def encode_slow(settings: Settings) -> Work:
    """WordPiece in Python alone, as transformers still has it; of GPT-2's it has none any more."""
    prepare_torchvision()
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    lines, vocab = texts(settings), folder(settings, "WordPiece") / "vocab.txt"

    def work() -> int:
        tokenizer = BertTokenizerLegacy(str(vocab))
        return sum(len(tokenizer.tokenize(line)) for line in lines)

    return work


def train_ours(settings: Settings, kind: str) -> Work:
    lines, learnt = texts(settings), KINDS[kind]
    return lambda: learnt.train(lines, vocab_size=settings.size(SIZE, 500)).vocab_size  # type: ignore[attr-defined]


def train_rust(settings: Settings, kind: str) -> Work:
    from tokenizers import Tokenizer as Rust
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    lines, size = texts(settings), settings.size(SIZE, 500)

    def work() -> int:
        if kind == "WordPiece":
            tokenizer = Rust(models.WordPiece(unk_token="[UNK]"))
            tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            trainer = trainers.WordPieceTrainer(
                vocab_size=size, special_tokens=special, show_progress=False
            )
        else:
            tokenizer = Rust(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            trainer = trainers.BpeTrainer(
                vocab_size=size,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                special_tokens=["<|endoftext|>"],
                show_progress=False,
            )
        tokenizer.train_from_iterator(lines, trainer)
        return tokenizer.get_vocab_size()

    return work


DOINGS = {
    "encoding": (encode_ours, encode_rust, 1),
    "learning": (train_ours, train_rust, 0.5),
}
WORKLOAD = Workload(
    sides={
        f"{name}, {doing} {kind}": partial(side, kind=kind)
        for doing, (ours, rust, _) in DOINGS.items()
        for kind in KINDS
        for name, side in (("minift", ours), ("tokenizers", rust))
    },
    rows=[
        Row(f"{doing} {kind}", f"minift, {doing} {kind}", f"tokenizers, {doing} {kind}", reach)
        for doing, (_, _, reach) in DOINGS.items()
        for kind in KINDS
    ],
)
SLOW = "transformers in Python, encoding WordPiece"
WORKLOAD.sides[SLOW] = encode_slow
WORKLOAD.rows.append(Row("encoding WordPiece", "minift, encoding WordPiece", SLOW, 4))
