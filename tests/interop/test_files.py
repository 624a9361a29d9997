"""Files of weights are read as they are, or refused by name: nothing in them is believed."""

from __future__ import annotations

import json
import pickle
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from minift.interop.files import read_weights, write_safetensors

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2])}


@pytest.fixture(autouse=True)
def _needs_safetensors():
    pytest.importorskip("safetensors")


def assert_is_tensors(state: dict[str, torch.Tensor]) -> None:
    assert set(state) == set(TENSORS)
    assert all(torch.equal(state[name], value) for name, value in TENSORS.items())


def raw_safetensors(path: Path, header: Any, data: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def index(folder: Path, places: dict[str, Any]) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return path


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_is_read_by_its_name_and_by_its_folder(name, tmp_path):
    if name.endswith(".bin"):
        torch.save(TENSORS, tmp_path / name)
    else:
        write_safetensors(tmp_path / name, TENSORS)

    assert_is_tensors(read_weights(tmp_path / name))
    assert_is_tensors(read_weights(tmp_path))


def test_the_oldest_pickles_are_read(tmp_path):
    torch.save(TENSORS, tmp_path / "model.pth", _use_new_zipfile_serialization=False)

    assert_is_tensors(read_weights(tmp_path / "model.pth"))


def test_safetensors_are_mapped_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"large": torch.zeros(1000, 1000)})

    state = read_weights(path)

    # Seen where a system says what it has mapped.
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(path) in maps.read_text()
    assert state["large"].shape == (1000, 1000)


def test_what_is_written_has_no_need_of_contiguous_memory(tmp_path):
    write_safetensors(tmp_path / "t.safetensors", {"turned": TENSORS["a.weight"].T})

    assert torch.equal(read_weights(tmp_path / "t.safetensors")["turned"], TENSORS["a.weight"].T)


def test_shards_are_joined_by_their_index(tmp_path):
    write_safetensors(tmp_path / "1.safetensors", {"a.weight": TENSORS["a.weight"]})
    write_safetensors(tmp_path / "2.safetensors", {"b": TENSORS["b"], "of no index": torch.ones(1)})
    index(tmp_path, {"a.weight": "1.safetensors", "b": "2.safetensors"})

    assert_is_tensors(read_weights(tmp_path))


def test_a_missing_shard_or_name_is_told(tmp_path):
    write_safetensors(tmp_path / "1.safetensors", {"a.weight": TENSORS["a.weight"]})

    index(tmp_path, {"a.weight": "1.safetensors", "b": "1.safetensors"})
    with pytest.raises(ValueError, match=r"1\.safetensors lacks 'b', which .*index\.json puts in"):
        read_weights(tmp_path)
    index(tmp_path, {"a.weight": "1.safetensors", "b": "2.safetensors"})
    with pytest.raises(ValueError, match=r"2\.safetensors: cannot be read: No such file"):
        read_weights(tmp_path)


@pytest.mark.parametrize("place", ["../1.safetensors", "/etc/passwd", 3, None, "", ".."])
def test_an_index_cannot_point_out_of_its_folder(place, tmp_path):
    path = index(tmp_path, {"a.weight": place})

    with pytest.raises(ValueError, match=r"index\.json: 'a\.weight' must be in a file of this"):
        read_weights(path)


def test_an_index_of_an_index_is_refused(tmp_path):
    path = index(tmp_path, {"a.weight": "model.safetensors.index.json"})

    with pytest.raises(ValueError, match=r"'a\.weight' must be in a file of this folder"):
        read_weights(path)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"weight_map": 3}', b"{", b"\xff", b"[" * 9999]
)
def test_a_broken_index_is_refused(content, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_bytes(content)

    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json[^\n]+$"):
        read_weights(tmp_path)


def test_a_folder_without_weights_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"has no weights: none of model\.safetensors, "):
        read_weights(tmp_path)


@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.99])
def test_a_truncated_file_is_refused(share, tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, TENSORS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    with pytest.raises(ValueError, match=r"model\.safetensors: .*cut off"):
        read_weights(path)


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"x": entry(data_offsets=[0, 10**15])}, r"'x' should end at byte 1000000000000000 of"),
        ({"x": entry(shape=[10**9, 10**9])}, r"'x' of shape .* must take 4000000000000000000 by"),
        ({"x": entry(shape=[2, 3])}, r"'x' of shape \[2, 3\] and type F32 must take 24 bytes"),
        ({"x": entry(dtype="F64")}, r"'x' of shape \[2, 2\] and type F64 must take 32 bytes"),
        ({"x": entry(dtype="F31")}, r"model\.safetensors: "),
        ({"x": entry(dtype=[])}, r"'x' must have dtype, shape and data_offsets"),
        ({"x": entry(shape=[-2, -2])}, r"'x' must have dtype, shape and data_offsets"),
        ({"x": entry(shape=[2.0, 2])}, r"'x' must have dtype, shape and data_offsets"),
        ({"x": entry(shape="22")}, r"'x' must have dtype, shape and data_offsets"),
        ({"x": entry(data_offsets=[16])}, r"'x' must have dtype, shape and data_offsets"),
        ({"x": entry(data_offsets=[16, 0])}, r"'x' of shape \[2, 2\] .* its header says -16"),
        ({"x": entry(), "y": entry()}, r"model\.safetensors: "),  # they overlap
        ({"x": entry(data_offsets=[0, 16], shape=[4])}, None),
        ({"x": 3}, r"'x' must have dtype, shape and data_offsets"),
        ({"x": {}}, r"'x' must have dtype, shape and data_offsets"),
        ([], r"its header must be a JSON object"),
        (b"{", r"its header must be JSON"),
        (b"\xff\xff", r"its header must be JSON"),
        (b"[" * 9999, r"its header must be JSON"),
    ],
)
def test_a_header_that_lies_is_refused(header, message, tmp_path):
    path = tmp_path / "model.safetensors"
    raw_safetensors(path, header, b"\0" * 16)

    if message is None:
        assert read_weights(path)["x"].shape == (4,)
        return
    with pytest.raises(ValueError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_larger_than_the_file_is_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")

    with pytest.raises(ValueError, match=r"its header would take 9223372036854775808 bytes"):
        read_weights(path)


class Runs:
    """Pickled, this is an order to call `exec` while loading."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('code from the file was run')",)


@pytest.mark.parametrize("save", ["torch", "torch, old format", "pickle"])
def test_a_pickle_that_wants_to_run_code_is_refused(save, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    if save == "pickle":
        path.write_bytes(pickle.dumps({"a": Runs()}, protocol=2))
    else:
        torch.save({"a": Runs()}, path, _use_new_zipfile_serialization=save == "torch")

    with pytest.raises(ValueError, match=r"pytorch_model\.bin: .*would run code from the file"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "must hold tensors by name, got a list"),
        ({"a": {"b": torch.ones(1)}}, "got dict for 'a'"),
        ({1: torch.ones(1)}, "got Tensor for 1"),
    ],
)
def test_other_data_than_tensors_is_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "pytorch_model.bin")

    with pytest.raises(ValueError, match=rf"pytorch_model\.bin: .*{message}"):
        read_weights(tmp_path)


def test_without_the_extra_it_is_said_what_to_install(tmp_path, monkeypatch):
    torch.save(TENSORS, tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "safetensors", None)

    assert_is_tensors(read_weights(tmp_path))  # a .bin file needs nothing
    with pytest.raises(ImportError, match=r"x\.safetensors: .* pip install 'minift\[interop\]'"):
        read_weights(tmp_path / "x.safetensors")
