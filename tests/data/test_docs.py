from __future__ import annotations

import subprocess
import sys

import pytest

from minift.data import docs
from minift.data.docs import read_documentation


def num_words(documents: list[list[str]]) -> int:
    return sum(len(sentence.split()) for document in documents for sentence in document)


@pytest.fixture(scope="module")
def documents() -> list[list[str]]:
    return read_documentation(max_words=20_000)


def test_stops_after_the_document_that_reaches_max_words(documents: list[list[str]]) -> None:
    assert num_words(documents) >= 20_000
    assert num_words(documents[:-1]) < 20_000


def test_order_is_always_the_same(documents: list[list[str]]) -> None:
    assert read_documentation(max_words=5_000) == documents[: len(read_documentation(5_000))]


def test_sentences_are_english_prose(documents: list[list[str]]) -> None:
    sentences = [sentence for document in documents for sentence in document]
    words = " ".join(sentences).lower().split()
    # In English about one word in sixteen is "the".
    assert 0.03 < words.count("the") / len(words) < 0.12
    assert not any(">>>" in sentence or "::" in sentence for sentence in sentences)
    assert all(sentence[-1] in ".!?" for sentence in sentences)


def test_no_document_occurs_twice(documents: list[list[str]]) -> None:
    assert len({tuple(document) for document in documents}) == len(documents)


def test_code_headings_and_parameters_are_left_out() -> None:
    text = """
    Add :class:`~pkg.Numbers` to ``x``, see `the guide <somewhere>`_ of *many* pages.

    Parameters
    ----------
    x : int
        a value of some kind

    Notes
    -----
    This takes no time at all. For example::

        This Is Code. It looks like prose.

    .. note:: A directive is not prose at all.

    >>> This is a dialogue.

    The end comes after it.
    """
    assert docs._prose(text) == [
        "Add Numbers to x, see the guide of many pages.",
        "This takes no time at all.",
        "The end comes after it.",
    ]


def test_docstrings_of_functions_in_c_are_found(tmp_path) -> None:
    path = tmp_path / "documented.py"
    path.write_text('add_docstr(torch.add, r"""\nAdds.\n""" + """\nMore.\n""")\n')
    assert list(docs._docstrings(docs._parse(path)))[1:] == ["\nAdds.\n", "\nMore.\n"]


@pytest.mark.parametrize("content", [b"def broken(:", b"\xff\xfe\x00", b"x = 1\x00"])
def test_unreadable_file_counts_as_empty(tmp_path, content: bytes) -> None:
    (tmp_path / "broken.py").write_bytes(content)
    assert docs._parse(tmp_path / "broken.py").body == []
    assert docs._parse(tmp_path / "missing.py").body == []


def test_nothing_that_is_read_is_imported() -> None:
    program = (
        "import sys; from minift.data.docs import read_documentation; "
        "read_documentation(60_000); "
        "sys.exit(bool({'antigravity', 'pydoc_data.topics', 'aifc'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
