"""train_nlp.py from end to end, in small: every command, the chain of them, and mistakes."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scripts import load_script

import minift
from minift.checkpoint import read_description
from minift.data.world import world_documents
from minift.recipes.finetuning import FinetuneConfig
from minift.tokenizers import load_tokenizer
from minift.training import loop

ROOT = Path(__file__).parents[1]
TINY = [
    "--no-progress",
    *("--config", "hidden_size=32", "num_layers=1", "num_heads=2", "intermediate_size=64"),
]
REVIEWS = [
    (f"the {thing} was {word} .", label)
    for thing in ("soup", "song", "story", "speech", "feast", "concert", "party", "dance")
    for word, label in (("wonderful", "good"), ("awful", "bad"))
]


train_nlp = load_script("train_nlp.py")


def table(path: Path, rows: list[tuple[str, ...]]) -> Path:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def figures(printed: str) -> dict[str, float]:
    """The scores in what a command printed: name -> value."""
    return {name: float(value) for name, value in re.findall(r"(\w+) (\d+\.\d+)\b", printed)}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, labelled files, and a tiny pretrained model of each family."""
    folder = tmp_path_factory.mktemp("nlp")
    documents = world_documents(120, seed=0)
    text = "\n\n".join(" ".join(document) for document in documents)
    (folder / "corpus.txt").write_text(text, encoding="utf-8")
    table(folder / "reviews.tsv", [("text", "label"), *REVIEWS])
    for model in ("bert", "gpt", "t5", "cbow"):
        sizes = TINY if model != "cbow" else ["--no-progress", "--config", "hidden_size=32"]
        train_nlp.main(
            ["pretrain", "--model", model, "--text", str(folder / "corpus.txt"), *sizes,
             "--num-steps", "30", "--vocab-size", "600", "--out", str(folder / model)]
        )  # fmt: skip
    return folder


def pretrain(work: Path, out: Path, model: str, *flags: str) -> None:
    train_nlp.main(
        ["pretrain", "--model", model, "--text", str(work / "corpus.txt"), *TINY,
         "--vocab-size", "600", "--out", str(out), *flags]
    )  # fmt: skip


def finetune(source: Path, data: str | Path, out: Path, *flags: str) -> None:
    train_nlp.main(
        ["finetune", "--from", str(source), "--data", str(data), "--no-progress",
         "--out", str(out), *flags]
    )  # fmt: skip


# -------------------------------------------------------------------------------- pretrain


@pytest.mark.parametrize(
    ("model", "loss"), [("bert", "mlm_loss"), ("gpt", "lm_loss"), ("t5", "span_loss")]
)
def test_pretraining_lowers_the_held_out_loss(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, loss: str
) -> None:
    losses = []
    for num_steps in ("1", "60"):
        pretrain(work, tmp_path / num_steps, model, "--num-steps", num_steps, "--lr", "0.005")
        losses.append(figures(capsys.readouterr().out)[loss])
    assert losses[1] < losses[0] - 0.3


