"""Folders in Hugging Face's layout: both forms are read, and what is not GPT-2's way is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minift.tokenizers import ByteBPE, load_tokenizer

TEXTS = ["the low lower lowest", "the newest café"] * 3
Edit = Callable[[dict[str, Any]], object]


def tokenizer() -> ByteBPE:
    trained = ByteBPE.train(TEXTS, 280)
    return ByteBPE(
        [*trained.vocab[:-1], "<pad>", "</s>", "<|user|>", "two words"],
        trained.merges,
        eos_token="</s>",
        pad_token="<pad>",
        added_tokens={"<|user|>": True, "two words": False},
    )


def edit(path: Path, change: Edit) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("mine", [tokenizer(), ByteBPE.train(TEXTS, 270)], ids=["added", "plain"])
def test_what_is_written_is_read_as_the_same_tokenizer(mine: ByteBPE, tmp_path: Path) -> None:
    mine.save(tmp_path, layout="huggingface")

    again = load_tokenizer(tmp_path)

    assert isinstance(again, ByteBPE)
    assert again.fingerprint == mine.fingerprint
    text = "the two words<|user|> lower</s>"
    assert again.encode(text) == mine.encode(text)


def test_both_forms_of_merges_are_read(tmp_path: Path) -> None:
    mine = tokenizer()
    mine.save(tmp_path, layout="huggingface")
    description = json.loads((tmp_path / "tokenizer.json").read_text())
    assert all(isinstance(merge, str) for merge in description["model"]["merges"])

    description["model"]["merges"] = [merge.split(" ") for merge in description["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))

    assert load_tokenizer(tmp_path).fingerprint == mine.fingerprint


def test_gpt2s_two_files_alone_are_a_folder(tmp_path: Path) -> None:
    mine = ByteBPE.train(TEXTS, 270)
    mine.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()

    assert load_tokenizer(tmp_path).fingerprint == mine.fingerprint


def test_the_two_files_with_added_tokens_beside_them_are_read(tmp_path: Path) -> None:
    mine = tokenizer()
    mine.save(tmp_path, layout="huggingface")
    (tmp_path / "tokenizer.json").unlink()
    edit(tmp_path / "vocab.json", lambda ids: [ids.pop("<|user|>"), ids.pop("two words")])
    size = len(mine)
    edit(
        tmp_path / "tokenizer_config.json",
        lambda config: config.update(
            added_tokens_decoder={str(size - 2): {"content": "<|user|>", "special": True}}
        ),
    )
    (tmp_path / "added_tokens.json").write_text(json.dumps({"two words": size - 1}))

    assert load_tokenizer(tmp_path).fingerprint == mine.fingerprint


def test_an_end_written_as_an_object_is_read(tmp_path: Path) -> None:
    tokenizer().save(tmp_path, layout="huggingface")
    config = tmp_path / "tokenizer_config.json"
    edit(config, lambda config: config.update(eos_token={"content": "</s>", "lstrip": False}))

    assert load_tokenizer(tmp_path).eos_id == tokenizer().eos_id


def model(**changes: Any) -> Edit:
    return lambda content: content["model"].update(changes)


def part(name: str, **changes: Any) -> Edit:
    return lambda content: content[name].update(changes)


def top(**changes: Any) -> Edit:
    return lambda content: content.update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (model(byte_fallback=True), "model byte_fallback must be False, got True"),
        (model(ignore_merges=True), "model ignore_merges must be False, got True"),
        (model(end_of_word_suffix="</w>"), "model end_of_word_suffix must be '', got '</w>'"),
        (model(dropout=0.1), "model dropout must be 0.0, got 0.1"),
        (model(type="WordLevel"), "model type must be .*, got 'WordLevel'"),
        (model(vocab=[]), "model must have a vocab"),
        (model(vocab={"a": 1}), "ids must be|must have id"),
        (model(vocab={"a": [0]}), "ids must be|must have id"),
        (model(merges=None), "and a list of merges"),
        (model(merges=["a b c"]), r"merges\[0\] must be two tokens, got 'a b c'"),
        (model(merges=[["a"]]), r"merges\[0\] must be two tokens, got \['a'\]"),
        (model(merges=[["a", 1]]), r"merges\[0\] must be two tokens"),
        (model(merges=[7]), r"merges\[0\] must be two tokens, got 7"),
        (model(merges=["q x"]), r"merges\[0\] must make tokens of vocab"),
        (top(normalizer={"type": "NFC"}), "normalizer must be null, got NFC"),
        (top(pre_tokenizer=None), 'pre_tokenizer must be "ByteLevel", got None'),
        (top(pre_tokenizer={"type": "Split"}), 'pre_tokenizer must be "ByteLevel", got Split'),
        (part("pre_tokenizer", add_prefix_space=True), "no add_prefix_space"),
        (part("pre_tokenizer", use_regex=False), "pre_tokenizer must have use_regex"),
        (top(decoder={"type": "Metaspace"}), 'decoder must be "ByteLevel", got Metaspace'),
        (top(post_processor={"type": "RobertaProcessing"}), "post_processor must add no token"),
        (part("post_processor", single=[{"SpecialToken": {}}]), "post_processor must add no"),
        (part("post_processor", single=7), "post_processor must add no token"),
        (top(added_tokens=[7]), "added_tokens must be a list of objects"),
        (top(added_tokens=[{"id": 3}]), "content"),
        (top(added_tokens=[{"id": 3, "content": "<new>"}]), "ids must be|id"),
        (top(added_tokens=[{"id": 3, "content": "the"}]), "'the'.* id"),
        (top(added_tokens=[{"id": 280, "content": "</s>", "lstrip": True}]), "lstrip must be"),
    ],
)
def test_what_is_not_gpt2s_way_is_named(change: Edit, message: str, tmp_path: Path) -> None:
    tokenizer().save(tmp_path, layout="huggingface")
    edit(tmp_path / "tokenizer.json", change)

    with pytest.raises(ValueError, match=message) as error:
        load_tokenizer(tmp_path)

    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (top(eos_token="<eos>"), "eos_token must be in the vocabulary, got '<eos>'"),
        (top(pad_token="<x>"), "pad_token must be in the vocabulary, got '<x>'"),
        (top(add_prefix_space=True), "add_prefix_space must be false"),
        (top(add_bos_token=True), "add_bos_token must be false"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(
    change: Edit, message: str, tmp_path: Path
) -> None:
    tokenizer().save(tmp_path, layout="huggingface")
    edit(tmp_path / "tokenizer_config.json", change)

    with pytest.raises(ValueError, match=rf"tokenizer_config\.json: {message}"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["[]", "{", '"text"', "\udc80", "[" * 10**5])
def test_a_broken_file_is_named(name: str, content: str, tmp_path: Path) -> None:
    tokenizer().save(tmp_path, layout="huggingface")
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        load_tokenizer(tmp_path)
