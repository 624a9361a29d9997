"""The five models of the stories: how each is pretrained, and what it then knows.

minift comes with what these are at seed 0 (recipes/shipped.py), so that a story can begin with
either: `learn_...` trains, `shipped_...` takes the weights that are there.

    resnet-tiny                               pictures of ten shapes and their labels
    word2vec, bert-mini, gpt-mini, t5-mini    documents of the invented world
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from minift.checkpoint import load, load_tokenizer
from minift.data.shapes import SHAPES_CLASSES, shapes
from minift.data.world import world_analogies, world_documents
from minift.data.world_tasks import text_to_text
from minift.models.registry import PRESETS, create_model
from minift.models.word2vec import Word2Vec, analogy_accuracy
from minift.objectives.scores import majority_accuracy
from minift.recipes.datasets import encode_documents
from minift.recipes.finetuning import score
from minift.recipes.pretraining import PretrainConfig, judge, pretrain_resnet, resnet_steps
from minift.recipes.text_commands import FAMILIES, TEXT_TASKS, pretrain_text
from minift.shipped import shipped_folder
from minift.stages import Model
from minift.tokenizers import Tokenizer, WordVocab
from minift.training.loop import History
from minift.training.precision import Seeds

MAX_LENGTH = 64  # tokens; every text of the world is shorter
SETTINGS: dict[str, PretrainConfig] = {
    "resnet": PretrainConfig(
        batch_size=128, lr=4e-3, schedule="one_cycle", warmup=0.3, betas=(0.9, 0.999)
    ),
    "word2vec": PretrainConfig(batch_size=2048, lr=0.02, weight_decay=0.0),
    "bert": PretrainConfig(lr=1.5e-3, max_length=MAX_LENGTH, max_sentences=2),
    "gpt": PretrainConfig(batch_size=32, max_length=128),
    "t5": PretrainConfig(lr=1.5e-3, max_length=40),
}


@dataclass
class Learnt:
    """A pretrained model with the tokenizer that it reads by (of pictures: None)."""

    model: Model
    tokenizer: Tokenizer | None
    scores: dict[str, float]  # on data that it was not trained on
    history: History | None = None  # None: the weights came with minift

    @property
    def seconds(self) -> float | None:
        return None if self.history is None else self.history.seconds


def learn_shapes(
    name: str,
    num_pictures: int,
    epochs: float,
    test: dict[str, Tensor],
    *,
    seed: int,
    precision: str,
    progress: bool,
) -> Learnt:
    """Train a ResNet on pictures of the ten source shapes; `test` are others of them."""
    source = shapes("source", num_pictures, seed=2 * seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create_model(name, num_classes=len(SHAPES_CLASSES["source"]))
    config = replace(
        SETTINGS["resnet"],
        num_steps=resnet_steps(source, SETTINGS["resnet"].batch_size, epochs),
        seed=seed,
        precision=precision,
        progress=progress,
    )
    result = pretrain_resnet(model, source, config, held_out=test)
    return Learnt(model, None, result.scores, result.history)


def shipped_shapes(name: str, test: dict[str, Tensor]) -> Learnt:
    """The same of the weights that come with minift."""
    model = load(shipped_folder(name))
    return Learnt(model, None, score(model, test))


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


def world_corpus(num_documents: int, seed: int) -> Corpus:
    """So many documents of the world, and a twentieth of that (200 at least) to judge by."""
    return Corpus(
        world_documents(num_documents, seed=seed),
        world_documents(max(200, num_documents // 20), seed=seed + 1000),
    )


def learn_world(
    name: str,
    corpus: Corpus,
    num_steps: int,
    *,
    seed: int,
    precision: str,
    progress: bool,
    algorithm: str = "cbow",
) -> Learnt:
    """Train a model of text on the world's documents, with the list of their words.

    Parameters
    ----------
    name : "word2vec", "bert-mini", "gpt-mini" or "t5-mini".
    algorithm : word2vec's, "cbow" or "skipgram".
    """
    family = PRESETS[name][0]
    texts = corpus.sentences
    if family == "t5":  # is to know the words of its later tasks ("summarize", "positive") too
        pairs = [pair for task in TEXT_TASKS for pair in text_to_text(task, 512, seed=seed)]
        texts += [text for pair in pairs for text in pair]
    tokenizer = WordVocab.train(
        texts,
        vocab_size=4096,
        layout=family if family in ("gpt", "t5") else "bert",
        num_sentinels=20 if family == "t5" else 0,
    )
    model = fresh(name, FAMILIES[family].head, seed, tokenizer)
    config = replace(
        SETTINGS[family], num_steps=num_steps, seed=seed, precision=precision, progress=progress
    )
    if algorithm == "skipgram":  # a word is several predictions
        config = replace(config, batch_size=4 * config.batch_size)
    documents = corpus.documents, corpus.held_out
    result = pretrain_text(model, tokenizer, *documents, config, algorithm=algorithm)
    model.tokenizer_id = tokenizer.fingerprint
    if family == "word2vec":
        result.scores = world_scores(model, tokenizer, corpus.held_out)
    return Learnt(model, tokenizer, result.scores, result.history)


def shipped_world(name: str, held_out: list[list[str]]) -> Learnt:
    """The same of the weights that come with minift."""
    folder = shipped_folder(name)
    model, tokenizer = load(folder), load_tokenizer(folder)
    return Learnt(model, tokenizer, world_scores(model, tokenizer, held_out))


def world_scores(model: Model, tokenizer: Tokenizer, held_out: list[list[str]]) -> dict[str, float]:
    """What a model knows of the world: the share of right words, or of planted analogies."""
    if isinstance(model, Word2Vec):
        questions = [[tokenizer.token_to_id(word) for word in row] for row in world_analogies()]
        return {"analogies": analogy_accuracy(model.vectors, torch.tensor(questions))}
    config = replace(SETTINGS[model.family], precision="fp32")
    return judge(model, tokenizer, encode_documents(tokenizer, held_out), config)


def fresh(
    name: str, head: str, seed: int, tokenizer: Tokenizer, num_classes: int | None = None
) -> Model:
    """A model of text with fresh weights, drawn by `seed`, and as many words as the tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Seeds.from_seed(seed).init)
        return create_model(
            name, head=head, num_classes=num_classes, vocab_size=tokenizer.vocab_size
        )
