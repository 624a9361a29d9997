"""The study `prompts` in small, and its rule on planted numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minift.checkpoint import load, load_tokenizer
from minift.data.world_tasks import Example, world_task
from minift.recipes.finetuning import finetune
from minift.stages import Model
from minift.studies.nlp.prompts import (
    FILLINGS,
    GPT,
    STUDY,
    T5,
    Prompt,
    Settings,
    config,
    filled_rows,
    gap,
    judged,
    log_likelihoods,
    prompt,
    run,
    unread,
)
from minift.studies.nlp.self_supervised import Budget
from minift.studies.results import Results
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of
from minift.tokenizers import Tokenizer

BUDGET = Budget(num_documents=100, num_steps=2, hidden_size=16, num_layers=1)
SETTINGS = Settings(
    BUDGET, BUDGET, num_shown=(0, 2), sizes=(2, 32), steps=60, num_test=24
)  # fmt: skip
OPINION = Example("the soup was awful .", label=0)
PAIR = Example("tom saw a pike .", "tom saw a fish .", label=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model -> where its pretrained weights are."""
    found = {}
    for model in (GPT, T5):
        found[model] = tmp_path_factory.mktemp(model)
        torch.manual_seed(0)
        assert STUDY.needs is not None
        needed = STUDY.needs(SETTINGS, {"model": model, "task": "sentiment", "seed": 0})
        needed.make(found[model], **needed.arguments)
    return found


def test_prompts_are_written_as_the_documents_are() -> None:
    assert gap(OPINION).filled("bad") == "the soup was awful , so it was bad ."
    assert gap(PAIR).filled("that is") == "tom saw a pike , that is , tom saw a fish ."


def test_examples_stand_before_with_their_gaps_filled() -> None:
    lovely = Example("what a lovely cake !", label=1)
    assert prompt("sentiment", OPINION, [lovely]) == Prompt(
        "what a lovely cake , so it was good . the soup was awful , so it was", "."
    )


def test_what_stands_in_a_document_is_not_asked() -> None:
    other = Example("tom saw a pike .", "tom saw a tool .", label=0)
    documents = [["tom slept .", "tom saw a pike , that is , tom saw a fish ."]]
    assert unread("entailment", [PAIR, other], documents) == [other]


def test_what_a_longer_sentence_begins_with_is_not_asked() -> None:
    told, other = Example("the film was fine .", label=1), Example("the film was dull .", label=0)
    documents = [["the film was fine , so it was good and fun .", "the film was dull ."]]
    assert unread("sentiment", [told, other], documents) == [other]


def parts(folder: Path) -> tuple[Model, Tokenizer]:
    return load(folder), load_tokenizer(folder)


def test_all_words_of_prompts_are_known(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        tokenizer = load_tokenizer(folder)
        for task, fillings in FILLINGS.items():
            for example in world_task(task, 100, seed=0, split="test"):
                for words in fillings:
                    ids = tokenizer.encode(gap(example).filled(words), special_tokens=False)
                    assert tokenizer.unk_id not in ids


def spelt(tokenizer: Tokenizer, row: Tensor) -> str:
    return " ".join(tokenizer.vocab[i] for i in row.tolist() if i >= 0)


def test_gpt_is_asked_for_the_filling_and_what_stands_after_it(folders: dict[str, Path]) -> None:
    model, tokenizer = parts(folders[GPT])
    short = Prompt("the soup was awful , so it was", ".")
    rows = filled_rows(model, tokenizer, [gap(PAIR), short], ["that is", "bad"])
    labels = rows["labels"]
    assert spelt(tokenizer, labels[0]) == "that is , tom saw a fish ."
    assert spelt(tokenizer, labels[1]) == "bad ."
    asked = (labels[:, :-1] >= 0).nonzero(as_tuple=True)
    assert torch.equal(labels[:, :-1][asked], rows["input_ids"][:, 1:][asked])  # the next token


def test_t5_reads_the_gap_as_a_sentinel_and_writes_the_filling(folders: dict[str, Path]) -> None:
    model, tokenizer = parts(folders[T5])
    rows = filled_rows(model, tokenizer, [gap(PAIR)], ["that is"])
    assert spelt(tokenizer, rows["input_ids"][0]).startswith(
        "tom saw a pike , <extra_id_0> , tom saw a fish . <extra_id_1>"
    )
    assert spelt(tokenizer, rows["labels"][0]) == "<extra_id_0> that is"


def test_likelihoods_do_not_hang_on_the_padding(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        model, tokenizer = parts(folder)
        together = filled_rows(model, tokenizer, [gap(OPINION), gap(PAIR)], ["bad", "but not"])
        alone = filled_rows(model, tokenizer, [gap(OPINION)], ["bad"])
        found = log_likelihoods(model, together)[0], log_likelihoods(model, alone)[0]
        torch.testing.assert_close(*found)
        assert found[0] < 0


@pytest.mark.parametrize("family", [GPT, T5])
def test_training_fills_the_gaps_of_its_own_examples(folders: dict[str, Path], family: str) -> None:
    model, tokenizer = parts(folders[family])
    examples = world_task("sentiment", 8, seed=0)
    gaps = [gap(each) for each in examples]
    train = filled_rows(
        model, tokenizer, gaps, [FILLINGS["sentiment"][e.label or 0] for e in examples]
    )
    finetune(model, train, replace(config(SETTINGS, model.family, 8, seed=0), lr=1e-2))
    assert judged(model, tokenizer, "sentiment", examples, gaps) == {
        "accuracy": 1.0, "majority": 0.5
    }  # fmt: skip


@pytest.mark.parametrize("family", [GPT, T5])
def test_every_way_of_asking_has_every_figure(folders: dict[str, Path], family: str) -> None:
    rows = run(SETTINGS, {"model": family, "task": "entailment", "seed": 0}, folders[family])
    assert [row["way"] for row in rows] == [
        "prompt with 0", "prompt with 2", "trained on 2", "trained on 32"
    ]  # fmt: skip
    assert all(row.keys() == {"way", "accuracy", "majority"} for row in rows)


def planted(lead: float, gain: float) -> Results:
    """Leads of the prompt over chance, and of eight examples over none."""
    return Results([
        {"seed": seed, "model": model, "task": task, "way": f"prompt with {number}",
         "majority": 0.5, "accuracy": 0.5 + (1 + seed / 10) * (lead + gain * (number == 8))}
        for seed in range(3) for model in (GPT, T5) for task in FILLINGS for number in (0, 1, 8)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("lead", "gain", "verdict"),
    [(0.3, 0.1, SHOWN), (0.3, -0.1, NOT_SHOWN), (-0.1, -0.1, REVERSED)],
)
def test_the_rule_on_planted_numbers(lead: float, gain: float, verdict: str) -> None:
    assert verdict_of(STUDY.judge(planted(lead, gain))) == verdict
