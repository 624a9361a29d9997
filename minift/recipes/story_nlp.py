"""The chapter's story for text, from word vectors to one model for several tasks.

1. word2vec by CBOW and by skip-gram: nearest words, and the analogies planted in the world.
2. BERT, pretrained by masked words and next sentences.
3. Five tasks with few labels each: pretrained against scratch, Adam with and without bias
   correction.
4. GPT, pretrained by next tokens, and a text it goes on with.
5. T5, pretrained by spans, and then one model for summaries, questions and classes.

Everything is learnt from an invented world (minift/data/world.py), so nothing is downloaded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from minift.data.world import world_analogies, world_documents
from minift.data.world_tasks import TASKS, text_to_text, world_task
from minift.data.world_words import KINDS
from minift.models.gpt import GPT
from minift.models.t5 import T5
from minift.models.word2vec import Word2Vec, nearest
from minift.objectives.scores import majority_accuracy
from minift.recipes.datasets import (
    classification_dataset,
    span_dataset,
    text_to_text_dataset,
)
from minift.recipes.figures import add_attention, add_step_scale, add_tokens, add_word_map
from minift.recipes.finetuning import FinetuneConfig, finetune, score
from minift.recipes.report import Report
from minift.recipes.story_models import (
    MAX_LENGTH,
    Corpus,
    Learnt,
    fresh,
    learn_world,
    shipped_world,
    world_corpus,
)
from minift.recipes.story_results import write_results
from minift.recipes.text_commands import TEXT_TASKS
from minift.stages import Model
from minift.tokenizers import Tokenizer
from minift.training.metrics import rouge_l
from minift.transfer import copy_matching

Dataset = dict[str, Tensor]
COLUMNS = ("part", "method", "labels", "score", "chance", "seconds")


@dataclass(frozen=True)
class StorySettings:
    num_documents: int = 20_000
    word2vec_steps: int = 800
    bert_steps: int = 3200
    gpt_steps: int = 180
    t5_steps: int = 900
    num_labels: int = 128  # of a task, times its LABEL_FACTOR
    epochs: int = 20  # over these labels
    text_to_text_size: int = 512  # labelled examples of each of T5's three tasks
    text_to_text_epochs: int = 6
    num_test: int = 500
    pretrained: bool = False  # begin with the weights that come with minift
    precision: str = "auto"
    seed: int = 0
    num_seeds: int = 1  # repetitions of each fine-tuning (times REPEATS), other seed, other labels
    progress: bool = True


QUICK = StorySettings(
    num_documents=6_000, word2vec_steps=300, bert_steps=150, gpt_steps=60, t5_steps=60, epochs=6,
    text_to_text_size=96, text_to_text_epochs=2, num_test=200,
)  # fmt: skip


@dataclass
class Row:
    """A line of the story's table."""

    part: str
    method: str
    scores: list[float]
    chance: float | None = None  # what an answer without reading would score
    seconds: float | None = None
    num_labels: int | None = None

    @property
    def score(self) -> float:
        return mean(self.scores)

    def cells(self) -> list[str]:
        spread = f" ± {stdev(self.scores):.1%}" if len(self.scores) > 1 else ""
        return [
            self.part,
            self.method,
            "" if self.num_labels is None else str(self.num_labels),
            f"{self.score:.1%}{spread}",
            "" if self.chance is None else f"{self.chance:.1%}",
            "" if self.seconds is None else f"{self.seconds:.1f}",
        ]


@dataclass
class Story:
    """What the story found; `rows` are its table."""

    rows: list[Row] = field(default_factory=list)
    vectors: Tensor | None = None  # of words, (V, C), by CBOW
    words: Tokenizer | None = None  # whose words these are
    model: Model | None = None  # the pretrained BERT
    tokenizer: Tokenizer | None = None  # its own
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    neighbours: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # what GPT wrote
    answers: list[str] = field(default_factory=list)  # what T5 wrote
    seconds: float = 0.0

    def score(self, part: str, method: str) -> float:
        return next(row.score for row in self.rows if (row.part, row.method) == (part, method))


def tell_story(
    settings: StorySettings, out: Path, say: Callable[[str], None] = lambda line: None
) -> Story:
    """Run it all, write report.html and results.json to `out`, and return what was found."""
    started = time.perf_counter()
    if settings.precision == "auto":
        # Models this small gain no time from bf16, and lose accuracy when they are fine-tuned.
        settings = replace(settings, precision="fp32")
    story = Story()
    corpus = world_corpus(settings.num_documents, settings.seed)
    say(f"The corpus: {len(corpus.documents):,} documents, {len(corpus.sentences):,} sentences")

    _word2vec(story, settings, corpus, say)
    bert = _bert(story, settings, corpus, say)
    _five_tasks(story, settings, bert, say)
    _gpt(story, settings, corpus, say)
    _t5(story, settings, corpus, say)

    story.seconds = time.perf_counter() - started
    write_results(out / "results.json", settings, story.rows, story.seconds)
    write_report(story, settings, out)
    return story


