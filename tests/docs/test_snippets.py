"""The code in docs/snippets.md runs as printed, and its two sides compute the same.

A block of the page says in its first line whose it is: chapter, side, step. Here somebody types the
blocks of one side into one session, in a folder that holds the files which the page reads; between
the blocks the two sessions are compared. Only what is drawn at random is handed over from their
side to ours: a fresh head, and what was re-initialised.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import minift
from minift.interop import save_resnet
from minift.interop.bert import BertFamily
from minift.interop.resnet import NAMES as RESNET_NAMES
from minift.tokenizers import WordPiece

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "snippets.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python (\w+) (\w+) (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {(chapter, side, step): code for chapter, side, step, code in BLOCK.findall(TEXT)}

NAMES = {"vision": RESNET_NAMES, "language": BertFamily().name_map(None)}

LETTERS = "ANTWabcdefghilmnoprstuvwxy"
VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *(prefix + letter for prefix in ("", "##") for letter in LETTERS),
    *("The", "the", "was", "old", "boat", "soup", "cold", "fine", "song", "love", "##ed"),
]
SMALL_BERT = {
    "vocab_size": len(VOCAB),
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.2,  # 0.02 suits a width of 768; here all texts would get equal logits
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


class Session:
    """What one side's blocks of a chapter have defined so far."""

    def __init__(self, chapter: str, side: str) -> None:
        self.chapter, self.side = chapter, side
        self.typed: set[tuple[str, str, str]] = set()
        self.names: dict[str, Any] = {}

    def run(self, step: str) -> None:
        places = ((self.chapter, self.side), (self.chapter, "both"), ("both", "both"))
        key = next((*place, step) for place in places if (*place, step) in BLOCKS)
        exec(compile(BLOCKS[key], f"{PAGE.name}: {' '.join(key)}", "exec"), self.names)
        self.typed.add(key)

    def __getitem__(self, name: str) -> Any:
        return self.names[name]

    def weights(self) -> dict[str, Tensor]:
        """The model's weights and running statistics, on both sides under our names."""
        state = self["model"].state_dict(keep_vars=True)
        if self.side == "minift":
            return state
        return {NAMES[self.chapter].ours(name)[0]: value for name, value in state.items()}

    def rates(self) -> dict[str, float]:
        """The learning rates of what trains."""
        groups = self["optimizer"].param_groups
        rate_of = {id(weight): group["lr"] for group in groups for weight in group["params"]}
        weights = {name: value for name, value in self.weights().items() if value.requires_grad}
        assert rate_of.keys() == {id(value) for value in weights.values()}
        return {name: rate_of[id(value)] for name, value in weights.items()}


def blocks_of(chapter: str, *sides: str) -> set[tuple[str, str, str]]:
    return {key for key in BLOCKS if key[0] in (chapter, "both") and key[1] in (*sides, "both")}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page calls its files by bare names."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


# The page itself


def test_every_block_of_code_says_whose_it_is():
    assert len(BLOCKS) == TEXT.count("```python") == TEXT.count("```") // 2


@pytest.mark.parametrize("key", [key for key in BLOCKS if key[1] in ("timm", "transformers")])
def test_lines_that_do_the_same_have_the_same_number(key):
    chapter, _, step = key
    theirs, ours = (
        re.findall(r"  # (\d)", BLOCKS.get(block, "")) for block in (key, (chapter, "minift", step))
    )
    assert theirs == ours == [str(number) for number in range(1, len(ours) + 1)]


# Our side alone, on files of our own making


def test_minift_s_blocks_for_pictures_run():
    narrow = minift.create_model("resnet18", num_classes=10, width=16)  # the file tells the sizes
    save_resnet(narrow, "resnet18.pth")  # type: ignore[arg-type]
    ours = Session("vision", "minift")

    ours.run("data")
    ours.run("start")
    model, images = ours["model"], ours["images"]
    assert (model.head_name, model.num_classes, model.training) == ("classify", 2, True)
    ours.run("loop")
    first = ours["loss"].item()
    ours.run("loop")
    assert ours["loss"] < first
    ours.run("extend")
    is_trained = {name: stage.training for name, stage in model.trunk.stages.items()}
    assert [name for name, trains in is_trained.items() if not trains] == ["stem", "layer1"]
    statistics = model.trunk.stages["stem"].bn1.running_mean.clone()
    ours.run("loop")
    assert torch.equal(model.trunk.stages["stem"].bn1.running_mean, statistics)
    ours.run("save")

    assert ours.typed == blocks_of("vision", "minift")
    again = minift.load("tuned.pth")
    assert torch.equal(again(images), model.eval()(images))