def test_same_seed_gives_the_same_file_and_another_seed_does_not(
    work: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        pretrain(work, tmp_path / name, "bert", "--num-steps", "3", "--seed", seed)
    weights = [(tmp_path / name / "model.pt").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_a_checkpoint_says_where_it_comes_from(work: Path) -> None:
    description = json.loads((work / "bert" / "config.json").read_text())
    assert description["config"]["hidden_size"] == 32
    assert description["lineage"]["recipe"] == "train_nlp.py pretrain"
    assert description["lineage"]["data"] == [str(work / "corpus.txt")]


def test_pretraining_is_told_with_what_guessing_would_get(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = {}
    for model in ("bert", "gpt", "t5"):
        pretrain(work, tmp_path / model, model, "--num-steps", "1")
        printed[model] = capsys.readouterr().out
    for model, accuracy in (("bert", "mlm"), ("bert", "nsp"), ("gpt", "lm"), ("t5", "span")):
        assert re.search(rf"{accuracy}_accuracy \d\.\d+ \(majority 0\.\d+\)", printed[model])
    seen = figures(printed["gpt"])
    assert seen["perplexity"] == pytest.approx(math.exp(seen["lm_loss"]), rel=1e-3)
    # What both losses add up to says something; the one loss a second time does not.
    assert [" loss " in printed[model] for model in printed] == [True, False, False]


@pytest.mark.parametrize(("number", "drawn"), [("0", None), ("7", 7)])
def test_no_negatives_is_the_full_softmax(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, drawn: int | None
) -> None:
    seen = {}

    def stop(*_: object, **options: object) -> None:
        seen.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_nlp, "pretrain_text", stop)
    corpus = ["--text", str(work / "corpus.txt"), "--out", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        train_nlp.main(["pretrain", "--model", "cbow", *corpus, "--num-negatives", number])
    assert seen["num_negatives"] == drawn


@pytest.mark.parametrize(
    ("model", "kind"),
    [("bert", "wordpiece"), ("gpt", "byte_bpe"), ("t5", "word_vocab"), ("cbow", "word_vocab")],
)
def test_each_family_has_its_usual_tokenizer(work: Path, model: str, kind: str) -> None:
    assert json.loads((work / model / "tokenizer.json").read_text())["kind"] == kind


def test_a_stopped_run_goes_on_to_the_same_weights(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--num-steps", "6", "--save-every", "3")
    pretrain(work, tmp_path / "whole", "bert", *flags)

    class Killed(BaseException):
        pass

    def save_and_die(*args: object, **kwargs: object) -> None:
        save(*args, **kwargs)  # type: ignore[arg-type]
        raise Killed

    save = loop._save
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_save", save_and_die)
        with pytest.raises(Killed):
            pretrain(work, tmp_path / "parts", "bert", *flags)
    assert (tmp_path / "parts" / "resume.pt").exists()
    pretrain(work, tmp_path / "parts", "bert", *flags, "--resume")
    whole, parts = ((tmp_path / name / "model.pt").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    assert not (tmp_path / "parts" / "resume.pt").exists()


def test_runs_are_saved_on_the_way_unless_told_otherwise() -> None:
    assert train_nlp.parse(["pretrain"]).save_every == 500
    assert train_nlp.parse(["finetune"]).save_every == 200


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_a_trained_model_that_could_not_be_saved_is_not_lost(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def train(*flags: str) -> None:
        if command == "pretrain":
            pretrain(work, tmp_path, "bert", "--num-steps", "3", *flags)
        else:
            data = work / "reviews.tsv"
            finetune(work / "bert", data, tmp_path, "--epochs", "1", "--num-frozen", "1", *flags)

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(minift, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            train()
    monkeypatch.setattr(loop, "_step_seed", stop)  # no step is left to take
    train("--resume")
    assert (tmp_path / "model.pt").exists()
    assert not (tmp_path / "resume.pt").exists()


# -------------------------------------------------- finetune, then evaluate, then predict


@pytest.mark.parametrize("family", ["bert", "gpt", "cbow"])
def test_finetuned_on_a_file_of_ones_own_it_tells_the_classes_apart(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str
) -> None:
    data = work / "reviews.tsv"
    flags = ("--epochs", "40", "--batch-size", "4", "--lr", "0.01", "--validation", str(data))
    finetune(work / family, data, tmp_path, *flags)
    assert "100.0% of the weights were trained" in capsys.readouterr().out
    train_nlp.main(["evaluate", "--from", str(tmp_path), "--data", str(data)])
    assert figures(capsys.readouterr().out)["accuracy"] == 1.0
    train_nlp.main(["predict", "--from", str(tmp_path), "the soup was awful .", "a wonderful song"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("the soup was awful .: bad ")
    assert second.startswith("a wonderful song: good ")
    assert json.loads((tmp_path / "config.json").read_text())["classes"] == ["bad", "good"]


def test_one_row_in_five_is_held_out_without_a_validation_file(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def stop(model: object, train: dict, config: object, *, validation: dict, **_: object) -> None:
        seen.update(train=len(train["labels"]), validation=len(validation["labels"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(train_nlp, "finetune", stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(work / "bert", work / "reviews.tsv", tmp_path / "out", "--num-train", "8")
    assert seen == {"train": 8, "validation": 2}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("family", "flags", "lr"),
    [
        ("bert", [], 5e-4),
        ("gpt", [], 5e-4),
        ("t5", ["--text-column", "text", "--label-column", "label"], 1e-3),
        ("cbow", [], 0.1),
        ("cbow", ["--lr", "0.02"], 0.02),
    ],
)
def test_each_family_has_a_rate_that_suits_it_unless_one_is_given(
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    flags: list[str],
    lr: float,
) -> None:
    seen = []

    def stop(model: object, train: object, config: FinetuneConfig, **_: object) -> None:
        seen.append(config.lr)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_nlp, "finetune", stop)
    data = table(tmp_path / "rows.tsv", [("text", "label"), *[("was", "a"), ("was", "the")] * 3])
    with pytest.raises(KeyboardInterrupt):
        finetune(work / family, data, tmp_path / "out", *flags)
    assert seen == [lr]


def test_help_tells_the_rates_of_the_families(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_nlp.main(["finetune", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "--lr by the model: bert 0.0005, gpt 0.0005, t5 0.001, word2vec 0.1" in printed


def test_pairs_are_finetuned_and_predicted_as_pairs(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("a", "b", "same"), ("a bird sang .", "a bird sang .", "yes")]
    rows += [("a bird sang .", "the soup was awful .", "no")] * 4
    data = table(tmp_path / "pairs.tsv", rows)
    columns = ("--text-column", "a", "--pair-column", "b", "--label-column", "same")
    finetune(work / "bert", data, tmp_path / "out", *columns, "--epochs", "1")
    capsys.readouterr()
    train_nlp.main(
        ["predict", "--from", str(tmp_path / "out"), "a bird sang .", "--pair", "a bird sang ."]
    )
    assert "no " in capsys.readouterr().out


def test_from_scratch_takes_the_tokenizer_alone(work: Path, tmp_path: Path) -> None:
    train_nlp.main(
        ["finetune", "--tokenizer-from", str(work / "bert"), "--model", "bert", *TINY,
         "--data", str(work / "reviews.tsv"), "--epochs", "1", "--out", str(tmp_path)]
    )  # fmt: skip
    description = json.loads((tmp_path / "config.json").read_text())
    tokenizer = json.loads((work / "bert" / "tokenizer.json").read_text())
    assert description["tokenizer"] == tokenizer["fingerprint"]
    assert description["lineage"]["parent"] is None


def test_freezing_everything_trains_the_head_alone(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune(work / "bert", work / "reviews.tsv", tmp_path, "--num-frozen", "3", "--epochs", "1")
    share = re.search(r"([\d.]+)% of the weights", capsys.readouterr().out)
    assert share is not None
    assert 0 < float(share[1]) < 1


def test_answers_are_found_in_a_context(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--num-train", "32", "--epochs", "1")
    finetune(work / "bert", "world:answer", tmp_path, *flags)
    train_nlp.main(
        ["evaluate", "--from", str(tmp_path), "--data", "world:answer", "--num-test", "8"]
    )
    assert "exact" in capsys.readouterr().out
    question, context = "who has the lamp ?", "mara has a lamp . tom has a cup ."
    train_nlp.main(["predict", "--from", str(tmp_path), question, "--context", context])
    printed = capsys.readouterr().out
    assert printed.startswith(f"{question}: ")


def test_squad_questions_without_an_answer_point_at_cls(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = "mara has a lamp ."
    questions = [
        {"id": "1", "question": "who ?", "answers": [{"text": "mara", "answer_start": 0}]},
        {"id": "2", "question": "where ?", "answers": []},
    ]
    paragraphs = [{"context": context, "qas": questions}]
    data = tmp_path / "squad.json"
    data.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    train_nlp.main(["show", "--from", str(work / "bert"), "--data", str(data)])
    labels = [
        line.split()[1:]
        for line in capsys.readouterr().out.splitlines()
        if line.strip().startswith("labels")
    ]
    assert ["0", "0"] in labels
    assert len(labels) == 2


def test_an_answer_that_was_cut_off_is_not_scored_as_none(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = "mara has a lamp . tom has a cup ."
    answers = [{"text": "mara", "answer_start": 0}, {"text": "tom", "answer_start": 18}]
    questions = [{"question": "who ?", "answers": [answer]} for answer in answers]
    questions.append({"question": "where ?", "answers": []})
    data = tmp_path / "squad.json"
    paragraphs = [{"context": context, "qas": questions}]
    data.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    out, flags = tmp_path / "out", ["--max-length", "12"]
    finetune(work / "bert", data, out, "--epochs", "1", "--validation", str(data), *flags)
    assert "1 of 3 answers were cut off" in capsys.readouterr().out

    def no_answer(model: object, dataset: dict[str, torch.Tensor], *_: object) -> torch.Tensor:
        return torch.zeros_like(dataset["labels"])

    monkeypatch.setattr(train_nlp.finetuning, "predict", no_answer)
    train_nlp.main(["evaluate", "--from", str(out), "--data", str(data), *flags])
    printed = capsys.readouterr().out
    assert "3 of 3 rows were cut to 12 tokens" in printed
    assert figures(printed)["exact"] == figures(printed)["f1"] == pytest.approx(1 / 3, abs=1e-3)


def test_held_out_questions_keep_their_answers(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = train_nlp.parse(["finetune", "--from", str(work / "bert"), "--data", "squad.json"])
    labels = torch.arange(1, 11)[:, None].expand(-1, 2)
    whole = train_nlp.Task({"labels": labels}, answers=[(str(n),) for n in range(1, 11)])
    monkeypatch.setattr(train_nlp, "load_task", lambda *_, **__: whole)
    model = train_nlp.minift.load(work / "bert")
    _, test = train_nlp.load_training(args, model, load_tokenizer(work / "bert"), "span")
    assert len(test.answers) == 2
    assert [(str(first),) for first, _ in test.dataset["labels"].tolist()] == test.answers


def test_finetune_and_evaluate_say_how_many_rows_were_cut(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long_text = " ".join(["wonderful"] * 200)
    rows = [("text", "label"), *REVIEWS, (long_text, "good"), (long_text, "good")]
    data = table(tmp_path / "long.tsv", rows)
    finetune(work / "bert", data, tmp_path / "out", "--epochs", "1")
    remark = f"{data}: 2 of 18 rows were cut to 128 tokens\n"
    assert capsys.readouterr().out.count(remark) == 1
    train_nlp.main(["evaluate", "--from", str(tmp_path / "out"), "--data", str(data)])
    printed = capsys.readouterr().out
    assert printed.count(remark) == 1
    assert "(majority 0.5556)" in printed  # 10 of 18


def test_predict_refuses_a_text_longer_than_it_can_read(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune(work / "bert", work / "reviews.tsv", tmp_path, "--epochs", "1")
    capsys.readouterr()
    long_text = " ".join(["wonderful"] * 200)
    with pytest.raises(ValueError, match="a text must be at most 128 tokens long"):
        train_nlp.main(["predict", "--from", str(tmp_path), "a song", long_text])
    assert capsys.readouterr().out == ""


def test_t5_learns_to_write_the_target(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"good": "wonderful", "bad": "awful"}
    rows = [("source", "target"), *((text, words[label]) for text, label in REVIEWS)]
    data = table(tmp_path / "texts.tsv", rows)
    flags = ("--epochs", "25", "--batch-size", "4", "--lr", "0.01", "--validation", str(data))
    finetune(work / "t5", data, tmp_path / "out", *flags)
    capsys.readouterr()
    train_nlp.main(["evaluate", "--from", str(tmp_path / "out"), "--data", str(data)])
    assert figures(capsys.readouterr().out)["whole"] == 1.0
    train_nlp.main(["predict", "--from", str(tmp_path / "out"), "the soup was awful ."])
    assert capsys.readouterr().out == "the soup was awful .: awful\n"


# ------------------------------------------------------------------------------ looking in


def test_show_prints_five_examples_with_tokens_and_labels(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_nlp.main(["show", "--from", str(work / "bert"), "--data", str(work / "reviews.tsv")])
    printed = capsys.readouterr().out
    assert printed.count("example ") == 5
    assert printed.count("[CLS]") == 5
    assert "(good)" in printed
    assert "attention_mask" in printed


@pytest.mark.parametrize(
    ("model", "sign"),
    [
        ("bert", "[MASK]"),
        ("t5", "<extra_id_0>"),
        ("t5", "decoder_input_ids"),
        ("gpt", "<|endoftext|>"),
        ("cbow", "labels"),
    ],
)
def test_show_makes_examples_of_the_pretraining(
    work: Path, capsys: pytest.CaptureFixture[str], model: str, sign: str
) -> None:
    train_nlp.main(
        ["show", "--from", str(work / model), "--text", str(work / "corpus.txt"),
         "--max-length", "24"]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert printed.count("example ") == 5
    assert sign in printed


@pytest.mark.parametrize("model", ["bert", "gpt", "t5", "cbow"])
def test_page_of_show_has_tokens_attention_and_a_word_map(
    work: Path, tmp_path: Path, model: str
) -> None:
    data = table(tmp_path / "pairs.tsv", [("source", "target", "text", "label")] + [
        (text, label, text, label) for text, label in REVIEWS
    ])  # fmt: skip
    page = tmp_path / "page.html"
    train_nlp.main(
        ["show", "--from", str(work / model), "--data", str(data), "--page", str(page),
         "--text-column", "text", "--label-column", "label"]
    )  # fmt: skip
    html = page.read_text(encoding="utf-8")
    assert html.count("<dt>example ") == 5
    assert ("Heat map of token by reads" in html) == (model != "cbow")
    assert "Scatter chart" in html
    assert "Heat map of true by predicted" not in html  # it was not finetuned


def test_page_of_show_has_the_confusion_of_a_finetuned_model(work: Path, tmp_path: Path) -> None:
    reviews = str(work / "reviews.tsv")
    finetune(work / "bert", reviews, tmp_path / "out", "--epochs", "1")
    page = tmp_path / "page.html"
    train_nlp.main(
        ["show", "--from", str(tmp_path / "out"), "--data", reviews, "--page", str(page)]
    )
    assert "Heat map of true by predicted" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("model", ["bert", "gpt", "t5", "cbow"])
def test_neighbors_are_other_words_with_falling_cosines(
    work: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    train_nlp.main(["neighbors", "--from", str(work / model), "the", "--number", "4"])
    word, _, named = capsys.readouterr().out.strip().partition(": ")
    found = re.findall(r"(\S+) (-?\d\.\d+)", named)
    cosines = [float(cosine) for _, cosine in found]
    assert len(found) == 4
    assert word == "the"
    assert cosines == sorted(cosines, reverse=True)
    assert "the" not in [name for name, _ in found]


def test_an_analogy_is_answered_by_a_fourth_word(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_nlp.main(["neighbors", "--from", str(work / "cbow"), "--analogy", "a", "the", "was"])
    question, _, answers = capsys.readouterr().out.strip().partition(" is to: ")
    assert question == "a is to the as was"
    assert not {"a", "the", "was"} & set(answers.split(", "))


def test_fill_mask_gives_five_words_for_each_mask(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "the [MASK] was [MASK] ."
    train_nlp.main(["fill-mask", "--from", str(work / "bert"), text])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["mask 1", "mask 2"]
    assert all(line.count("%") == 5 for line in lines)


def test_gpt_goes_on_with_the_prompt_as_the_seed_says(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for seed in ("0", "0", "1"):
        train_nlp.main(
            ["generate", "--from", str(work / "gpt"), "mara has a", "--max-new-tokens", "8",
             "--top-p", "0.9", "--top-k", "50", "--seed", seed]
        )  # fmt: skip
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("mara has a")
    assert texts[0] == texts[1] != texts[2]


def test_t5_writes_spans_for_sentinels(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "mara has <extra_id_0> ."
    flags = ["--max-new-tokens", "6", "--temperature", "0"]
    train_nlp.main(["generate", "--from", str(work / "t5"), prompt, *flags])
    assert capsys.readouterr().out.strip() != ""


def test_shared_flags_count_before_a_command_as_behind_it() -> None:
    flags = ["--seed", "7", "--precision", "fp32", "--device", "cpu", "--no-progress", "--out", "a"]
    before = train_nlp.parse([*flags, "pretrain"])
    assert before == train_nlp.parse(["pretrain", *flags])
    assert (before.seed, before.precision, before.progress) == (7, "fp32", False)
    assert train_nlp.parse(["--seed", "7", "pretrain", "--seed", "8"]).seed == 8


def test_each_command_has_a_folder_of_its_own_to_write_to() -> None:
    assert train_nlp.parse([]).out == Path("runs/nlp")
    assert train_nlp.parse(["finetune"]).out == Path("runs/nlp-finetune")


# -------------------------------------------------------------------------------- mistakes


MISTAKES = {
    "no such file": (["pretrain", "--text", "{work}/nowhere.txt"], "nowhere.txt"),
    "empty corpus": (["pretrain", "--text", "{work}/empty.txt"], "must hold some text"),
    "too few documents": (["pretrain", "--text", "{work}/short.txt"], "at least 4 documents"),
    "unknown model": (["pretrain", "--model", "bert-mikro"], "nearest are bert-micro"),
    "a model for pictures": (["pretrain", "--model", "resnet8"], "reads text"),
    "a tokenizer without [MASK]": (
        ["pretrain", "--model", "bert", "--tokenizer", "bpe", "--num-train", "20"],
        "wordpiece or word for bert",
    ),
    "unknown data": (["pretrain", "--data", "word"], "world or docs"),
    "too long to pretrain": (
        ["pretrain", "--num-train", "20", "--max-length", "200"],
        r"max_length must be in 2..128",
    ),
    "unknown configuration": (["pretrain", "--config", "width=3"], "width=3"),
    "configuration of another type": (["pretrain", "--config", "num_heads=x"], "valid int"),
    "vocabulary too small for the tokenizer": (
        ["pretrain", "--num-train", "20", "--config", "vocab_size=30"],
        "more than the model's vocab_size 30",
    ),
    "no such column": (
        ["finetune", "--from", "{work}/bert", "--data", "{work}/reviews.tsv",
         "--label-column", "stars"],
        "no column 'stars'",
    ),
    "no labels": (
        ["finetune", "--from", "{work}/bert", "--data", "{work}/unlabelled.tsv"],
        "known for labels",
    ),
    "an unknown label": (
        ["finetune", "--from", "{work}/bert", "--data", "{work}/reviews.tsv",
         "--validation", "{work}/typo.tsv"],
        "typo.tsv:3: label must be one of bad, good",
    ),
    "one class": (
        ["finetune", "--from", "{work}/bert", "--data", "{work}/one-class.tsv"],
        "two classes",
    ),
    "longer than the positions": (
        ["finetune", "--from", "{work}/bert", "--max-length", "129"],
        r"max_length must be in 2..128",
    ),
    "num_frozen out of range": (
        ["finetune", "--from", "{work}/bert", "--num-frozen", "4"],
        r"num_frozen must be in 0..3",
    ),
    "sizes for weights that have theirs": (
        ["finetune", "--from", "{work}/bert", "--config", "dropout=0.3"],
        "--config is for fresh weights: .* got dropout=0.3",
    ),
    "another device for the story": (["--device", "cuda"], "--device must be left out"),
    "a foreign tokenizer": (
        ["finetune", "--from", "{work}/bert", "--tokenizer-from", "{work}/gpt"],
        "trained with",
    ),
    "no source": (["finetune"], "--tokenizer-from"),
    "no checkpoint": (["evaluate", "--from", "{work}/nowhere"], "nowhere"),
    "a checkpoint of impossible sizes": (
        ["evaluate", "--from", "{work}/flat"],
        r"flat/config.json: hidden_size must be a valid int, got 0",
    ),
    "a head that no text is finetuned under": (
        ["finetune", "--from", "{work}/gpt", "--data", "world:answer", "--head", "tag"],
        "head must be classify, span or lm, got 'tag'",
    ),
    "text to text without T5": (
        ["finetune", "--from", "{work}/bert", "--data", "world:class", "--head", "lm"],
        "T5 only",
    ),
    "targets of unknown words": (
        ["finetune", "--from", "{work}/t5", "--data", "{work}/unlabelled.tsv",
         "--text-column", "text", "--label-column", "stars"],
        r"unlabelled.tsv:2: target must have words of the vocabulary",
    ),
    "evaluating what was only pretrained": (
        ["evaluate", "--from", "{work}/bert"], "must be a finetuned model"
    ),
    "predicting with what was only pretrained": (
        ["predict", "--from", "{work}/gpt", "text"], "must be a finetuned model"
    ),
    "no [MASK]": (["fill-mask", "--from", "{work}/bert", "the bird"], r"must hold \[MASK\]"),
    "a text too long for its masks": (
        ["fill-mask", "--from", "{work}/bert", "[MASK]" + " the" * 200],
        "a text must be at most 128 tokens long",
    ),
    "a prompt too long for T5": (
        ["generate", "--from", "{work}/t5", "the " * 8, "--max-length", "8"],
        "a text must be at most 8 tokens long .*got 9",
    ),
    "a mask for GPT": (["fill-mask", "--from", "{work}/gpt", "the [MASK]"], "pretrained BERT"),
    "a word that is none": (
        ["neighbors", "--from", "{work}/cbow", "xyzzy"],
        "'xyzzy' is not in the vocabulary",
    ),
    "generating with BERT": (["generate", "--from", "{work}/bert", "a"], "GPT or a T5"),
    "generating past the positions": (
        ["generate", "--from", "{work}/gpt", "a", "--max-new-tokens", "200"],
        "at most 128 positions",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def faulty(work: Path) -> Path:
    """The same folder, with files that have something wrong."""
    (work / "empty.txt").write_text("\n")
    (work / "short.txt").write_text("One sentence. Another one.\n")
    table(work / "unlabelled.tsv", [("text", "stars"), ("fine", "5"), ("poor", "1")])
    table(work / "typo.tsv", [("text", "label"), ("fine", "good"), ("poor", "bda")])
    table(work / "one-class.tsv", [("text", "label"), ("fine", "good"), ("nice", "good")])
    shutil.copytree(work / "bert", work / "flat")
    description = json.loads((work / "bert" / "config.json").read_text())
    description["config"]["hidden_size"] = 0
    (work / "flat" / "config.json").write_text(json.dumps(description))
    return work


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_error_and_writes_nothing(
    faulty: Path, tmp_path: Path, mistake: str
) -> None:
    command, message = MISTAKES[mistake]
    command = [word.format(work=faulty) for word in command]
    out = tmp_path / "out"
    with pytest.raises((ValueError, OSError), match=message):
        train_nlp.main([*command, "--no-progress", "--out", str(out)])
    assert not out.exists()


def test_exit_status_is_2_with_one_line_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train_nlp.py"), "pretrain", "--text", "nowhere.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "train_nlp.py: error: nowhere.txt: No such file or directory\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "text"],
        ["neighbors", "--from", "x"],
        ["pretrain", "--num-train", "0"],
        ["pretrain", "--num-negatives", "-1"],
        ["translate"],
        ["--quick", "finetune"],
        ["--seeds", "3", "finetune"],
    ],
)
def test_a_wrong_command_line_has_status_2(command: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        train_nlp.main(command)
    assert stopped.value.code == 2


# --------------------------------------------------------------------- seeds and the story


def test_the_seed_decides_the_test_set_of_evaluate(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ("--data", "world:sentiment")
    finetune(work / "bert", "world:sentiment", tmp_path, "--num-train", "16", "--epochs", "1")
    loaded, real = [], train_nlp.load_task

    def spy(*args: object, **options: object) -> object:
        loaded.append(real(*args, **options))
        return loaded[-1]

    monkeypatch.setattr(train_nlp, "load_task", spy)
    for seed in ("0", "1", "1"):
        train_nlp.main(
            ["evaluate", "--from", str(tmp_path), *data, "--num-test", "8", "--seed", seed]
        )
    first, other, again = (task.dataset["input_ids"].tolist() for task in loaded)
    assert first != other == again


@pytest.mark.slow  # the default run has the one that begins with shipped weights
def test_the_story_in_small_prints_its_table_and_leaves_a_page_and_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = replace(
        train_nlp.story_nlp.QUICK, num_documents=2500, word2vec_steps=2, bert_steps=2, gpt_steps=2,
        t5_steps=2, num_labels=16, epochs=1, text_to_text_size=8, text_to_text_epochs=1, num_test=8,
    )  # fmt: skip
    monkeypatch.setattr(train_nlp.story_nlp, "QUICK", tiny)
    train_nlp.main(["--quick", "--out", str(tmp_path), "--no-progress"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in train_nlp.story_nlp.COLUMNS)
    assert re.search(r"entailment +pretrained +\d+ +[\d.]+%", printed)
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    model = minift.load(tmp_path / "pretrained")
    minift.checkpoint.require_tokenizer(model, minift.load_tokenizer(tmp_path / "pretrained"))


def test_the_story_can_begin_with_the_weights_that_come_with_minift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = replace(
        train_nlp.story_nlp.QUICK, num_documents=300, num_labels=16, epochs=1, text_to_text_size=8,
        text_to_text_epochs=1, num_test=8,
    )  # fmt: skip
    monkeypatch.setattr(train_nlp.story_nlp, "QUICK", tiny)
    train_nlp.main(["--quick", "--pretrained", "--out", str(tmp_path), "--no-progress"])
    printed = capsys.readouterr().out
    for method in ("cbow", "masked words", "next sentence", "next token", "spans"):
        row = re.search(rf"{method}, shipped +([\d.]+)%", printed)
        assert row is not None
        assert float(row[1]) > 50
    assert read_description(tmp_path / "pretrained")["lineage"]["parent"] == "bert-mini"


def test_weights_that_come_with_minift_serve_by_their_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", "world:sentiment", "--num-train", "16", "--epochs", "1", "--no-progress"]
    train_nlp.main(["finetune", "--pretrained", "bert-mini", *data, "--out", str(tmp_path)])
    assert read_description(tmp_path)["lineage"]["parent"] == "bert-mini"
    capsys.readouterr()
    for arguments, expected in (
        (["neighbors", "--pretrained", "word2vec", "--analogy", "king", "queen", "prince"],
         "king is to queen as prince is to: princess"),
        (["fill-mask", "--pretrained", "bert-mini", "a sparrow is a [MASK] ."], "mask 1: bird"),
        (["generate", "--pretrained", "gpt-mini", "mara has a"], "mara has a"),
        (["generate", "--from", "gpt-mini", "mara has a"], "mara has a"),
        (["show", "--pretrained", "t5-mini", "--data", "world"], "<extra_id_0>"),
    ):  # fmt: skip
        train_nlp.main(arguments)
        assert expected in capsys.readouterr().out


def test_the_weights_before_a_command_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_nlp.main(["--pretrained", "finetune"])
    assert "--pretrained before a command is for the story" in capsys.readouterr().err
