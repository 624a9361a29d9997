"""Text from files: documents to pretrain on; labelled texts, pairs and questions to finetune on.

Pretraining wants documents as lists of sentences, because BERT asks whether one sentence follows
another (Devlin et al. 2019, section 3.1). Finetuning wants texts, sometimes pairs, and labels as
words; the files of GLUE (Wang et al. 2019) each have their own columns, which are known here, and
SQuAD (Rajpurkar et al. 2016) marks the answer by the character at which it starts.

A mistake in a file is reported with its name and line, as file:line.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

PathLike = str | os.PathLike[str]
Column = str | int | None  # a name from the header, a number counted from 1, or None: recognise it

# A text without full stops: so many words count as a sentence, so many of those as a document.
_UNMARKED_SIZE = 32

# Headers of GLUE's files and of many others, in lower case; the first that is there is taken.
# QNLI asks a question of a sentence, so "sentence" can be either half of a pair.
_TEXT_NAMES = ("sentence1", "#1 string", "premise", "question1", "question", "sentence", "text")
_PAIR_NAMES = ("sentence2", "#2 string", "hypothesis", "question2", "sentence", "text_b")
_LABEL_NAMES = ("label", "gold_label", "quality", "is_duplicate")
_KNOWN_NAMES = {*_TEXT_NAMES, *_PAIR_NAMES, *_LABEL_NAMES}


# ------------------------------------------------------------------------------ documents


def split_sentences(text: str) -> list[str]:
    """Cut after every . ! or ? that is followed by a space; simple, and wrong after "Mr."."""
    pieces = re.split(r"(?<=[.!?])\s+", " ".join(text.split()))
    return [piece for piece in pieces if piece]


def read_documents(paths: PathLike | Sequence[PathLike]) -> list[list[str]]:
    """Read plain text as documents, each a list of sentences.

    Blank lines part the documents; in a file that has none each line is a document. A file that is
    one line with no sentence mark at all (as text8) is cut into sentences of 32 words and documents
    of 32 sentences.

    Raises ValueError if there is no text at all.
    """
    files = [paths] if isinstance(paths, str | os.PathLike) else paths
    documents: list[list[str]] = []
    for path in files:
        text = _read_text(Path(path)).strip()
        parts = re.split(r"\n\s*\n", text)
        if len(parts) == 1:
            parts = text.split("\n")
        if len(parts) == 1 and not re.search(r"[.!?]", text):
            documents.extend(_cut_unmarked(text.split()))
        else:
            documents.extend(filter(None, map(split_sentences, parts)))
    if not documents:
        raise ValueError(f"{', '.join(map(str, files))} must hold some text, found none")
    return documents


def _cut_unmarked(words: list[str]) -> list[list[str]]:
    size = _UNMARKED_SIZE
    sentences = [" ".join(words[i : i + size]) for i in range(0, len(words), size)]
    return [sentences[i : i + size] for i in range(0, len(sentences), size)]


def _read_text(path: Path) -> str:
    try:
        # A byte-order mark, as in MRPC, would otherwise become part of the first column's name.
        return path.read_bytes().decode("utf-8-sig")  # \r stays, which may stand in a sentence
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8, found other bytes at {error.start}") from error


# -------------------------------------------------------------------------- labelled texts


class LabelledText(NamedTuple):
    """Examples of a text task, four equally long columns (or None for `pairs`)."""

    texts: list[str]
    pairs: list[str] | None  # the second halves, for a task on pairs
    labels: list[str | None]  # the labels as words; None where the file has no labels
    where: list[str]  # file:line of each example, for error messages


class _Row(NamedTuple):
    line: int
    fields: list[str | None]  # None: a record of a .jsonl file that lacks this key


def read_tsv(
    path: PathLike,
    *,
    text: Column = None,
    pair: Column = None,
    label: Column = None,
    has_header: bool | None = None,
) -> LabelledText:
    """Read tab-separated values as in GLUE, where a double quote is a character like any other.

    A reader that takes quotes for quoting loses 98 of MRPC's 3,668 rows and alters RTE's sentences.

    Parameters
    ----------
    text, pair, label : columns, by name or number from 1. None recognises them: by the names of
        GLUE's headers; without a header, two columns are (text, label) as in SST-2, three (text,
        pair, label), and four (source, label, mark, text) as in CoLA. A label that is not there, as
        in GLUE's test files, is None in every example.
    has_header : None looks whether the first line holds one of the names.

    Raises ValueError with the file, and the line where there is one.
    """
    path = Path(path)
    # Not splitlines(): it would also cut at the rarer line ends that occur inside sentences.
    lines = _read_text(path).split("\n")
    rows = [
        _Row(number, list(line.rstrip("\r").split("\t")))
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    return _labelled(path, rows, text, pair, label, has_header)


def read_csv(
    path: PathLike,
    *,
    text: Column = None,
    pair: Column = None,
    label: Column = None,
    has_header: bool | None = None,
) -> LabelledText:
    """Read comma-separated values, with quoting; the rest as `read_tsv`."""
    path = Path(path)
    reader = csv.reader(io.StringIO(_read_text(path), newline=""))
    try:
        rows = [_Row(reader.line_num, list(fields)) for fields in reader if fields]
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num} must be CSV, found {error}") from error
    return _labelled(path, rows, text, pair, label, has_header)


def read_jsonl(
    path: PathLike, *, text: Column = None, pair: Column = None, label: Column = None
) -> LabelledText:
    """Read a JSON object per line, whose keys are the columns; the rest as `read_tsv`."""
    path = Path(path)
    records: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if line.strip():
            record = _parse_json(line, f"{path}:{number}")
            if not isinstance(record, dict):
                raise ValueError(f"{path}:{number} must be a JSON object, found {line[:40]!r}")
            records.append((number, record))
    names = list(dict.fromkeys(name for _, record in records for name in record))
    rows = [_Row(0, list(names))] + [
        _Row(number, [None if record.get(name) is None else str(record[name]) for name in names])
        for number, record in records
    ]
    return _labelled(path, rows, text, pair, label, has_header=True)


def _labelled(
    path: Path, rows: list[_Row], text: Column, pair: Column, label: Column, has_header: bool | None
) -> LabelledText:
    """Choose the columns and read them from every row."""
    if not rows:
        raise ValueError(f"{path} must hold some rows, found none")
    first = [field or "" for field in rows[0].fields]
    if has_header is None:
        wanted = {name for name in (text, pair, label) if isinstance(name, str)}
        names = {field.strip().lower() for field in first}
        has_header = bool(names & _KNOWN_NAMES) or bool(wanted & set(first))
    columns = _Columns(path, first, has_header)
    rows = rows[1:] if has_header else rows
    if not rows:
        raise ValueError(f"{path} must hold some rows below its header, found none")
    text_at, label_at = columns.find(text, "text"), columns.find(label, "label")
    # Beside a text that was named, a column without a name need not be its pair.
    is_unknown = pair is None and text is not None and not has_header
    pair_at = None if is_unknown else columns.find(pair, "pair", taken=text_at)
    if text_at is None:
        raise ValueError(
            f"{path} has no column known for text, {columns}; name it with --text-column"
        )
    examples = LabelledText([], None if pair_at is None else [], [], [])
    for row in rows:
        where = f"{path}:{row.line}"
        examples.texts.append(_field(row, text_at, where))
        if examples.pairs is not None and pair_at is not None:
            examples.pairs.append(_field(row, pair_at, where))
        examples.labels.append(None if label_at is None else _field(row, label_at, where))
        examples.where.append(where)
    if text is None and label is None and not has_header:
        _refuse_a_header(examples, columns)
    return examples


def _refuse_a_header(examples: LabelledText, columns: _Columns) -> None:
    """ValueError if the first label occurs once and the others again and again: it is a name."""
    first, *others = examples.labels
    if first is not None and first not in others and len(set(others)) <= len(others) / 2:
        raise ValueError(
            f"{examples.where[0]} looks like a header that is not known, {columns} with the label "
            f"{first!r} once; name --text-column and --label-column"
        )


def _field(row: _Row, index: int, where: str) -> str:
    value = row.fields[index] if index < len(row.fields) else None
    if value is None:
        found = sum(field is not None for field in row.fields)
        raise ValueError(f"{where} must have a value in column {index + 1}, found {found} columns")
    return value.strip()


class _Columns:
    """What is known of a table's columns: their names if there is a header, and how many."""

    def __init__(self, path: Path, first: list[str], has_header: bool) -> None:
        self.path = path
        self.names = [name.strip() for name in first] if has_header else None
        self.count = len(first)

    def __str__(self) -> str:
        if self.names is None:
            return f"found no header and {self.count} columns"
        return f"found the columns {', '.join(self.names)}"

    def find(self, column: Column, role: str, taken: int | None = None) -> int | None:
        """Position from 0 of the column for this role; None if not asked for or recognised."""
        if column is None:
            return self._recognise(role, taken)
        if self.names is not None and column in self.names:
            return self.names.index(str(column))
        if str(column).isdigit() and 1 <= int(column) <= self.count:
            return int(column) - 1
        raise ValueError(f"{self.path} has no column {column!r} for --{role}-column, {self}")

    def _recognise(self, role: str, taken: int | None) -> int | None:
        if self.names is None:
            usual = {
                2: ("text", "label"),
                3: ("text", "pair", "label"),
                4: ("source", "label", "mark", "text"),
            }
            roles = ("text",) if self.count == 1 else usual.get(self.count, ())
            return roles.index(role) if role in roles else None
        known = {"text": _TEXT_NAMES, "pair": _PAIR_NAMES, "label": _LABEL_NAMES}[role]
        names = [name.lower() for name in self.names]
        for name in known:
            if name in names and names.index(name) != taken:
                return names.index(name)
        return None