def test_minift_s_blocks_for_text_run():
    pytest.importorskip("safetensors")
    tokenizer = WordPiece(VOCAB, lowercase=False)
    sizes = {"hidden_size": 32, "num_heads": 2, "max_positions": 512, "vocab_size": len(VOCAB)}
    trunk = minift.create_model("bert-micro", head=None, **sizes)
    minift.save(trunk, "bert", tokenizer, layout="huggingface")
    ours = Session("language", "minift")

    ours.run("data")
    with pytest.warns(UserWarning, match=r"missing 2: head\.classifier\.weight"):
        ours.run("start")
    model, inputs = ours["model"], ours["inputs"]
    assert inputs["input_ids"].shape == (4, 512)
    ours.run("loop")
    first = ours["loss"].item()
    ours.run("loop")
    assert ours["loss"] < first
    ours.run("extend")
    assert [stage.training for stage in model.trunk.stages.values()] == [False] * 2 + [True] * 3
    ours.run("loop")
    ours.run("save")

    assert ours.typed == blocks_of("language", "minift")
    again = minift.load("tuned").eval()
    assert torch.equal(again(**inputs), model.eval()(**inputs))


def test_padding_to_the_longest_gives_the_same_logits():
    tokenizer = WordPiece(VOCAB, lowercase=False)
    sizes = {"hidden_size": 32, "num_heads": 2, "max_positions": 512, "vocab_size": len(VOCAB)}
    model = minift.create_model("bert-micro", num_classes=2, **sizes).eval()
    texts = ["We loved the old boat", "The soup was cold"]

    longest = tokenizer(texts, padding="longest")
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding="max_length", max_length=512))
        torch.testing.assert_close(model(**longest), logits, atol=1e-5, rtol=1e-5)

    assert longest["input_ids"].shape[1] < 16


def test_a_model_refuses_other_tokenizers_from_its_first_save_on(tmp_path):
    own, other = WordPiece(VOCAB, lowercase=False), WordPiece(VOCAB[::-1], lowercase=False)
    sizes = {"hidden_size": 16, "num_heads": 2, "vocab_size": len(VOCAB)}
    model = minift.create_model("bert-micro", num_classes=2, **sizes)
    minift.save(model, tmp_path / "first", own)

    with pytest.raises(ValueError, match="is not the one this bert model was trained with"):
        minift.save(model, tmp_path / "second", other)


# Both sides, on files that the reference libraries write


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Any:
    """timm, in which `pretrained=True` finds a file of random weights in place of the hub's."""
    timm = pytest.importorskip("timm")
    net = timm.create_model("resnet18")
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):  # fresh ones are all alike, and would hide a mix-up
            nn.init.uniform_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.bias, std=0.1)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.7, 1.5)
    torch.save(net.state_dict(), "hub.pth")
    create_model = timm.create_model

    def from_the_file(name: str, pretrained: bool = False, **settings: Any) -> nn.Module:
        overlay = {"file": "hub.pth"} if pretrained else None
        return create_model(name, pretrained, pretrained_cfg_overlay=overlay, **settings)

    monkeypatch.setattr(timm, "create_model", from_the_file)
    return timm


@pytest.fixture
def transformers() -> Any:
    """transformers, and a small folder of the public model's name and layout."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    net = transformers.BertForPreTraining(transformers.BertConfig(**SMALL_BERT))
    with torch.no_grad():
        for parameter in net.parameters():  # no norm at 1, no bias at 0
            parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = Path("bert-base-cased")
    net.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCAB), encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return transformers


@pytest.fixture
def _fetched(timm: Any, transformers: Any) -> None:
    Session("fetch", "both").run("weights")


def hand_over(theirs: Session, ours: Session, part: str) -> None:
    """Give our model the values that theirs has for the weights of this part."""
    values = theirs.weights()
    with torch.no_grad():
        for name, weight in ours.weights().items():
            if name.startswith(part):
                weight.copy_(values[name])


def copied(session: Session) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in session.weights().items()}


def changed(session: Session, before: dict[str, Tensor]) -> set[str]:
    return {name for name, weight in session.weights().items() if not weight.equal(before[name])}


def logits(session: Session) -> Tensor:
    """Of the chapter's inputs, in eval mode."""
    model = session["model"].eval()
    with torch.no_grad():
        if session.chapter == "vision":
            return model(session["images"])
        output = model(**session["inputs"])
    return output if session.side == "minift" else output.logits


