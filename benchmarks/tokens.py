"""Tokenizers: 2 MB of English to ids, and vocabularies of 8,000 tokens learnt from it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.runner import Row, Settings, Side, Work, Workload
from benchmarks.texts import read_lines, write_lines
from minift.tokenizers import ByteBPE, WordPiece

KINDS: dict[str, Any] = {"WordPiece": WordPiece, "byte-level BPE": ByteBPE}
PUBLIC = {"WordPiece": "bert-base-uncased", "byte-level BPE": "gpt2"}
SIZE = 8000  # tokens to learn


def prepare(settings: Settings) -> None:
    write_lines(settings, settings.size(2_000_000, 100_000))
    if settings.data_dir is None:
        for kind, tokenizer in KINDS.items():
            learnt = tokenizer.train(read_lines(settings), settings.size(SIZE, 500))
            learnt.save(vocabulary(settings, kind), layout="huggingface")


def vocabulary(settings: Settings, kind: str) -> Path:
    return Path(settings.data_dir or settings.folder) / PUBLIC[kind]


def encode_ours(settings: Settings, kind: str) -> Work:
    lines, folder = read_lines(settings), vocabulary(settings, kind)

    def run() -> int:
        # Read anew each time, by all sides: they begin without the words that they have seen.
        tokenizer = KINDS[kind].from_huggingface(folder)
        return sum(len(tokenizer.encode(line, special_tokens=False)) for line in lines)

    return Work(run, same={"characters": sum(map(len, lines))})


def encode_rust(settings: Settings, kind: str) -> Work:
    from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

    lines, folder = read_lines(settings), vocabulary(settings, kind)

    def run() -> int:
        if kind == "WordPiece":
            tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"))
        else:
            files = str(folder / "vocab.json"), str(folder / "merges.txt")
            tokenizer = ByteLevelBPETokenizer(*files)
        encoded = tokenizer.encode_batch(lines, add_special_tokens=False)
        return sum(len(encoding.ids) for encoding in encoded)

    return Work(run, same={"characters": sum(map(len, lines))})


def encode_slow(settings: Settings) -> Work:
    """WordPiece in Python alone, as transformers still has it; of GPT-2's it has none any more."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    lines, folder = read_lines(settings), vocabulary(settings, "WordPiece")

    def run() -> int:
        tokenizer = BertTokenizerLegacy(str(folder / "vocab.txt"))
        return sum(len(tokenizer.tokenize(line)) for line in lines)

    return Work(run, same={"characters": sum(map(len, lines))})


def train_ours(settings: Settings, kind: str) -> Work:
    lines, size = read_lines(settings), settings.size(SIZE, 500)

    def run() -> int:
        return KINDS[kind].train(lines, vocab_size=size).vocab_size

    return Work(run, same={"characters": sum(map(len, lines))})


def train_rust(settings: Settings, kind: str) -> Work:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    lines, size = read_lines(settings), settings.size(SIZE, 500)

    def run() -> int:
        if kind == "WordPiece":
            tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
            tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            trainer = trainers.WordPieceTrainer(
                vocab_size=size, special_tokens=special, show_progress=False
            )
        else:
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            trainer = trainers.BpeTrainer(
                vocab_size=size,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                special_tokens=["<|endoftext|>"],
                show_progress=False,
            )
        tokenizer.train_from_iterator(lines, trainer)
        return tokenizer.get_vocab_size()

    return Work(run, same={"characters": sum(map(len, lines))})


RUST, SLOW = "tokenizers", "transformers, in Python"
DOINGS = {
    "encoding": (encode_ours, encode_rust, 1),
    "learning": (train_ours, train_rust, 0.5),
}
WORKLOAD = Workload(
    prepare=prepare,
    sides={
        **{
            f"{name}, {doing} {kind}": Side(partial(build, kind=kind), needs)
            for doing, (ours, rust, _) in DOINGS.items()
            for kind in KINDS
            for name, build, needs in (("minift", ours, ()), (RUST, rust, ("tokenizers",)))
        },
        SLOW: Side(
            encode_slow, ("transformers.models.bert.tokenization_bert_legacy:BertTokenizerLegacy",)
        ),
    },
    rows=[
        Row("encoding WordPiece", "minift, encoding WordPiece", SLOW, 4),
        *(
            Row(f"{doing} {kind}", f"minift, {doing} {kind}", f"{RUST}, {doing} {kind}", reach)
            for doing, (_, _, reach) in DOINGS.items()
            for kind in KINDS
        ),
    ],
)