def encode_labels(
    labels: Sequence[str | None],
    classes: Sequence[str] | None = None,
    where: Sequence[str] | None = None,
) -> tuple[Tensor, tuple[str, ...]]:
    """Number the labels; return (N,) int64 and the classes in the order of their numbers.

    Parameters
    ----------
    classes : the classes of the training data, for a test set to be numbered alike; None takes
        the labels that occur, in the order of numbers if all are numbers, else of the alphabet.
    where : file:line of each label, for the error message.

    Raises ValueError for a label that is missing, or not among the classes.
    """
    if classes is None:
        present = {label for label in labels if label is not None}
        is_numeric = all(label.isdecimal() for label in present)
        classes = sorted(present, key=(lambda label: (int(label), label)) if is_numeric else None)
    numbers = {label: number for number, label in enumerate(classes)}
    for index, label in enumerate(labels):
        if label not in numbers:
            place = where[index] if where is not None else f"labels[{index}]"
            known = ", ".join(classes) or "none"
            raise ValueError(f"{place}: label must be one of {known}, found {label!r}")
    ids = [numbers[label] for label in labels if label is not None]
    return torch.tensor(ids, dtype=torch.int64), tuple(classes)


# ------------------------------------------------------------------------------ questions


class Example(NamedTuple):
    """A question on a context that holds the answer."""

    question: str
    context: str
    answer: str  # the first of the accepted answers; "" if the context does not answer (SQuAD 2.0)
    start: int  # context[start : start + len(answer)] is the answer; -1 if there is none
    answers: tuple[str, ...]  # all accepted answers: a score takes the best match


def read_squad(path: PathLike) -> list[Example]:
    """Read the questions of a SQuAD JSON file, version 1.1 or 2.0.

    Raises ValueError if the file is not of that form, or an answer does not stand where it should.
    """
    path = Path(path)
    examples = []
    try:
        for article in _parse_json(_read_text(path), str(path))["data"]:
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                for question in paragraph["qas"]:
                    answers = question["answers"] or [{"text": "", "answer_start": -1}]
                    answer, start = answers[0]["text"], answers[0]["answer_start"]
                    found = context[start : start + len(answer)]
                    if answer and (start < 0 or found != answer):
                        raise ValueError(
                            f"{path}: question {question.get('id')} must have its answer "
                            f"{answer!r} at character {start}, "
                            f"found {found!r}"
                        )
                    accepted = tuple(each["text"] for each in answers)
                    examples.append(Example(question["question"], context, answer, start, accepted))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be SQuAD JSON (data, paragraphs, context, qas, question, answers), "
            f"found {type(error).__name__} {error}"
        ) from error
    return examples


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} must be JSON, found {error}") from error