def assert_the_same_net(theirs: Session, ours: Session) -> None:
    shapes = {name: weight.shape for name, weight in theirs.weights().items()}
    assert {name: weight.shape for name, weight in ours.weights().items()} == shapes
    torch.testing.assert_close(logits(ours), logits(theirs), atol=1e-5, rtol=1e-5)


def run_side_by_side(theirs: Session, ours: Session, loss_tolerance: float) -> None:
    """All the blocks of a chapter, compared after each.

    The loss is that of the third step. Until then rounding has parted the two a little: Adam's
    first steps have one size, also where a gradient is nothing but rounding. So have biases and
    norms, which only their side decays.
    """
    both = (theirs, ours)
    for session in both:
        torch.manual_seed(0)
        session.run("data")
        session.run("start")
        assert session["model"].training
    hand_over(theirs, ours, "head.")
    assert_the_same_net(theirs, ours)

    for session in both:
        session["model"].train()
        session.run("loop")
    assert ours["loss"].item() == pytest.approx(theirs["loss"].item(), abs=loss_tolerance)

    hand_over(theirs, ours, "")
    before = copied(theirs)
    for session in both:
        session.run("extend")
    assert not any(part.training for part in theirs["frozen"].modules())
    anew = changed(ours, before)
    assert changed(theirs, before) == anew
    for name in anew:
        expected, found = (session.weights()[name].detach() for session in (theirs, ours))
        if expected.ndim >= 2:
            assert found.std().item() == pytest.approx(expected.std().item(), rel=0.1), name
        else:  # of biases and norms nothing is drawn
            assert found.equal(expected), name
    assert ours.rates() == pytest.approx(theirs.rates())

    hand_over(theirs, ours, "trunk.")
    before = copied(theirs)
    for session in both:
        session.run("loop")
    assert ours["loss"].item() == pytest.approx(theirs["loss"].item(), abs=loss_tolerance)
    assert changed(ours, before) == changed(theirs, before)
    assert not any("stem" in name or "embedding" in name for name in changed(ours, before))

    ours.run("save")
    theirs.run("open")
    assert_the_same_net(theirs, ours)
    assert theirs.typed | ours.typed == blocks_of(theirs.chapter, theirs.side, "minift")


@pytest.mark.parity
@pytest.mark.usefixtures("_fetched")
def test_both_sides_compute_the_same_for_pictures():
    run_side_by_side(Session("vision", "timm"), Session("vision", "minift"), 1e-3)


@pytest.mark.parity
@pytest.mark.usefixtures("_fetched")
@pytest.mark.filterwarnings("ignore:fresh weights")
def test_both_sides_compute_the_same_for_text():
    theirs, ours = Session("language", "transformers"), Session("language", "minift")

    run_side_by_side(theirs, ours, 1e-5)

    for name, value in ours["inputs"].items():
        assert torch.equal(value, theirs["inputs"][name].to(value.dtype)), name
    assert not (ours["inputs"]["input_ids"] == ours["tokenizer"].unk_id).any()
    again = theirs["tokenizer"](theirs["sentences"], padding=True, return_tensors="pt")  # opened
    assert torch.equal(again["input_ids"], ours["tokenizer"](ours["sentences"])["input_ids"])


@pytest.mark.parity
def test_their_own_initialisation_passes_over_loaded_weights(transformers):
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    model = load("bert-base-cased", num_labels=2)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}

    model.bert.encoder.layer[-1].apply(model._init_weights)

    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parity
@pytest.mark.usefixtures("_fetched")
def test_their_model_comes_in_train_mode_and_ours_in_eval_mode(timm):
    assert timm.create_model("resnet18", pretrained=True).training
    assert not minift.load("resnet18.pth").training
