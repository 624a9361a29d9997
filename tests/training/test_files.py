"""Files: round trips, no half-written ones, and errors that name the file."""

from __future__ import annotations

import hashlib
import os
import pickle
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from minift.training import load_tensors, save_tensors, write_text
from minift.training.files import file_digest


def test_tensors_come_back_as_they_went(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "state.pt"
    saved = {"weights": torch.randn(3, dtype=torch.bfloat16), "step": 7, "names": ["a"], "x": None}
    save_tensors(path, saved)
    loaded = load_tensors(path)
    assert torch.equal(loaded.pop("weights"), saved.pop("weights"))
    assert loaded == saved


def test_a_digest_is_the_sha256_of_all_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than is read at a time
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(ValueError, match="b is missing"):
        file_digest(tmp_path / "b")


def test_text_is_utf8_with_its_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "naïve\n")
    assert (tmp_path / "a.txt").read_bytes() == "naïve\n".encode()


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_tensors(path, {"step": 1})
    with pytest.raises(Exception, match=r"pickle"):
        save_tensors(path, {"step": 2, "unpicklable": lambda: None})
    assert load_tensors(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_killed_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def power_cut(descriptor: int) -> None:
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.pt: cannot be read: No such file"):
        load_tensors(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_cut_off_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "state.pt"
    save_tensors(path, {"weights": torch.randn(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"state.pt: is cut off, damaged or not a file of tensors"):
        load_tensors(path)


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not weights\n" * 10)
    with pytest.raises(ValueError, match=r"notes.txt: is cut off, damaged or not"):
        load_tensors(path)


def test_pickle_that_wants_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stranger.pt"
    torch.save({"fraction": Fraction(1, 2)}, path)
    with pytest.raises(ValueError, match=r"stranger.pt: holds Python objects"):
        load_tensors(path)


def test_bare_pickle_that_wants_code_is_refused_with_no_other_word(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "stranger.bin"
    path.write_bytes(pickle.dumps(Fraction(1, 2)))
    with pytest.raises(ValueError, match=r"stranger.bin: (holds Python objects|is cut off)"):
        load_tensors(path)
    assert not recwarn.list
