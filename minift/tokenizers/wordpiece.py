"""BERT's tokenizer: split at spaces and punctuation, then spell each word in the longest pieces.

A piece that continues a word is written with "##" in front: "unaffable" -> "un ##aff ##able". A
word is read greedily, from the left the longest piece in the vocabulary each time; it needs no
merges, only the list of pieces (Schuster & Nakajima 2012; Wu et al. 2016, section 4.1; Devlin et
al. 2019). A word that cannot be spelt to its end is one [UNK]. What a word is says bert_text.py.

Where we differ: the papers choose the merge that raises the likelihood of the training text most,
count(ab) / (count(a) count(b)). We choose by count(ab) alone, as Hugging Face's trainer does. It
trains a vocabulary of much the same use, and shares its code with byte-level BPE. From the same
pieces to begin with, both trainers make the same merges in the same order; but theirs numbers the
continued characters ("##a") in an order that changes from run to run, and breaks ties by it. Ours
go by the alphabet, and every character has both its forms, so that whatever is written in the
characters of the training text can be spelt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar

from minift.tokenizers import bert_files
from minift.tokenizers.base import Span, Tokenizer, WordCache, check_texts, join_words
from minift.tokenizers.bert_files import BertFiles
from minift.tokenizers.bert_text import NOT_SPACE, read_words, split_run
from minift.tokenizers.layouts import LAYOUTS
from minift.tokenizers.pair_merges import learn_merges

UNKNOWN = "[UNK]"
CONTINUATION = "##"
MAX_WORD_LENGTH = 100  # characters


class WordPiece(Tokenizer):
    """Word pieces in BERT's layout: [CLS] a [SEP], and [CLS] a [SEP] b [SEP].

    Parameters
    ----------
    vocab : the pieces, those that continue a word with "##" in front; id = position.
    lowercase : lower-case and drop accents, as the uncased BERT; False reads text as it stands.
    strip_accents : drop accents; None means as `lowercase`.
    split_chinese : every Chinese character is a word.
    max_word_length : a word of more characters is [UNK], for reading it takes its length squared;
        100 as in Hugging Face's libraries, 200 in BERT's own code.
    added_tokens : further tokens of `vocab` that are looked for in a text before it is cleaned and
        never split, as "[E1]" before an entity: token -> whether `decode` leaves it out as special.

    Examples
    --------
    >>> pieces = ["un", "##aff", "##able", "able"]
    >>> tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])
    >>> tokenizer.tokenize("Unaffable, able")
    ['un', '##aff', '##able', '[UNK]', 'able']
    """

    kind: ClassVar[str] = "wordpiece"
    setting_names: ClassVar[tuple[str, ...]] = (
        "lowercase",
        "strip_accents",
        "split_chinese",
        "max_word_length",
        "added_tokens",
    )

    def __init__(
        self,
        vocab: Sequence[str],
        lowercase: bool = True,
        *,
        strip_accents: bool | None = None,
        split_chinese: bool = True,
        max_word_length: int = MAX_WORD_LENGTH,
        added_tokens: Mapping[str, bool] | None = None,
    ) -> None:
        super().__init__(vocab, LAYOUTS["bert"], added_tokens)
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.split_chinese = split_chinese
        self.max_word_length = max_word_length
        self._ids_of_run = WordCache(self._run_ids)
        self._spans_of_run = WordCache(self._run_spans)
        self._starts_word = [not token.startswith(CONTINUATION) for token in self.vocab]

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        lowercase: bool = True,
        min_count: int = 2,
        max_characters: int = 1000,
    ) -> WordPiece:
        """Learn pieces by merging the commonest neighbours (see `learn_merges` for ties).

        Parameters
        ----------
        vocab_size : the most pieces there may be, special tokens and characters included; there
            are fewer where no pair of pieces occurs `min_count` times any more.
        max_characters : how many of the commonest characters are kept. Each enters as a start and
            as a continuation, so that every word written in them can be spelt. Nothing is learnt
            from a word with other characters, nor from one of more than 100.
        """
        check_texts(texts)
        runs = Counter(chain.from_iterable(map(NOT_SPACE.findall, texts)))
        counts: Counter[str] = Counter()
        for run, run_count in runs.items():
            for word in split_run(run, lowercase):
                counts[word] += run_count
        character_counts: Counter[str] = Counter()
        for text, text_count in counts.items():
            for character in text:
                character_counts[character] += text_count
        ranking = sorted(character_counts, key=lambda c: (-character_counts[c], c))
        characters = sorted(ranking[:max_characters])
        tokens = [*LAYOUTS["bert"].tokens, *characters, *(CONTINUATION + c for c in characters)]
        if vocab_size < len(tokens):
            raise ValueError(
                f"vocab_size must be at least {len(tokens)}, the special tokens and both forms of "
                f"{len(characters)} characters, got {vocab_size}; or lower max_characters"
            )

        kept = set(characters)
        words = {
            (word[0], *(CONTINUATION + character for character in word[1:])): word_count
            for word, word_count in counts.items()
            if len(word) <= MAX_WORD_LENGTH and kept.issuperset(word)
        }
        tokens, _ = learn_merges(words, tokens, vocab_size, _join_pieces, min_count)
        return cls(tokens, lowercase)

    @classmethod
    def from_huggingface(cls, folder: str | Path) -> WordPiece:
        """Read a folder with tokenizer.json, or with vocab.txt (and tokenizer_config.json).

        Raises
        ------
        ValueError naming file and key for what is missing or broken, and for a tokenizer whose ids
        would not be ours: other special tokens, other ways to clean and cut a text.
        """
        return cls(**bert_files.read_folder(Path(folder))._asdict())

    def tokenize(self, text: str) -> list[str]:
        return [self.vocab[index] for index in self._plain_ids(text)]

    def spans(self, text: str) -> list[Span]:
        """Return where each token stands, from the first to the last character it was read from.

        Accents that were dropped are in the span if the token goes on behind them.
        """
        return [
            (run.start() + start, run.start() + end)
            for run in NOT_SPACE.finditer(text)
            for start, end in self._spans_of_run[run.group()]
        ]

    def detokenize(self, tokens: Sequence[str]) -> str:
        return join_words(" ".join(tokens).replace(" " + CONTINUATION, "").split(" "))

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Return for each id whether it starts a word; special tokens are words of their own.

        Whole-word masking needs it: a word goes from one True to the next.
        """
        return [self._starts_word[index] for index in ids]

    def _plain_ids(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self._ids_of_run.__getitem__, NOT_SPACE.findall(text))))

    def _run_ids(self, run: str) -> tuple[int, ...]:
        """Spell a run of characters without white space between them."""
        words = split_run(run, self.lowercase, self.strip_accents, self.split_chinese)
        return tuple(self._ids[piece] for word in words for piece, _ in self._spell(word))

    def _run_spans(self, run: str) -> list[Span]:
        """Say of each id of `_run_ids(run)` where in the run it stands."""
        spans = []
        for word in read_words(run, self.lowercase, self.strip_accents, self.split_chinese):
            end = 0
            for _, size in self._spell(word.text):
                start, end = end, end + size
                # Marks on one letter may have changed places.
                places = word.places[start:end]
                spans.append((min(places), max(places) + 1))
        return spans

    def _spell(self, word: str) -> list[tuple[str, int]]:
        """The longest piece first, then the longest that continues it, to the end of the word.

        Returns the pieces, and how many characters of the word each takes.
        """
        unknown = [(UNKNOWN, len(word))]
        if len(word) > self.max_word_length:
            return unknown
        pieces: list[tuple[str, int]] = []
        start = 0
        while start < len(word):
            mark = CONTINUATION if start else ""
            for end in range(len(word), start, -1):
                if mark + word[start:end] in self._ids:
                    break
            else:
                return unknown
            pieces.append((mark + word[start:end], end - start))
            start = end
        return pieces

    def _huggingface_files(self) -> dict[str, str]:
        return bert_files.huggingface_files(BertFiles(self.vocab, **self._settings()))


def _join_pieces(left: str, right: str) -> str:
    return left + right.removeprefix(CONTINUATION)
