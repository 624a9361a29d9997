"""A natural corpus that is already on the machine: the documentation of Python and its libraries.

Pretraining needs running text, and every Python installation holds some: the language reference
that `help()` shows, and the docstrings of the standard library, numpy and torch, together several
hundred thousand words. The files are parsed with `ast` and never imported, so nothing in them runs.

The text changes with the versions installed: figures measured on it do not repeat elsewhere.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from minift.data.text import split_sentences

_SKIPPED_FOLDERS = {"test", "tests", "testing", "site-packages", "dist-packages"}
# add_docstr, add_newdoc and the like hand over the docstring of a function written in C.
_DOCUMENTING_CALL = re.compile(r"add_(doc|newdoc)")
_HEADING = re.compile(r"^.*\n[ ]*([=\-~^\"*])\1{2,}[ ]*$", re.MULTILINE)
_CODE = re.compile(r"^\s*(>>>|\.\.[ ])", re.MULTILINE)  # a dialogue or a directive
_LINK = re.compile(r"`([^`<]+?)\s*<[^>`]*>`_*")
_ROLE = re.compile(r":[\w:]+:`(?:~[\w.]*\.)?([^`]+)`")
_PLAIN_WORD = re.compile(r"[(\"']?[A-Za-z][a-z]*(['-][a-z]+)*[)\"']?[.,;:!?]?[)\"']?")


def read_documentation(max_words: int | None = None) -> list[list[str]]:
    """Return the documentation as documents, each a list of sentences, always in the same order.

    A document is a topic of the language reference or one docstring, without code, tables and
    markup. One that occurs more than once is kept once.

    Parameters
    ----------
    max_words : stop after the document that reaches so many words; None reads everything, which
        means parsing every source file and takes a while (a minute is not unusual).
    """
    documents: dict[tuple[str, ...], None] = {}  # a dict keeps order and drops doubles
    num_words = 0
    for text in _texts():
        document = tuple(_prose(text))
        if not document or document in documents:
            continue
        documents[document] = None
        num_words += sum(len(sentence.split()) for sentence in document)
        if max_words is not None and num_words >= max_words:
            break
    return [list(document) for document in documents]


def _texts() -> Iterator[str]:
    """The topics first, because they are prose; then the docstrings."""
    standard = Path(sysconfig.get_paths()["stdlib"])
    yield from _long_strings(_parse(standard / "pydoc_data" / "topics.py"))
    for folder in (standard, _package_folder("numpy"), _package_folder("torch")):
        if folder is not None:
            for path in _python_files(folder):
                yield from _docstrings(_parse(path))


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)  # finds a top-level package without importing it
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _python_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        if not _SKIPPED_FOLDERS & set(path.relative_to(folder).parts):
            yield path


def _parse(path: Path) -> ast.Module:
    """Parse a source file; one that cannot be read counts as empty."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the other library's escapes and the like
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if _DOCUMENTING_CALL.search(name):
                yield from _long_strings(node)


def _long_strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
            yield node.value


def _prose(text: str) -> list[str]:
    """The sentences of a reStructuredText, without code, headings, parameter lists and markup."""
    text = _HEADING.sub("", inspect.cleandoc(text))
    sentences: list[str] = []
    announces_code = False
    for paragraph in re.split(r"\n\s*\n", text):
        is_indented = paragraph.startswith(" ")
        is_code = announces_code and is_indented
        announces_code = is_code or paragraph.rstrip().endswith("::")
        if not is_code and not _CODE.search(paragraph):
            sentences.extend(filter(_is_sentence, split_sentences(_without_markup(paragraph))))
    return sentences


def _without_markup(text: str) -> str:
    text = _ROLE.sub(r"\1", _LINK.sub(r"\1", text))
    return re.sub(r"``?|\*\*?(?=\S)|(?<=\S)\*\*?", "", text)


def _is_sentence(text: str) -> bool:
    """Whether it begins and ends as a sentence does and is made of words for the most part."""
    words = text.split()
    num_plain = sum(_PLAIN_WORD.fullmatch(word) is not None for word in words)
    return (
        text[0].isupper()
        and text[-1] in ".!?"
        and len(words) >= 4
        and num_plain >= 0.75 * len(words)
    )