def _learnt(
    settings: StorySettings, name: str, corpus: Corpus, num_steps: int, **options: Any
) -> Learnt:
    """A model of the story: pretrained now, or as it comes with minift."""
    if settings.pretrained:
        return shipped_world(name, corpus.held_out)
    return learn_world(name, corpus, num_steps, **options, **_shared(settings))


def _word2vec(
    story: Story, settings: StorySettings, corpus: Corpus, say: Callable[[str], None]
) -> None:
    say("1. word2vec: a vector for each word from its neighbours")
    # One of the two comes with minift.
    for algorithm in ("cbow",) if settings.pretrained else ("cbow", "skipgram"):
        words = _learnt(settings, "word2vec", corpus, settings.word2vec_steps, algorithm=algorithm)
        model, tokenizer, accuracy = words.model, words.tokenizer, words.scores["analogies"]
        assert isinstance(model, Word2Vec)
        assert tokenizer is not None
        if algorithm == "cbow":
            story.vectors, story.words = model.vectors, tokenizer
        # By chance one would name any of the words.
        chance = 1 / tokenizer.vocab_size
        story.rows.append(
            Row("analogies", _whence(algorithm, words), [accuracy], chance, words.seconds)
        )
        say(f"   {algorithm}: {accuracy:.1%} of {len(world_analogies())} planted analogies")
        for word in ("sparrow", "wonderful", "king"):
            query = tokenizer.token_to_id(word)
            ids, _ = nearest(model.vectors, model.vectors[query], 5, torch.tensor([query]))
            line = f"{algorithm:8} {word}: {' '.join(tokenizer.vocab[i] for i in ids.tolist())}"
            story.neighbours.append(line)
            say(f"   {line}")


def _whence(method: str, learnt: Learnt) -> str:
    """The name of a row about pretraining, which says where the weights are from."""
    return f"{method}, shipped" if learnt.history is None else method


def _bert(
    story: Story, settings: StorySettings, corpus: Corpus, say: Callable[[str], None]
) -> Model:
    say("2. BERT: masked words and next sentences")
    bert = _learnt(settings, "bert-mini", corpus, settings.bert_steps)
    assert bert.tokenizer is not None
    if bert.history is not None:
        for name in ("mlm_accuracy", "nsp_accuracy"):
            story.curves[name] = [
                (float(record["step"]), record["figures"][name]) for record in bert.history.records
            ]
    scores, commonest = bert.scores, corpus.commonest_share(bert.tokenizer)
    masked, follows = _whence("masked words", bert), _whence("next sentence", bert)
    story.rows += [
        Row("BERT", masked, [scores["mlm_accuracy"]], commonest, bert.seconds),
        Row("BERT", follows, [scores["nsp_accuracy"]], 0.5),
    ]
    say(
        f"   held out: MLM loss {scores['mlm_loss']:.2f}, accuracy {scores['mlm_accuracy']:.1%} "
        f"(always the commonest word: {commonest:.1%}); NSP loss {scores['nsp_loss']:.2f}, "
        f"accuracy {scores['nsp_accuracy']:.1%} (chance 50%)"
        + ("" if bert.seconds is None else f"; {bert.seconds:.0f} s")
    )
    story.model, story.tokenizer = bert.model, bert.tokenizer
    return bert.model


# To judge one sentence takes fewer examples than to find a place in it, or to compare two.
LABEL_FACTOR = {
    "acceptability": 1, "sentiment": 1, "equivalence": 2, "entailment": 4, "answer": 2
}  # fmt: skip
# Its score hangs on the seed by some ten points, so that one run says little.
REPEATS = {"entailment": 3}
METHODS: dict[str, dict[str, Any]] = {
    "from scratch": {},
    "pretrained": {},
    "pretrained, no correction": {"bias_correction": False},
}


