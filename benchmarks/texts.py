"""The English that tokenizers and word vectors are timed on.

With --data-dir it is that folder's wikitext-2/*.txt and enwiki-text8/*.txt, about a million words,
and tokenizers read the vocabularies bert-base-uncased/ and gpt2/; without it, it is the
documentation that is on the machine (minift/data/docs.py).
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.runner import Settings
from minift.data.docs import read_documentation


def write_lines(settings: Settings, num_characters: int) -> None:
    """Leave lines of running text of so many characters for all sides."""
    kept = []
    for line in _lines(settings):
        kept.append(line)
        num_characters -= len(line)
        if num_characters < 0:
            break
    (Path(settings.folder) / "text.txt").write_text("\n".join(kept), encoding="utf-8")


def read_lines(settings: Settings) -> list[str]:
    return (Path(settings.folder) / "text.txt").read_text(encoding="utf-8").split("\n")


def read_words(settings: Settings) -> list[list[str]]:
    """Lower-cased words of letters, in rows of at most 1,000."""
    words = re.findall("[a-z]+", " ".join(read_lines(settings)).lower())
    return [words[begin : begin + 1000] for begin in range(0, len(words), 1000)]


def _lines(settings: Settings) -> list[str]:
    if settings.data_dir is None:
        max_words = 20_000 if settings.is_quick else None
        return [line for document in read_documentation(max_words) for line in document]
    files = [
        path
        for name in ("wikitext-2", "enwiki-text8")
        for path in sorted((Path(settings.data_dir) / name).glob("*.txt"))
    ]
    if not files:
        raise SystemExit(f"--data-dir {settings.data_dir} has no wikitext-2/*.txt")
    return [line for path in files for line in path.read_text(encoding="utf-8").split("\n")]
