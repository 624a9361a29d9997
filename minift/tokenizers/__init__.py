"""From text to ids and back, four ways.

    WordVocab   whole words; what is rare is unknown         word_vocab.py
    WordPiece   BERT's pieces of words                       wordpiece.py
    ByteBPE     GPT-2's pieces of bytes; nothing is unknown  byte_bpe.py
    Unigram     T5's most probable pieces                    unigram.py

All share `Tokenizer` (base.py: ids, special tokens, batches, files). WordPiece and ByteBPE share
their training (pair_merges.py); Unigram has its own (unigram_training.py). Reading order: layouts,
base, word_vocab, pair_merges, bert_text, wordpiece, byte_bpe, charsmap, unigram, unigram_training;
files.py, huggingface.py, sentencepiece.py and *_files.py are plumbing.

    tokenizer = WordPiece.train(texts, vocab_size=8000)
    batch = tokenizer(texts, max_length=128)  # input_ids, attention_mask, token_type_ids
    tokenizer.save("runs/mine")
    tokenizer = load_tokenizer("runs/mine")  # of whatever kind it is
"""

from __future__ import annotations

from pathlib import Path

from minift.tokenizers.base import Tokenizer
from minift.tokenizers.byte_bpe import ByteBPE
from minift.tokenizers.files import huggingface_kind, read_description
from minift.tokenizers.unigram import Unigram
from minift.tokenizers.word_vocab import WordVocab
from minift.tokenizers.wordpiece import WordPiece

__all__ = ["ByteBPE", "Tokenizer", "Unigram", "WordPiece", "WordVocab", "load_tokenizer"]

KINDS: dict[str, type[Tokenizer]] = {
    WordVocab.kind: WordVocab,
    WordPiece.kind: WordPiece,
    ByteBPE.kind: ByteBPE,
    Unigram.kind: Unigram,
}


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Load whichever tokenizer was saved in a folder, by `save` or in Hugging Face's layout.

    Raises
    ------
    ValueError naming the file (and line) for a missing folder or file, broken JSON, a kind that is
    not known, or repeated tokens.
    """
    folder = Path(folder)
    foreign_kind = huggingface_kind(folder)
    if foreign_kind is not None:
        return KINDS[foreign_kind].from_huggingface(folder)
    kind = read_description(folder)["kind"]
    if kind not in KINDS:
        raise ValueError(
            f"{folder / 'tokenizer.json'}: kind must be one of {list(KINDS)}, got {kind!r}"
        )
    return KINDS[kind].load(folder)