def _five_tasks(
    story: Story, settings: StorySettings, bert: Model, say: Callable[[str], None]
) -> None:
    say("3. Five tasks with few labels")
    assert story.tokenizer is not None
    for task in TASKS:
        num_labels = settings.num_labels * LABEL_FACTOR[task]
        test = task_dataset(story.tokenizer, task, settings.num_test, seed=1, split="test")
        chance = 1 / MAX_LENGTH**2 if task == "answer" else majority_accuracy(test["labels"])
        seeds = range(settings.seed, settings.seed + settings.num_seeds * REPEATS.get(task, 1))
        for name, changes in METHODS.items():
            row = Row(task, name, [], chance, 0.0, num_labels)
            for seed in seeds:
                train = task_dataset(story.tokenizer, task, num_labels, seed=seed)
                head = ("span", None) if task == "answer" else ("classify", 2)
                model = fresh("bert-mini", head[0], seed, story.tokenizer, head[1])
                if name != "from scratch":
                    copy_matching(model.trunk, bert.trunk.state_dict())
                config = FinetuneConfig(
                    epochs=settings.epochs,
                    precision=settings.precision,
                    seed=seed,
                    progress=settings.progress,
                    **changes,
                )
                tuned = finetune(model, train, config, description=f"{task}, {name}")
                row.scores.append(next(iter(score(model, test, settings.precision).values())))
                row.seconds = (row.seconds or 0.0) + tuned.seconds / len(seeds)
            story.rows.append(row)
        say("   " + ", ".join(f"{row.method} {row.score:.1%}" for row in story.rows[-3:])
            + f" on {task} with {num_labels} labels")  # fmt: skip


def task_dataset(
    tokenizer: Tokenizer, task: str, num_examples: int, *, seed: int, split: str = "train"
) -> Dataset:
    """One of the world's tasks as tensors for BERT."""
    examples = world_task(task, num_examples, seed=seed, split=split)
    texts = [example.text for example in examples]
    pairs = [example.pair or "" for example in examples]
    if task == "answer":
        return span_dataset(
            tokenizer,
            texts,
            pairs,
            [example.answer or "" for example in examples],
            [example.start or 0 for example in examples],
            max_length=MAX_LENGTH,
        )
    labels = [int(example.label or 0) for example in examples]
    return classification_dataset(
        tokenizer, texts, pairs if any(pairs) else None, labels, max_length=MAX_LENGTH
    )


def _gpt(story: Story, settings: StorySettings, corpus: Corpus, say: Callable[[str], None]) -> None:
    say("4. GPT: the next token")
    learnt = _learnt(settings, "gpt-mini", corpus, settings.gpt_steps)
    gpt, tokenizer = learnt.model, learnt.tokenizer
    assert isinstance(gpt, GPT)
    assert tokenizer is not None
    accuracy, commonest = learnt.scores["lm_accuracy"], corpus.commonest_share(tokenizer)
    method = _whence("next token", learnt)
    story.rows.append(Row("GPT", method, [accuracy], commonest, learnt.seconds))
    generator = torch.Generator().manual_seed(settings.seed)
    prompt = "mara has a sparrow ."
    start = torch.tensor([[tokenizer.eos_id, *tokenizer.encode(prompt, special_tokens=False)]])
    for temperature in (0.0, 0.8):
        ids = gpt.generate(
            start,
            max_new_tokens=40,
            temperature=temperature,
            top_p=0.95,
            generator=generator,
            eos_id=tokenizer.eos_id,
        )
        story.texts.append(f"temperature {temperature}: {tokenizer.decode(ids[0].tolist())}")
        say(f"   {story.texts[-1]}")


