"""From text to ids and back, three ways.

    WordVocab   whole words; what is rare is unknown         word_vocab.py
    WordPiece   BERT's pieces of words                       wordpiece.py
    ByteBPE     GPT-2's pieces of bytes; nothing is unknown  byte_bpe.py

All share `Tokenizer` (base.py: ids, special tokens, batches, files), and the two that learn pieces
share their training (pair_merges.py). Reading order: layouts, base, word_vocab, pair_merges,
wordpiece, byte_bpe; files.py is plumbing.

    tokenizer = WordPiece.train(texts, vocab_size=8000)
    batch = tokenizer(texts, max_length=128)  # input_ids, attention_mask, token_type_ids
    tokenizer.save("runs/mine")
    tokenizer = load_tokenizer("runs/mine")  # of whatever kind it is
"""

from __future__ import annotations

from pathlib import Path

from minift.tokenizers.base import Tokenizer
from minift.tokenizers.byte_bpe import ByteBPE
from minift.tokenizers.files import read_description
from minift.tokenizers.word_vocab import WordVocab
from minift.tokenizers.wordpiece import WordPiece

__all__ = ["ByteBPE", "Tokenizer", "WordPiece", "WordVocab", "load_tokenizer"]

KINDS: dict[str, type[Tokenizer]] = {
    WordVocab.kind: WordVocab,
    WordPiece.kind: WordPiece,
    ByteBPE.kind: ByteBPE,
}


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Load whichever tokenizer was saved in a folder.

    Raises
    ------
    ValueError naming the file (and line) for a missing folder or file, broken JSON, a kind that is
    not known, or repeated tokens.
    """
    folder = Path(folder)
    kind = read_description(folder)["kind"]
    if kind not in KINDS:
        raise ValueError(
            f"{folder / 'tokenizer.json'}: kind must be one of {list(KINDS)}, got {kind!r}"
        )
    return KINDS[kind].load(folder)
