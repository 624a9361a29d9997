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
from minift.models.gpt import GPT
from minift.models.registry import create_model
from minift.models.t5 import T5
from minift.models.word2vec import Word2Vec, analogy_accuracy, nearest
from minift.objectives.scores import majority_accuracy
from minift.recipes.datasets import (
    classification_dataset,
    encode_documents,
    span_dataset,
    text_to_text_dataset,
)
from minift.recipes.finetuning import FinetuneConfig, finetune, score
from minift.recipes.pretraining import (
    PretrainConfig,
    pretrain_bert,
    pretrain_gpt,
    pretrain_t5,
    pretrain_word2vec,
)
from minift.recipes.report import Report
from minift.stages import Model
from minift.tokenizers import Tokenizer, WordVocab
from minift.training.metrics import rouge_l
from minift.training.precision import Seeds
from minift.transfer import copy_matching

Dataset = dict[str, Tensor]
COLUMNS = ("part", "method", "labels", "score", "chance", "seconds")
MAX_LENGTH = 64  # tokens; every text of the world is shorter


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
    model: Model | None = None  # the pretrained BERT
    tokenizer: Tokenizer | None = None  # its own
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    neighbours: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # what GPT wrote
    answers: list[str] = field(default_factory=list)  # what T5 wrote
    seconds: float = 0.0

    def score(self, part: str, method: str) -> float:
        return next(row.score for row in self.rows if (row.part, row.method) == (part, method))


@dataclass(frozen=True)
class Corpus:
    """The unlabelled text: documents of sentences, and some more that no model trains on."""

    documents: list[list[str]]
    held_out: list[list[str]]

    @property
    def sentences(self) -> list[str]:
        return [sentence for document in self.documents for sentence in document]

    def commonest_share(self, tokenizer: Tokenizer) -> float:
        """How often always saying the commonest word is right, of the held-out words."""
        encoded = encode_documents(tokenizer, self.held_out)
        words = [i for document in encoded for sentence in document for i in sentence]
        return majority_accuracy(torch.tensor(words))


