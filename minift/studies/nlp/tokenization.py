"""The same pretrained model, fed with another tokenizer's ids.

An id is a row of the embedding and nothing else. Another tokenizer's ids fit in, if they are not
too large, and mean other rows; nothing breaks, and little is understood. minift refuses such a
tokenizer: here the refusal is noted, and then gone around on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from minift.checkpoint import load, load_tokenizer, require_tokenizer
from minift.data.world import world_documents
from minift.objectives.scores import majority_accuracy
from minift.recipes.datasets import encode_documents
from minift.recipes.finetuning import FinetuneConfig, finetune
from minift.recipes.pretraining import PretrainConfig, bert_batch, bert_loss, bert_pairs
from minift.stages import Model
from minift.studies.nlp.labelled import judged, train_and_test
from minift.studies.nlp.pretrained import QUICK_READING, READING, Reading, pretrained
from minift.studies.results import Results, Row
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above
from minift.tokenizers import Tokenizer, WordPiece, WordVocab
from minift.training.loop import evaluate

OWN, WORDS, PIECES, SCRATCH = "own", "of other words", "of pieces", "own, from scratch"
MASKED = "masked words"


@dataclass(frozen=True)
class Settings:
    reading: Reading = READING
    tasks: tuple[str, ...] = ("acceptability", "sentiment")
    num_labels: int = 128
    epochs: int = 20
    num_test: int = 500


QUICK = Settings(QUICK_READING, epochs=12)


def cells(settings: Settings) -> list[Cell]:
    return [{"ids": ids} for ids in (OWN, WORDS, PIECES, SCRATCH)]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    return pretrained(settings.reading, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    seed, own = cell["seed"], load_tokenizer(trunk)
    tokenizer = tokenizer_for(cell["ids"], own, settings.reading, seed)
    model = starting_model(cell["ids"], trunk)
    refusal = refused(model, tokenizer)

    batch = masked_words(tokenizer, settings, seed)
    labels = batch["mlm_labels"][batch["mlm_labels"] != -100]
    accuracy = evaluate(model, [batch], bert_loss)["mlm_accuracy"]
    rows = [{"task": MASKED, "accuracy": accuracy, "majority": majority_accuracy(labels),
             "same_ids": same_ids(tokenizer, own, batch["input_ids"])}]  # fmt: skip
    for task in settings.tasks:
        train, test = train_and_test(tokenizer, task, settings.num_labels, settings.num_test, seed)
        model = starting_model(cell["ids"], trunk)
        model.reset_head("classify", 2)
        config = FinetuneConfig(epochs=settings.epochs, precision="fp32", seed=seed, progress=False)
        finetune(model, train, config)
        rows.append({"task": task, **judged(model, test),
                     "same_ids": same_ids(tokenizer, own, test["input_ids"])})  # fmt: skip
    return [{**row, "refused": float(bool(refusal)), "refusal": refusal} for row in rows]


def tokenizer_for(ids: str, own: Tokenizer, reading: Reading, seed: int) -> Tokenizer:
    """The model's own tokenizer, or another one for the same words with no more tokens."""
    if ids in (OWN, SCRATCH):
        return own
    # Other documents of the same world: words that are about equally common change places.
    documents = world_documents(reading.num_documents, seed=seed + 5000)
    sentences = [sentence for document in documents for sentence in document]
    kind = WordVocab if ids == WORDS else WordPiece
    return kind.train(sentences, vocab_size=own.vocab_size)


def starting_model(ids: str, trunk: Path) -> Model:
    """The pretrained model; from scratch, all of its weights are drawn anew."""
    model = load(trunk)
    if ids == SCRATCH:
        model.trunk.reset_parameters()
        model.reset_head(model.head_name)
    return model


def refused(model: Model, tokenizer: Tokenizer) -> str:
    """What minift says to this tokenizer; "" if it takes it."""
    try:
        require_tokenizer(model, tokenizer)
    except ValueError as error:
        return str(error)
    return ""


def masked_words(tokenizer: Tokenizer, settings: Settings, seed: int) -> dict[str, Tensor]:
    """Words of other documents, masked as in pretraining: no fine-tuning comes between."""
    documents = encode_documents(tokenizer, world_documents(200, seed=seed + 1000))
    generator = torch.Generator().manual_seed(seed)
    config = PretrainConfig(max_sentences=settings.reading.max_sentences)
    pairs = bert_pairs(documents, settings.num_test, config, generator)
    return bert_batch(pairs, tokenizer, config, generator)


def same_ids(tokenizer: Tokenizer, own: Tokenizer, input_ids: Tensor) -> float:
    """The share of the tokens that mean the same in both vocabularies, special ones left out."""
    ids = [i for i in input_ids.flatten().tolist() if i not in own.special_ids]
    return sum(tokenizer.vocab[i] == own.vocab[i] for i in ids) / len(ids)


def judge(results: Results) -> list[Finding]:
    findings = []
    for other in (WORDS, PIECES):
        for task in results.levels("task"):
            lead = results.difference(
                "accuracy", {"task": task, "ids": OWN}, {"task": task, "ids": other}
            )
            findings.append(above(f"own ids, minus ids {other}: {task}", lead))
    return findings


STUDY = Study(
    name="tokenization",
    claim="A pretrained model understands the ids of its own tokenizer only: those of another one, "
    "as large and for the same texts, run without an error and cost accuracy.",
    source="The lecture on BERT in practice: text must be tokenized as in pretraining. Devlin et "
    "al. 2019, BERT, section 3 (WordPiece embeddings: a row of weights for each id, so a model is "
    "of no use without its vocabulary).",
    setup="A BERT reads about an invented world in ids of a vocabulary of whole words. Then it is "
    "given ids of another vocabulary of nearly the same size: that of whole words counted in other "
    "documents of that world, which keeps the commonest words in their places, and that of a "
    "WordPiece tokenizer. minift refuses both by their fingerprints; the study goes around "
    "that.\n\nFirst it fills in masked words of other documents, as in pretraining; most of their "
    "sentences it has read elsewhere. Then it is fine-tuned on tasks with few labels, with the "
    "same ids in training and testing. The control has its own ids and weights drawn anew.",
    rule="The claim is that the model's own ids beat either's at masked words and at every task. "
    "How much of pretraining is left with the wrong ids can be read off against the control from "
    "scratch.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    factors=("task", "ids"),
    figures=(
        Figure("accuracy", "Accuracy", levels=("majority",)),
        Figure("same_ids", "Tokens whose id means the same to the model", is_drawn=False),
        Figure("refused", "Runs in which minift refuses the tokenizer", ".0%", is_drawn=False),
    ),
)
