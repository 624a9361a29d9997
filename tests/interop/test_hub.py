"""The model hub, played by a small server: what is fetched, checked, taken up, found offline."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch

import minift
from minift.interop.hub import fetch, needed_files
from minift.models.bert import Bert, BertConfig
from minift.tokenizers import WordPiece

NAME, COMMIT = "somebody/small-bert", "0123456789abcdef0123456789abcdef01234567"
SIZES = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16}


def test_only_what_is_read_is_fetched_and_of_weights_one_kind():
    names = [
        *("README.md", "config.json", "modeling_custom.py", "onnx/model.onnx", "tf_model.h5"),
        *("pytorch_model.bin", "model.safetensors", "vocab.txt"),
    ]
    assert needed_files(names) == ["config.json", "model.safetensors", "vocab.txt"]


def test_shards_come_with_their_index():
    names = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model.bin"]
    assert needed_files([*names, "config.json"]) == [*names[:2], "config.json"]


@pytest.mark.parametrize("name", ["", "../up", "a/b/c", "/a", "a//b", "a b", ".hidden", "a/.."])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="name must be 'owner/name' or 'owner/name@revision', got"):
        fetch(name)


class Hub:
    """The files of one model, served as the hub does.

    `cut` breaks the connection off once, after so many bytes of the weights; `failing` is a file
    that the server cannot give.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files: dict[str, bytes] = {}
        self.stated: dict[str, str] = {}  # the digests that the hub states
        for name, content in files.items():
            self.put(name, content)
        self.cut: int | None = None
        self.failing: str | None = None
        self.sent: list[tuple[str, int]] = []  # file, and from which byte on
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                hub.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, name: str, content: bytes) -> None:
        self.files[name], self.stated[name] = content, hashlib.sha256(content).hexdigest()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        if path.startswith(f"/api/models/{NAME}"):
            part = path.removeprefix(f"/api/models/{NAME}")
            entries = [self.entry(name) for name in self.files]
            if part.startswith("/tree/"):
                self.reply(request, json.dumps(entries).encode(), {})
            elif part in ("", f"/revision/{COMMIT}", "/revision/main"):
                info = {"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": entries}
                self.reply(request, json.dumps(info).encode(), {})
            else:
                self.refuse(request, "RevisionNotFound")
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            name = path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")
            if name == self.failing:
                return self.refuse(request, "", status=403)
            self.reply(request, self.files[name], {"ETag": f'"{self.stated[name]}"'}, name)
        else:
            self.refuse(request, "RepoNotFound")

    def entry(self, name: str) -> dict[str, Any]:
        size, oid = len(self.files[name]), self.stated[name]
        # Of one file two spellings: that of the description, and that of the list of files.
        lfs = {"sha256": oid, "oid": oid, "size": size, "pointerSize": 130}
        entry = {"rfilename": name, "path": name, "type": "file", "size": size, "oid": oid[:40]}
        return {**entry, "lfs": lfs} if name.endswith(".safetensors") else entry

    def reply(
        self,
        request: BaseHTTPRequestHandler,
        content: bytes,
        headers: dict[str, str],
        name: str | None = None,
    ) -> None:
        begin = int(request.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        request.send_response(206 if begin else 200)
        for key, value in {"X-Repo-Commit": COMMIT, **headers}.items():
            request.send_header(key, value)
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - begin))
        request.end_headers()
        if request.command == "GET":
            if name is not None:
                self.sent.append((name, begin))
            stop = None
            if name == "model.safetensors":
                stop, self.cut = self.cut, None
            request.wfile.write(content[begin:stop])
            request.close_connection = True

    def refuse(self, request: BaseHTTPRequestHandler, code: str, status: int = 404) -> None:
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    pytest.importorskip("safetensors")
    tokenizer = WordPiece.train(["a small boat", "a small song"], vocab_size=40)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=tokenizer.vocab_size, max_positions=8, **SIZES)
    minift.save(Bert(config, "classify", 2), tmp_path / "made", tokenizer, layout="huggingface")
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    hub = Hub({**files, "modeling_evil.py": b"raise SystemExit", "tf_model.h5": b"0" * 100})
    yield hub
    hub.server.shutdown()


def get(hub: Hub, tmp_path: Path, name: str = NAME) -> Path:
    return fetch(name, endpoint=hub.address, cache_dir=tmp_path / "cache")


def test_a_model_and_its_tokenizer_are_there_after_one_call(hub, tmp_path):
    folder = get(hub, tmp_path)

    assert folder.name == COMMIT
    assert {path.name for path in folder.iterdir()} == hub.files.keys() - {
        "modeling_evil.py",
        "tf_model.h5",
    }
    made = minift.load(tmp_path / "made")
    for name, value in minift.load(folder).state_dict().items():
        assert torch.equal(value, made.state_dict()[name])
    assert minift.load_tokenizer(folder).fingerprint == made_tokenizer(tmp_path)


def made_tokenizer(tmp_path: Path) -> str:
    return minift.load_tokenizer(tmp_path / "made").fingerprint


def test_a_second_call_downloads_nothing(hub, tmp_path):
    get(hub, tmp_path)
    hub.sent.clear()

    get(hub, tmp_path, f"{NAME}@{COMMIT}")

    assert hub.sent == []


def test_weights_that_are_not_the_hub_s_are_refused_and_deleted(hub, tmp_path):
    whole = hub.files["model.safetensors"]
    hub.files["model.safetensors"] = whole[:-1] + bytes([whole[-1] ^ 1])

    with pytest.raises(ValueError, match=r"model\.safetensors: must have the sha256 \w+, got"):
        get(hub, tmp_path)

    hub.files["model.safetensors"] = whole
    assert minift.load(get(hub, tmp_path)).num_classes == 2


def test_a_broken_connection_is_taken_up_where_it_broke(hub, tmp_path):
    hub.put("model.safetensors", bytes(range(256)) * 100_000)  # several of the pieces it comes in
    hub.cut = 22_000_000

    folder = get(hub, tmp_path)

    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    first, second = [begin for name, begin in hub.sent if name == "model.safetensors"]
    assert (first, second > 0) == (0, True)


def test_files_that_came_whole_are_kept_when_another_fails(hub, tmp_path):
    hub.failing = "model.safetensors"
    with pytest.raises(ValueError, match="the model hub could not be reached and the cache has no"):
        get(hub, tmp_path)
    hub.failing = None
    hub.sent.clear()

    get(hub, tmp_path)

    assert "model.safetensors" in dict(hub.sent)
    assert "vocab.txt" not in dict(hub.sent)


def test_without_a_network_the_copy_of_an_earlier_download_is_taken(hub, tmp_path):
    folder = get(hub, tmp_path)
    hub.server.shutdown()
    hub.server.server_close()

    assert get(hub, tmp_path) == folder


def test_without_network_and_copy_one_line_says_what_to_do(hub, tmp_path):
    hub.server.shutdown()
    hub.server.server_close()

    with pytest.raises(ValueError, match=r"could not be reached .* use --from$") as caught:
        get(hub, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("somebody/else", "somebody/else: the hub has no public model of this name"),
        (f"{NAME}@v9", f"{NAME}@v9: the model has no revision 'v9'"),
    ],
)
def test_what_the_hub_has_not_is_named(hub, tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        get(hub, tmp_path, name)