def tell_story(
    settings: StorySettings, out: Path, say: Callable[[str], None] = lambda line: None
) -> Story:
    """Run it all, write `out`/report.html, and return what was found."""
    started = time.perf_counter()
    if settings.precision == "auto":
        # Models this small gain no time from bf16, and lose accuracy when they are fine-tuned.
        settings = replace(settings, precision="fp32")
    story = Story()
    corpus = Corpus(
        world_documents(settings.num_documents, seed=settings.seed),
        world_documents(max(200, settings.num_documents // 20), seed=settings.seed + 1000),
    )
    say(f"The corpus: {len(corpus.documents):,} documents, {len(corpus.sentences):,} sentences")

    _word2vec(story, settings, corpus, say)
    bert = _bert(story, settings, corpus, say)
    _five_tasks(story, settings, bert, say)
    _gpt(story, settings, corpus, say)
    _t5(story, settings, corpus, say)

    story.seconds = time.perf_counter() - started
    write_report(story, settings, out)
    return story


def _word2vec(
    story: Story, settings: StorySettings, corpus: Corpus, say: Callable[[str], None]
) -> None:
    say("1. word2vec: a vector for each word from its neighbours")
    tokenizer = WordVocab.train(corpus.sentences, vocab_size=4096)
    encoded = encode_documents(tokenizer, corpus.documents)
    questions = torch.tensor(
        [[tokenizer.token_to_id(word) for word in words] for words in world_analogies()]
    )
    for algorithm, batch_size in (("cbow", 2048), ("skipgram", 8192)):
        model = _fresh("word2vec", "pretrain", settings.seed, tokenizer)
        assert isinstance(model, Word2Vec)
        config = PretrainConfig(
            num_steps=settings.word2vec_steps,
            batch_size=batch_size,
            lr=0.02,
            weight_decay=0.0,
            **_shared(settings),
        )
        result = pretrain_word2vec(
            model,
            encoded,
            config,
            algorithm=algorithm,
            special_ids=tokenizer.special_ids,
        )
        accuracy = analogy_accuracy(model.vectors, questions)
        # By chance one would name any of the words.
        chance = 1 / tokenizer.vocab_size
        story.rows.append(Row("analogies", algorithm, [accuracy], chance, result.seconds))
        say(f"   {algorithm}: {accuracy:.1%} of {len(questions)} planted analogies")
        for word in ("sparrow", "wonderful", "king"):
            query = tokenizer.token_to_id(word)
            ids, _ = nearest(model.vectors, model.vectors[query], 5, torch.tensor([query]))
            line = f"{algorithm:8} {word}: {' '.join(tokenizer.vocab[i] for i in ids.tolist())}"
            story.neighbours.append(line)
            say(f"   {line}")


def _bert(
    story: Story, settings: StorySettings, corpus: Corpus, say: Callable[[str], None]
) -> Model:
    say("2. BERT: masked words and next sentences")
    tokenizer = WordVocab.train(corpus.sentences, vocab_size=4096)
    bert = _fresh("bert-micro", "pretrain", settings.seed, tokenizer)
    config = PretrainConfig(
        num_steps=settings.bert_steps,
        lr=1.5e-3,
        max_length=MAX_LENGTH,
        max_sentences=2,
        **_shared(settings),
    )
    result = pretrain_bert(
        bert,
        tokenizer,
        encode_documents(tokenizer, corpus.documents),
        config,
        held_out=encode_documents(tokenizer, corpus.held_out),
    )
    for name in ("mlm_accuracy", "nsp_accuracy"):
        story.curves[name] = [
            (float(record["step"]), record["figures"][name]) for record in result.history.records
        ]
    scores, commonest = result.scores, corpus.commonest_share(tokenizer)
    story.rows += [
        Row("BERT", "masked words", [scores["mlm_accuracy"]], commonest, result.seconds),
        Row("BERT", "next sentence", [scores["nsp_accuracy"]], 0.5),
    ]
    say(
        f"   held out: MLM loss {scores['mlm_loss']:.2f}, accuracy {scores['mlm_accuracy']:.1%} "
        f"(always the commonest word: {commonest:.1%}); NSP loss {scores['nsp_loss']:.2f}, "
        f"accuracy {scores['nsp_accuracy']:.1%} (chance 50%); {result.seconds:.0f} s"
    )
    bert.tokenizer_id = tokenizer.fingerprint
    story.model, story.tokenizer = bert, tokenizer
    return bert


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
                model = _fresh("bert-micro", head[0], seed, story.tokenizer, head[1])
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
    tokenizer = WordVocab.train(corpus.sentences, vocab_size=4096, layout="gpt")
    gpt = _fresh("gpt-micro", "lm", settings.seed, tokenizer)
    assert isinstance(gpt, GPT)
    config = PretrainConfig(
        num_steps=settings.gpt_steps,
        batch_size=32,
        max_length=128,
        **_shared(settings),
    )
    result = pretrain_gpt(
        gpt,
        tokenizer,
        encode_documents(tokenizer, corpus.documents),
        config,
        held_out=encode_documents(tokenizer, corpus.held_out),
    )
    accuracy, commonest = result.scores["lm_accuracy"], corpus.commonest_share(tokenizer)
    story.rows.append(Row("GPT", "next token", [accuracy], commonest, result.seconds))
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


T5_TASKS = ("summary", "question", "class")


def _t5(story: Story, settings: StorySettings, corpus: Corpus, say: Callable[[str], None]) -> None:
    say("5. T5: spans, then one model for three tasks")
    # The tasks' own words ("summarize", "positive") are to be in the vocabulary too.
    size = settings.text_to_text_size
    examples = {task: text_to_text(task, size, seed=settings.seed) for task in T5_TASKS}
    wordings = [text for task in T5_TASKS for pair in examples[task] for text in pair]
    tokenizer = WordVocab.train(
        corpus.sentences + wordings, vocab_size=4096, layout="t5", num_sentinels=20
    )
    t5 = _fresh("t5-micro", "lm", settings.seed, tokenizer)
    config = PretrainConfig(
        num_steps=settings.t5_steps,
        lr=1.5e-3,
        max_length=40,
        **_shared(settings),
    )
    result = pretrain_t5(
        t5,
        tokenizer,
        encode_documents(tokenizer, corpus.documents),
        config,
        held_out=encode_documents(tokenizer, corpus.held_out),
    )
    story.rows.append(Row("T5", "spans", [result.scores["span_accuracy"]], None, result.seconds))
    train = text_to_text_tensors(tokenizer, [pair for task in T5_TASKS for pair in examples[task]])
    for name in ("from scratch", "pretrained"):
        model = _fresh("t5-micro", "lm", settings.seed, tokenizer)
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
        for task in T5_TASKS:
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
            + ", ".join(f"{task} {story.score(f'T5 {task}', name):.1%}" for task in T5_TASKS)
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


def _fresh(
    name: str, head: str, seed: int, tokenizer: Tokenizer, num_classes: int | None = None
) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Seeds.from_seed(seed).init)
        return create_model(
            name, head=head, num_classes=num_classes, vocab_size=tokenizer.vocab_size
        )


def write_report(story: Story, settings: StorySettings, out: Path) -> None:
    """Write the page with curves, words and the table."""
    report = Report(
        "Transfer learning on text",
        f"{settings.num_documents:,} documents of an invented world, seed {settings.seed}, "
        f"{settings.num_seeds} fine-tuning seed(s), {story.seconds:.0f} seconds in all",
    )
    report.section(
        "1. Words from their neighbours",
        "The five words whose vectors point most nearly the same way, by CBOW and by skip-gram.",
    )
    report.text_block(story.neighbours)
    report.section(
        "2. BERT's pretraining",
        "Next-sentence prediction stays at chance for a while and then jumps: a healthy run looks "
        "like this, and one stopped too early looks broken.",
    )
    report.lines(story.curves, "steps", "accuracy", baseline={"chance of next sentence": 0.5})
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
    report.section("4. GPT goes on", "The same start, greedily and sampled.")
    report.text_block(story.texts)
    report.section("5. T5: text in, text out", "One model, three tasks, told apart by a word.")
    report.text_block(story.answers)
    report.section("6. All results")
    report.table(COLUMNS, [row.cells() for row in story.rows])
    report.write(out / "report.html")
