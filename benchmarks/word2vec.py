"""word2vec: 5 passes over about a million words, vectors of 100, window 5, 5 negatives.

Vectors are only worth their time if they are as good: so the figure is how well their cosines agree
with what people say of 353 pairs of words (Spearman's correlation; with --data-dir, which has the
pairs). Each round begins with another seed, and so shows the spread over seeds as well.

gensim runs its workers as threads; ours computes with as many threads in each product.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path

import numpy as np
import torch

from benchmarks.runner import Row, Settings, Side, Work, Workload
from benchmarks.texts import read_words, write_lines
from minift.models.word2vec import Word2Vec, Word2VecConfig
from minift.objectives.windows import keep_probability
from minift.recipes.pretraining import PretrainConfig, pretrain_word2vec
from minift.training.metrics import spearman

C, WINDOW, MIN_COUNT, THRESHOLD = 100, 5, 5, 1e-3
NUM_NEGATIVES = 5


@dataclass(frozen=True)
class Algorithm:
    reach: float  # the ratio that is aimed at
    lr: float  # ours; gensim's own is 0.025 for both
    batch_size: int  # predictions, of about as many words
    per_word: float  # predictions that begin from a word


ALGORITHMS = {
    # A radius of 1 to 5, on both sides.
    "skipgram": Algorithm(reach=1.0, lr=0.025, batch_size=24_576, per_word=WINDOW + 1),
    "cbow": Algorithm(reach=0.5, lr=0.05, batch_size=4096, per_word=1),
}


def prepare(settings: Settings) -> None:
    write_lines(settings, settings.size(100_000_000, 200_000))


def num_epochs(settings: Settings) -> int:
    return settings.size(5, 1)


def agreement(settings: Settings, ids: dict[str, int], vectors: np.ndarray) -> float | None:
    """Spearman's correlation with WordSim-353, over the pairs of which both words are known."""
    if settings.data_dir is None:
        return None
    path = Path(settings.data_dir) / "word-similarity" / "wordsim353.tsv"
    lines = path.read_text(encoding="utf-8").lower().splitlines()
    pairs = [line.split("\t") for line in lines if not line.startswith("#")]
    known = [(ids[a], ids[b], float(score)) for a, b, score in pairs if a in ids and b in ids]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return spearman([unit[a] @ unit[b] for a, b, _ in known], [score for *_, score in known])


def facts(settings: Settings, words: list[list[str]], num_known: int) -> dict[str, float]:
    return {"words": num_epochs(settings) * sum(map(len, words)), "vocabulary": num_known}


def ours(settings: Settings, algorithm: str) -> Work:
    rows = read_words(settings)
    counts = Counter(chain.from_iterable(rows)).most_common()
    ids = {word: number for number, (word, n) in enumerate(counts) if n >= MIN_COUNT}
    documents = [[[ids[word] for word in row if word in ids]] for row in rows]
    each = torch.tensor([n for _, n in counts[: len(ids)]])
    kept = float((each * keep_probability(each, THRESHOLD)).sum())
    own = ALGORITHMS[algorithm]
    num_steps = round(num_epochs(settings) * kept * own.per_word / own.batch_size)
    seeds = count()

    def run() -> float | None:
        seed = next(seeds)
        torch.manual_seed(seed)
        model = Word2Vec(Word2VecConfig(vocab_size=len(ids), hidden_size=C, pad_id=len(ids)))
        config = PretrainConfig(
            num_steps=num_steps,
            batch_size=own.batch_size,
            lr=own.lr,
            warmup=0.0,
            weight_decay=0.0,
            clip_norm=None,
            precision="fp32",
            seed=seed,
            progress=False,
        )
        pretrain_word2vec(
            model,
            documents,
            config,
            algorithm=algorithm,
            window=WINDOW,
            num_negatives=NUM_NEGATIVES,
            threshold=THRESHOLD,
        )
        return agreement(settings, ids, model.vectors.numpy())

    return Work(run, facts(settings, rows, len(ids)), num_steps)


def theirs(settings: Settings, algorithm: str) -> Work:
    from gensim.models import Word2Vec as Gensim

    rows = read_words(settings)
    model = Gensim(
        vector_size=C,
        window=WINDOW,
        negative=NUM_NEGATIVES,
        min_count=MIN_COUNT,
        sample=THRESHOLD,
        sg=int(algorithm == "skipgram"),
        workers=settings.threads,
    )
    model.build_vocab(rows)
    seeds = count(1)

    def run() -> float | None:
        model.seed = next(seeds)
        model.wv.vectors = None  # or init_weights would keep those of the round before
        model.init_weights()
        model.train(rows, total_examples=len(rows), epochs=num_epochs(settings))
        return agreement(settings, model.wv.key_to_index, model.wv.vectors)

    return Work(run, facts(settings, rows, len(model.wv)))


WORKLOAD = Workload(
    prepare=prepare,
    is_exact=False,
    sides={
        f"{name}, {algorithm}": Side(partial(build, algorithm=algorithm), needs)
        for algorithm in ALGORITHMS
        for name, build, needs in (("minift", ours, ()), ("gensim", theirs, ("gensim",)))
    },
    rows=[
        Row(f"word2vec, {algorithm}", f"minift, {algorithm}", f"gensim, {algorithm}", own.reach)
        for algorithm, own in ALGORITHMS.items()
    ],
)
