from __future__ import annotations

import re
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from minift.data.world import world_documents
from minift.data.world_tasks import (
    ACCEPTABILITY,
    ANSWER,
    ENTAILMENT,
    EQUIVALENCE,
    SENTIMENT,
    SPLITS,
    TASK_CLASSES,
    TASKS,
    WHOLE,
    Example,
    text_to_text,
    world_task,
)

TEXT_TASKS = ("summary", "question", "class")
GROUPS = dict(zip(TASKS, (ACCEPTABILITY, SENTIMENT, EQUIVALENCE, ENTAILMENT, ANSWER)))


def words_of(example: Example) -> set[str]:
    return {*example.text.split(), *(example.pair or "").split()}


def vocabulary(examples: list[Example]) -> set[str]:
    return set().union(*map(words_of, examples))


def bag_of_words_accuracy(name: str) -> float:
    """Logistic regression on counts, a weight for each word of each sentence; train to test."""
    splits = {split: world_task(name, 1000, seed=0, split=split) for split in ("train", "test")}
    columns: dict[tuple[int, str], int] = {}
    bags = {}
    for split, examples in splits.items():
        bags[split] = torch.zeros(len(examples), 1000)
        for row, example in enumerate(examples):
            for side, text in enumerate((example.text, example.pair or "")):
                for word in text.split():
                    bags[split][row, columns.setdefault((side, word), len(columns))] += 1
    labels = {s: torch.tensor([float(e.label or 0) for e in splits[s]]) for s in splits}

    weight = torch.zeros(1000, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.05)
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(bags["train"] @ weight, labels["train"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(((bags["test"] @ weight > 0) == labels["test"].bool()).float().mean())


@pytest.mark.parametrize("name", TASKS)
def test_examples_depend_on_seed_and_split_only(name: str) -> None:
    made = {
        (seed, split): world_task(name, 30, seed=seed, split=split)
        for seed in (0, 1)
        for split in SPLITS
    }

    assert made[0, "train"] == world_task(name, 30, seed=0)
    values = list(made.values())
    assert all(one != other for i, one in enumerate(values) for other in values[:i])


@pytest.mark.parametrize("name", TASK_CLASSES)
@pytest.mark.parametrize("split", SPLITS)
def test_classes_are_balanced(name: str, split: str) -> None:
    labels = Counter(example.label for example in world_task(name, 64, seed=0, split=split))

    assert labels == {0: 32, 1: 32}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_each_held_out_example_has_words_that_training_never_has(name: str, split: str) -> None:
    trained = vocabulary(world_task(name, 4000, seed=0, split="train"))

    for example in world_task(name, 500, seed=0, split=split):
        assert words_of(example) - trained, example


@pytest.mark.parametrize("name", TASKS)
def test_the_whole_has_the_words_of_all_splits(name: str) -> None:
    whole, *parts = (
        vocabulary(world_task(name, 4000, seed=0, split=split)) for split in (WHOLE, *SPLITS)
    )
    assert set().union(*parts) <= whole


@pytest.mark.parametrize("name", TASKS)
def test_held_out_templates_never_occur_in_training(name: str) -> None:
    shared, held_out = GROUPS[name]

    def is_of(template: tuple[str, ...], example: Example) -> bool:
        """Whether the example says the first sentence of a template, whatever its words."""
        pattern = re.sub(r"\\{\w+\\}", r"\\S+", re.escape(template[0]))
        return bool(re.fullmatch(pattern, example.text))

    # Those whose first sentences some shared template could say as well cannot be told by them.
    trained = world_task(name, 1000, seed=0, split="train")
    tested = world_task(name, 1000, seed=0, split="test")
    told = [t for t in held_out if not any(is_of(t, Example(other[0])) for other in shared)]
    assert told
    for template in told:
        assert not any(is_of(template, example) for example in trained)
        assert any(is_of(template, example) for example in tested)


def test_documents_know_every_word_of_the_tasks() -> None:
    documents = world_documents(5000, seed=0)
    counts = Counter(word for d in documents for line in d for word in line.split())

    for name in TASKS:
        for split in SPLITS:
            words = vocabulary(world_task(name, 1000, seed=0, split=split))
            assert min(counts[word] for word in words) >= 25


@pytest.mark.parametrize("name", ["equivalence", "entailment"])
def test_counting_words_does_not_solve_the_pair_tasks(name: str) -> None:
    assert bag_of_words_accuracy(name) < 0.6


def test_equivalent_and_different_pairs_overlap_alike() -> None:
    examples = world_task("equivalence", 2000, seed=0, split="test")

    def overlap(label: int) -> float:
        chosen = [example for example in examples if example.label == label]
        shared = [
            len({*example.text.split()} & {*(example.pair or "").split()}) for example in chosen
        ]
        return sum(shared) / len(shared)

    assert overlap(0) == pytest.approx(overlap(1), rel=0.05)


@pytest.mark.parametrize("split", SPLITS)
def test_an_answer_stands_once_in_its_context_where_start_says(split: str) -> None:
    for example in world_task("answer", 3000, seed=0, split=split):
        assert example.pair is not None
        assert example.answer is not None
        assert example.start is not None
        assert example.pair.count(example.answer) == 1
        assert example.pair[example.start :].startswith(example.answer)
        assert 1 <= len(example.answer.split()) <= 3
        assert 2 <= sum(example.pair.count(mark) for mark in (" .", " !")) <= 3


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_text_to_text_sources_name_their_task(name: str) -> None:
    prefixes = {"summary": "summarize : ", "question": "question : ", "class": "classify : "}

    pairs = text_to_text(name, 20, seed=0)

    assert pairs == text_to_text(name, 20, seed=0)
    assert pairs != text_to_text(name, 20, seed=0, split="test")
    assert all(source.startswith(prefixes[name]) and target for source, target in pairs)


def test_a_summary_is_one_sentence_of_words_from_its_document() -> None:
    for source, target in text_to_text("summary", 300, seed=0, split="test"):
        assert target.endswith(" .")
        assert 4 <= source.count(" .") <= 6
        assert {*target.split()} - {*source.split()} <= {"in", "the"}


def test_class_targets_are_balanced_words() -> None:
    targets = Counter(target for _, target in text_to_text("class", 100, seed=0))

    assert targets == {"positive": 50, "negative": 50}


def test_unknown_names_and_splits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"name must be one of acceptability, .*got 'grammar'"):
        world_task("grammar", 4, seed=0)
    with pytest.raises(ValueError, match=r"split must be one of train, .*got 'dev'"):
        world_task("answer", 4, seed=0, split="dev")
    with pytest.raises(ValueError, match=r"name must be one of summary, .*got 'answer'"):
        text_to_text("answer", 4, seed=0)
    with pytest.raises(ValueError, match="num_examples must be 0 or more, got -1"):
        world_task("answer", -1, seed=0)
