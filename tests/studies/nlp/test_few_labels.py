"""The study `few-labels` in small, and its rule on planted numbers."""

from __future__ import annotations

import pytest
import torch

from minift.checkpoint import load_tokenizer
from minift.data.world import world_documents
from minift.recipes.report import Report
from minift.studies.nlp.few_labels import (
    BOTH,
    GENERAL,
    NOTHING,
    QUICK,
    READINGS,
    STUDY,
    TARGET,
    Settings,
    learn_config,
    needs,
    parted,
    run,
    unlabelled,
    without,
)
from minift.studies.nlp.pretrained import Reading
from minift.studies.results import Results, Row
from minift.studies.verdict import NOT_SHOWN, REVERSED, SHOWN, verdict_of

READING = Reading(
    num_documents=100, num_steps=20, batch_size=8, max_sentences=1, head="mlm", lr=1e-2,
    hidden_size=16, num_layers=1,
)  # fmt: skip
SETTINGS = Settings(
    READING, ("sentiment",), num_rows=200, num_test=32, target_steps=250, sizes=(4, 20),
    learn_steps=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """What was read -> a row about the target's words, and one for each number of labels."""
    folder = tmp_path_factory.mktemp("trunk")
    torch.manual_seed(0)
    general = needs(SETTINGS, {"seed": 0})
    general.make(folder, **general.arguments)
    return {cell["read"]: run(SETTINGS, {**cell, "seed": 0}, folder)
            for cell in STUDY.cells(SETTINGS)}  # fmt: skip


def test_every_reading_has_every_figure_at_every_size(rows: dict[str, list[Row]]) -> None:
    assert tuple(rows) == READINGS
    for words, *sizes in rows.values():
        assert words.keys() == {"masked_words"}
        assert [row["num_labels"] for row in sizes] == [4, 20]
        assert all(row.keys() == {"num_labels", "accuracy", "majority"} for row in sizes)


def test_only_who_reads_the_target_fills_in_its_words(rows: dict[str, list[Row]]) -> None:
    found = {read: words["masked_words"] for read, (words, *_) in rows.items()}
    assert found[NOTHING] < 0.05
    assert found[TARGET] > found[NOTHING] + 0.1
    assert found[BOTH] > found[GENERAL] + 0.1


@pytest.mark.parametrize("task", Settings().tasks)
def test_no_text_of_the_test_is_labelled_or_read(task: str) -> None:
    full = Settings()
    test, rest = parted(task, full.num_rows, full.num_test, seed=0)
    texts, others = {row.text for row in test}, {row.text for row in rest}
    assert len(texts) == len(test) == full.num_test
    assert len(rest) > 5 * full.sizes[-1]
    assert not texts & others
    # ... whose words are all there to be read
    assert {word for text in texts for word in text.split()} <= set(" ".join(others).split())


def test_a_place_in_what_is_read_tells_no_label() -> None:
    _, rest = parted("sentiment", 400, 50, seed=0)
    tokenizer = load_tokenizer("bert-mini")
    label_of = {tuple(tokenizer.encode(row.text, special_tokens=False)): row.label for row in rest}
    firsts = [label_of[tuple(document[0])] for document in unlabelled(tokenizer, rest)]
    assert 0.3 < sum(firsts) / len(firsts) < 0.7


def test_labelled_rows_have_both_classes_equally_often() -> None:
    _, rest = parted("sentiment", 400, 50, seed=0)
    assert [row.label for row in rest[:10]] == [0, 1] * 5


def test_general_documents_lose_the_sentences_of_a_test() -> None:
    documents = world_documents(2000, seed=0)
    texts = {row.text for row in parted("acceptability", 4000, 500, seed=0)[0]}
    left = without(texts, documents)
    assert any(text in texts for document in documents for text in document)
    assert not any(text in texts for document in left for text in document)
    assert min(map(len, left)) >= 2


def test_few_labels_get_as_many_steps_as_many_labels() -> None:
    for settings in (QUICK, Settings()):
        for size in settings.sizes:
            made = learn_config(settings, size, seed=0)
            num_steps = made.epochs * max(1, size // made.batch_size)
            assert settings.learn_steps <= num_steps < 1.01 * settings.learn_steps


def planted(few: float, many: float) -> Results:
    """Two leads of reading the target: with 30 and 100 labels, and with 1,000."""
    return Results([
        {"seed": seed, "task": task, "read": read, **row}
        for seed in range(3) for task in ("a", "b") for read in READINGS
        for row in (
            {"masked_words": 0.5},
            *({"num_labels": size, "majority": 0.5, "accuracy":
               0.6 + seed / 100 + (1 + seed / 10) * lead * (read in (TARGET, BOTH))}
              for size, lead in ((30, few), (100, few), (1000, many))),
        )
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("few", "many", "verdict"),
    [(0.2, 0.0, SHOWN), (0.2, 0.3, NOT_SHOWN), (-0.2, 0.0, REVERSED)],
)
def test_the_rule_on_planted_numbers(few: float, many: float, verdict: str) -> None:
    assert verdict_of(STUDY.judge(planted(few, many))) == verdict


def test_the_pictures_have_a_line_for_each_reading() -> None:
    report = Report("few-labels")
    assert STUDY.draw is not None
    STUDY.draw(report, planted(0.2, 0.0))
    assert report.html().count("<polyline") == 2 * len(READINGS)