def _t5(story: Story, settings: StorySettings, corpus: Corpus, say: Callable[[str], None]) -> None:
    say("5. T5: spans, then one model for three tasks")
    size = settings.text_to_text_size
    examples = {task: text_to_text(task, size, seed=settings.seed) for task in TEXT_TASKS}
    learnt = _learnt(settings, "t5-mini", corpus, settings.t5_steps)
    t5, tokenizer = learnt.model, learnt.tokenizer
    assert tokenizer is not None
    accuracy = learnt.scores["span_accuracy"]
    story.rows.append(Row("T5", _whence("spans", learnt), [accuracy], None, learnt.seconds))
    train = text_to_text_tensors(
        tokenizer, [pair for task in TEXT_TASKS for pair in examples[task]]
    )
    for name in ("from scratch", "pretrained"):
        model = fresh("t5-mini", "lm", settings.seed, tokenizer)
        assert isinstance(model, T5)
        if name == "pretrained":
            copy_matching(model, t5.state_dict())
        tuning = FinetuneConfig(
            epochs=settings.text_to_text_epochs,
            batch_size=32,
            lr=3e-4,  # 1e-3 unlearns the words that the labelled examples do not hold
            **_shared(settings),
        )
        tuned = finetune(model, train, tuning, description=f"three tasks, {name}")
        for task in TEXT_TASKS:
            test = text_to_text(task, settings.num_test // 2, seed=1, split="test")
            written = write_answers(model, tokenizer, [source for source, _ in test])
            targets = [tokenizer.decode(tokenizer.encode(target)) for _, target in test]
            exact = mean(float(a == b) for a, b in zip(written, targets))
            chance = 0.5 if task == "class" else None
            story.rows.append(Row(f"T5 {task}", name, [exact], chance, tuned.seconds))
            if task == "summary":
                overlap = rouge_l(written, targets)
                story.rows.append(Row("T5 summary, ROUGE-L", name, [overlap]))
            if name == "pretrained":
                story.answers += [f"{task}: {test[0][0]}", f"  -> {written[0]}"]
        say(
            f"   {name}: "
            + ", ".join(f"{task} {story.score(f'T5 {task}', name):.1%}" for task in TEXT_TASKS)
        )


def text_to_text_tensors(tokenizer: Tokenizer, pairs: list[tuple[str, str]]) -> Dataset:
    return text_to_text_dataset(
        tokenizer, pairs, max_length=MAX_LENGTH, max_target_length=16, start_id=0
    )


def write_answers(model: T5, tokenizer: Tokenizer, sources: list[str]) -> list[str]:
    """What T5 writes, greedily, for each source text."""
    batch = tokenizer(sources, max_length=MAX_LENGTH)
    ids = model.generate(
        batch["input_ids"],
        batch["attention_mask"],
        max_new_tokens=16,
        temperature=0,
        eos_id=tokenizer.eos_id,
    )
    return [tokenizer.decode(row) for row in ids.tolist()]


def _shared(settings: StorySettings) -> dict[str, Any]:
    """What every training of the story has in common."""
    return {name: getattr(settings, name) for name in ("precision", "seed", "progress")}


def write_report(story: Story, settings: StorySettings, out: Path) -> None:
    """Write the page with curves, words and the table."""
    reading = f"{settings.num_documents:,} documents of an invented world"
    if settings.pretrained:
        reading = "with the weights that come with minift"
    report = Report(
        "Transfer learning on text",
        f"{reading}, seed {settings.seed}, {settings.num_seeds} fine-tuning seed(s), "
        f"{story.seconds:.0f} seconds in all",
    )
    assert story.vectors is not None
    assert story.words is not None
    assert story.model is not None
    assert story.tokenizer is not None
    report.section(
        "1. Words from their neighbours",
        "A text becomes tokens; each has a vector, learnt from the tokens around it.",
    )
    sentences = [line for text in world_documents(2000, seed=settings.seed) for line in text]
    add_tokens(report, "the duckling of lena naps unbelievably well .", sentences)
    report.text_block(
        story.neighbours, caption="The five words whose vectors point most nearly the same way."
    )
    kinds = {kind: (kind, *things) for kind, things in KINDS.items()}
    add_word_map(report, story.vectors, story.words, kinds)
    report.section(
        "2. BERT's pretraining",
        "Next-sentence prediction stays at chance for a while and then jumps: a healthy run looks "
        "like this, and one stopped too early looks broken."
        if story.curves
        else "The weights came with minift, so there is no curve to see.",
    )
    if story.curves:
        report.lines(story.curves, "steps", "accuracy", baseline={"chance of next sentence": 0.5})
    sentence = story.tokenizer(["mara has a sparrow , that is , mara has a bird ."])
    add_attention(report, story.model, story.tokenizer, {k: v[0] for k, v in sentence.items()})
    report.section(
        "3. Five tasks, few labels",
        "The test sets hold words and sentence forms that the labelled examples do not. Only the "
        "unlabelled documents told of them.",
    )
    for task in TASKS:
        rows = [row for row in story.rows if row.part == task]
        bars = {row.method: row.score for row in rows}
        report.bars(
            bars, caption=f"{task}, {rows[0].num_labels} labels", chance=rows[0].chance, limit=1.0
        )
    batch_size = FinetuneConfig.batch_size
    add_step_scale(report, settings.epochs * math.ceil(settings.num_labels / batch_size))
    report.section("4. GPT goes on", "The same start, greedily and sampled.")
    report.text_block(story.texts)
    report.section("5. T5: text in, text out", "One model, three tasks, told apart by a word.")
    report.text_block(story.answers)
    report.section("6. All results")
    report.table(COLUMNS, [row.cells() for row in story.rows])
    report.write(out / "report.html")
