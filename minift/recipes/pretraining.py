"""Pretraining: a function per model, each a source of batches and a loss for the one training loop.

    pretrain_resnet     supervised: pictures and their labels
    pretrain_word2vec   guess a word from its neighbours (CBOW), or one of those from it (skip-gram)
    pretrain_bert       fill in masked words, and tell whether a sentence follows
    pretrain_gpt        guess the next token
    pretrain_t5         write out the spans that were cut from a text

But for the first, nobody labels anything: the text itself holds the answers. Every batch is a pure
function of the step number (a generator seeded by it), so that a killed run goes on as if nothing
had happened.

Shapes: B batch, T length, V vocabulary. Documents are lists of sentences of token ids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from minift.data.batches import augment, epoch_batches, num_examples, steps_per_epoch, take
from minift.models.word2vec import Word2Vec
from minift.objectives.causal import lm_blocks, shift_labels, shift_right
from minift.objectives.masking import mask_tokens
from minift.objectives.pairs import Pair, pack_pairs, sentence_pairs
from minift.objectives.scores import mlm_nsp_loss, token_scores
from minift.objectives.spans import corrupt_spans
from minift.objectives.windows import (
    cbow_windows,
    keep_probability,
    noise_distribution,
    skipgram_pairs,
    subsample,
)
from minift.optim import Adam, schedule
from minift.recipes.finetuning import loss_of, resume_settings, score
from minift.recipes.negative_sampling import RunningText, descend
from minift.stages import Model
from minift.tokenizers import Tokenizer
from minift.training.loop import FitConfig, History, LossFn, evaluate, fit
from minift.training.precision import Seeds
from minift.transfer import param_groups

Batch = dict[str, Any]
Documents = list[list[list[int]]]


@dataclass(frozen=True)
class PretrainConfig:
    num_steps: int = 1000
    batch_size: int = 64  # rows a step; for word2vec, predictions
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)  # a shorter memory than 0.999: runs are short here
    weight_decay: float = 0.01
    schedule: str = "linear"
    warmup: float = 0.1  # share of the steps
    clip_norm: float | None = 1.0
    max_length: int = 64  # tokens a row
    max_sentences: int = 3  # of each segment of a BERT pair
    mask_rate: float = 0.15  # share of the tokens that BERT and T5 have to restore
    whole_words: bool = False  # mask all pieces of a word together
    save_every: int | None = None  # steps between two resume files
    precision: str = "auto"
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "max_length", "max_sentences"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0, got {self.lr}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay}")
        if not 0 < self.mask_rate < 1:
            raise ValueError(f"mask_rate must be between 0 and 1, got {self.mask_rate}")
        for name in ("clip_norm", "save_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0 or None, got {value}")


@dataclass
class Pretrained:
    """What pretraining did; the model itself was changed in place."""

    history: History
    scores: dict[str, float] = field(default_factory=dict)  # on held-out data

    @property
    def seconds(self) -> float:
        return self.history.seconds


def pretrain_resnet(
    model: Model,
    train: dict[str, Tensor],
    config: PretrainConfig,
    *,
    held_out: dict[str, Tensor] | None = None,
    resume_path: str | Path | None = None,
) -> Pretrained:
    """Learn to classify pictures, each moved by up to two pixels every time it is seen."""
    order = Seeds.from_seed(config.seed).order
    plain = epoch_batches(train, config.batch_size, seed=order)

    def batches(step: int) -> Batch:
        batch = plain(step)
        return {**batch, "images": augment(batch["images"], _generator(order, step))}

    history = _fit(model, batches, loss_of, config, resume_path, "pretrain resnet", train)
    return Pretrained(history, {} if held_out is None else score(model, held_out, config.precision))


def resnet_steps(train: dict[str, Tensor], batch_size: int, epochs: float) -> int:
    """How many steps so many passes over the pictures are."""
    if not 0 < epochs < math.inf:
        raise ValueError(f"epochs must be above 0 and finite, got {epochs}")
    num_steps = round(epochs * steps_per_epoch(train, min(batch_size, num_examples(train))))
    return max(1, num_steps)


def pretrain_word2vec(
    model: Word2Vec,
    documents: Documents,
    config: PretrainConfig,
    *,
    algorithm: str = "skipgram",
    window: int = 5,
    num_negatives: int | None = None,
    threshold: float = 1e-3,
    special_ids: Iterable[int] = (),
    resume_path: str | Path | None = None,
) -> Pretrained:
    """Learn word vectors by CBOW or skip-gram.

    Parameters
    ----------
    algorithm : "cbow" or "skipgram".
    num_negatives : words drawn for each prediction, to be told from the right one; 5 is usual, at a
        rate of 0.025. None is the full softmax, which small vocabularies can afford.
    threshold : words with a larger share of the corpus than this are partly left out.
    special_ids : ids that are no words (unknown, padding).

    Notes
    -----
    The corpus is gone through in passes; each draws anew which frequent words are left out and how
    far each window reaches. A pass is a pure function of its number, kept until the next.

    The softmax is trained by Adam, on predictions from all over the corpus. Negative sampling has
    plain SGD in fp32, which `betas`, `weight_decay` and `clip_norm` are not for; a batch is running
    text that makes about `batch_size` predictions. Its weights have moved before the loss is looked
    at: one that is not finite is an error as ever, but the weights are lost.
    """
    if algorithm not in ("cbow", "skipgram"):
        raise ValueError(f"algorithm must be 'cbow' or 'skipgram', got {algorithm!r}")
    if num_negatives is not None and num_negatives < 1:
        raise ValueError(f"num_negatives must be at least 1 or None, got {num_negatives}")
    order = Seeds.from_seed(config.seed).order
    lengths = torch.tensor([sum(map(len, document)) for document in documents], dtype=torch.int64)
    every_id = list(chain.from_iterable(chain.from_iterable(documents)))
    ids = torch.tensor(every_id, dtype=torch.int64)
    document_of = torch.repeat_interleave(torch.arange(len(documents)), lengths)
    is_word = ~torch.isin(ids, torch.tensor(sorted(special_ids)))
    ids, document_of = ids[is_word], document_of[is_word]
    if not len(ids):
        raise ValueError("documents hold no words to learn from")
    counts = torch.bincount(ids, minlength=model.config.vocab_size)
    keep_prob = keep_probability(counts, threshold)

    def one_pass(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The words of a pass, and the document that each is from."""
        kept = subsample(ids, keep_prob, generator)
        words, owners = ids[kept], document_of[kept]
        if not (owners[1:] == owners[:-1]).any():
            raise ValueError(
                f"documents leave no neighbours to learn from: of their {len(ids)} words, "
                f"{len(words)} are drawn for a pass, no two of them from one document; give more "
                "text, or raise threshold"
            )
        return words, owners

    def predictions(number: int) -> dict[str, Tensor]:
        generator = _generator(order, number)
        words, owners = one_pass(generator)
        if algorithm == "cbow":
            contexts, mask, targets = cbow_windows(words, window, generator, 0, owners)
            return {"input_ids": contexts, "attention_mask": mask, "labels": targets}
        centers, contexts = skipgram_pairs(words, window, generator, owners)
        mask = torch.ones(len(centers), 1, dtype=torch.bool)
        return {"input_ids": centers[:, None], "attention_mask": mask, "labels": contexts}

    def softmax_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        scored = token_scores(model(batch["input_ids"], batch["attention_mask"]), batch["labels"])
        return scored.loss, {"accuracy": scored.accuracy}

    def descended_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        rows = {name: values for name, values in batch.items() if name != "lr"}
        loss = descend(model, rows, batch["lr"].item())
        # The weights have moved: to `fit` this is a loss that none of them has a part in.
        return loss.requires_grad_(), {}

    batches: Callable[[int], Batch]
    if num_negatives is None:
        batches, loss_fn = _PassBatches(predictions, config.batch_size, order), softmax_loss
    else:
        text = RunningText(
            pass_of=lru_cache(maxsize=1)(lambda number: one_pass(_generator(order, number))),
            generator_of=lambda step: _generator(order + 1, step),
            noise=noise_distribution(counts),
            num_predictions=config.batch_size,
            algorithm=algorithm,
            window=window,
            num_negatives=num_negatives,
        )
        factor = schedule(config.schedule, config.num_steps, config.warmup)
        config = replace(config, precision="fp32")
        rate = torch.tensor(config.lr)
        batches, loss_fn = lambda step: {**text(step), "lr": rate * factor(step)}, descended_loss
    history = _fit(
        model,
        batches,
        loss_fn,
        config,
        resume_path,
        f"pretrain {algorithm}",
        documents,
        algorithm=algorithm,
        window=window,
        num_negatives=num_negatives,
        threshold=threshold,
    )
    return Pretrained(history)


class _PassBatches:
    """Batch number `step` out of passes over a corpus whose lengths differ a little by chance.

    The first pass fixes how many batches a pass has; a later one that is a batch shorter wraps.
    """

    def __init__(
        self, one_pass: Callable[[int], dict[str, Tensor]], batch_size: int, seed: int
    ) -> None:
        self._one_pass, self._batch_size, self._seed = one_pass, batch_size, seed
        self._number, self._pass = 0, self._shuffled(0)
        self.steps_per_pass = max(1, num_examples(self._pass) // batch_size)

    def _shuffled(self, number: int) -> dict[str, Tensor]:
        rows = self._one_pass(number)
        order = torch.randperm(num_examples(rows), generator=_generator(self._seed, number))
        return {name: values[order] for name, values in rows.items()}

    def __call__(self, step: int) -> dict[str, Tensor]:
        number, index = divmod(step, self.steps_per_pass)
        if number != self._number:
            self._number, self._pass = number, self._shuffled(number)
        begin = index * self._batch_size % num_examples(self._pass)
        return take(self._pass, slice(begin, begin + self._batch_size))


def pretrain_bert(
    model: Model,
    tokenizer: Tokenizer,
    documents: Documents,
    config: PretrainConfig,
    *,
    held_out: Documents | None = None,
    resume_path: str | Path | None = None,
) -> Pretrained:
    """Learn to fill in masked words (MLM) and, with head "pretrain", to tell what follows (NSP)."""
    order = Seeds.from_seed(config.seed).order

    @lru_cache(maxsize=1)
    def group(number: int) -> list[Batch]:
        """Some batches drawn together, each of pairs of like length, in random order."""
        generator = _generator(order, number)
        pairs = bert_pairs(documents, SORTED_BATCHES * config.batch_size, config, generator)
        pairs.sort(key=lambda pair: len(pair.first_ids) + len(pair.second_ids))
        begins = torch.randperm(SORTED_BATCHES, generator=generator) * config.batch_size
        return [
            bert_batch(pairs[begin : begin + config.batch_size], tokenizer, config, generator)
            for begin in begins.tolist()
        ]

    def batches(step: int) -> Batch:
        number, place = divmod(step, SORTED_BATCHES)
        return group(number)[place]

    asked = held_out_batches(model, tokenizer, held_out, config)
    history = _fit(model, batches, bert_loss, config, resume_path, "pretrain bert", documents)
    return Pretrained(history, _judge(model, asked, config))


def bert_pairs(
    documents: Documents, num_pairs: int, config: PretrainConfig, generator: torch.Generator
) -> list[Pair]:
    """Draw pairs of segments that fit into a row of BERT's."""
    return sentence_pairs(
        documents,
        num_pairs=num_pairs,
        max_length=config.max_length - 3,  # [CLS] and two [SEP]
        generator=generator,
        max_sentences=config.max_sentences,
    )


def bert_batch(
    pairs: list[Pair], tokenizer: Tokenizer, config: PretrainConfig, generator: torch.Generator
) -> Batch:
    """Pack pairs into rows and mask some of their tokens: what BERT is pretrained on."""
    assert tokenizer.cls_id is not None
    assert tokenizer.sep_id is not None
    assert tokenizer.mask_id is not None
    batch: Batch = pack_pairs(
        pairs, cls_id=tokenizer.cls_id, sep_id=tokenizer.sep_id, pad_id=tokenizer.pad_id
    )
    masked = mask_tokens(
        batch["input_ids"],
        mask_id=tokenizer.mask_id,
        special_ids=sorted(tokenizer.special_ids),
        vocab_size=tokenizer.vocab_size,
        generator=generator,
        mask_rate=config.mask_rate,
        word_starts=_word_starts(tokenizer, batch["input_ids"]) if config.whole_words else None,
    )
    return {**batch, "input_ids": masked.input_ids, "mlm_labels": masked.labels}


def bert_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """MLM, and NSP if the head has it; words are predicted only where one is asked for."""
    assert isinstance(model, Model)
    inputs = (batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    reads, is_asked = reading_positions(batch["mlm_labels"] != -100)  # (B, M) each
    flow = model.trunk(model.prepare(*inputs, reads))
    labels = batch["mlm_labels"].gather(1, reads)[is_asked]  # (number of masked words,)
    logits = model.head(flow, is_asked)
    if model.head_name == "pretrain":
        return mlm_nsp_loss(logits.mlm.float(), labels, logits.nsp.float(), batch["next_labels"])
    mlm = token_scores(logits.float(), labels)
    return mlm.loss, {"mlm_loss": mlm.loss.detach(), "mlm_accuracy": mlm.accuracy}


def reading_positions(selected: Tensor) -> tuple[Tensor, Tensor]:
    """The positions that BERT's head reads: [CLS] first, then the selected ones, row by row.

    selected is (B, T) bool. Returns positions (B, M) int64, where M is 1 + the most in any row, and
    which of them were selected, (B, M) bool: the others fill up the shorter rows.
    """
    most = int(selected.sum(dim=1).max())
    chosen = selected.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    positions = F.pad(chosen, (1, 0))  # [CLS] stands at 0
    return positions, F.pad(selected.gather(1, chosen), (1, 0))


def pretrain_gpt(
    model: Model,
    tokenizer: Tokenizer,
    documents: Documents,
    config: PretrainConfig,
    *,
    held_out: Documents | None = None,
    resume_path: str | Path | None = None,
) -> Pretrained:
    """Learn to guess the next token; documents run on, with an end-of-text token between them."""
    order = Seeds.from_seed(config.seed).order
    blocks = {"input_ids": gpt_blocks(documents, tokenizer, config)}
    batches = epoch_batches(blocks, min(config.batch_size, num_examples(blocks)), seed=order)
    asked = held_out_batches(model, tokenizer, held_out, config)
    history = _fit(model, batches, gpt_loss, config, resume_path, "pretrain gpt", documents)
    return Pretrained(history, _judge(model, asked, config))


def gpt_blocks(documents: Documents, tokenizer: Tokenizer, config: PretrainConfig) -> Tensor:
    """Cut documents that run on, with an end-of-text token before each, into blocks (N, T)."""
    assert tokenizer.eos_id is not None
    stream: list[int] = []
    for document in documents:
        stream += [tokenizer.eos_id, *chain.from_iterable(document)]
    return lm_blocks(stream, min(config.max_length, len(stream)))


def gpt_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of each next token."""
    logits = model(batch["input_ids"])
    lm = token_scores(logits.float(), shift_labels(batch["input_ids"]))
    return lm.loss, {"lm_loss": lm.loss.detach(), "lm_accuracy": lm.accuracy}


def pretrain_t5(
    model: Model,
    tokenizer: Tokenizer,
    documents: Documents,
    config: PretrainConfig,
    *,
    held_out: Documents | None = None,
    resume_path: str | Path | None = None,
) -> Pretrained:
    """Learn to write out the spans that were cut from a text."""
    order, start_id = Seeds.from_seed(config.seed).order, model.config.start_id
    long_enough = _two_tokens_or_more(documents)

    def batches(step: int) -> Batch:
        return t5_batch(long_enough, tokenizer, config, _generator(order, step), start_id)

    asked = held_out_batches(model, tokenizer, held_out, config)
    history = _fit(model, batches, t5_loss, config, resume_path, "pretrain t5", documents)
    return Pretrained(history, _judge(model, asked, config))


def t5_batch(
    documents: Documents,
    tokenizer: Tokenizer,
    config: PretrainConfig,
    generator: torch.Generator,
    start_id: int,
) -> Batch:
    """Draw `batch_size` texts and cut spans from them; each document has two tokens or more."""
    assert tokenizer.eos_id is not None
    inputs, targets = [], []
    for row, begin in torch.rand(config.batch_size, 2, generator=generator).tolist():
        document = documents[int(row * len(documents))]
        # From any sentence on, or a long document would be known by its beginning only.
        sentences = document[int(begin * len(document)) :]
        ids = list(chain.from_iterable(sentences))[: config.max_length - 1]
        if len(ids) < 2:  # the last sentence was too short to cut from
            ids = list(chain.from_iterable(document))[: config.max_length - 1]
        corrupted = corrupt_spans(
            ids,
            sentinel_ids=tokenizer.sentinel_ids,
            eos_id=tokenizer.eos_id,
            generator=generator,
            noise_rate=config.mask_rate,
        )
        inputs.append(torch.tensor(corrupted.inputs))
        targets.append(torch.tensor(corrupted.targets))
    input_ids = pad_sequence(inputs, batch_first=True, padding_value=tokenizer.pad_id)
    lengths = torch.tensor([[len(row)] for row in inputs])
    labels = pad_sequence(targets, batch_first=True, padding_value=-100)
    return {
        "input_ids": input_ids,
        "attention_mask": torch.arange(input_ids.shape[1]) < lengths,
        "decoder_input_ids": shift_right(labels, start_id),
        "labels": labels,
    }


def _two_tokens_or_more(documents: Documents) -> Documents:
    """The documents that have a token to keep and one to cut."""
    long_enough = [document for document in documents if sum(map(len, document)) >= 2]
    if not long_enough:
        raise ValueError("documents hold no text of two tokens or more")
    return long_enough


def t5_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of each token of the targets."""
    inputs = (batch["input_ids"], batch["attention_mask"], batch["decoder_input_ids"])
    spans = token_scores(model(*inputs).float(), batch["labels"])
    return spans.loss, {"span_loss": spans.loss.detach(), "span_accuracy": spans.accuracy}


# Batches of BERT pairs that are drawn together and then parted by length: with each batch padded to
# its longest pair, 40% of a batch would else be padding.
SORTED_BATCHES = 8
NUM_HELD_OUT = 8  # batches of held-out text that a pretrained model is judged on


def _fit(
    model: Model,
    batches: Callable[[int], Batch],
    loss_fn: LossFn,
    config: PretrainConfig,
    resume_path: str | Path | None,
    description: str,
    data: Any,
    **options: Any,
) -> History:
    """Train by `fit`; `data` and the recipe's other `options` are what a resumed run must share."""
    settings = None
    if resume_path is not None:
        settings = {**resume_settings(model, config, data=data), **options}
    groups = param_groups(model, config.lr, weight_decay=config.weight_decay)
    return fit(
        model,
        batches,
        loss_fn,
        Adam(groups, betas=config.betas),
        FitConfig(
            num_steps=config.num_steps,
            clip_norm=config.clip_norm,
            save_every=config.save_every,
            precision=config.precision,
            dropout_seed=Seeds.from_seed(config.seed).dropout,
            progress=config.progress,
        ),
        schedule=schedule(config.schedule, config.num_steps, config.warmup),
        resume_path=resume_path,
        settings=settings,
        description=description,
    )


LOSSES: dict[str, LossFn] = {"bert": bert_loss, "gpt": gpt_loss, "t5": t5_loss}


def judge(
    model: Model, tokenizer: Tokenizer, held_out: Documents, config: PretrainConfig
) -> dict[str, float]:
    """What pretraining says at its end of a BERT, GPT or T5, for one that is pretrained already.

    `config` must have the sizes of that pretraining (batch_size, max_length, ...): another one asks
    for other words.
    """
    return _judge(model, held_out_batches(model, tokenizer, held_out, config), config)


def held_out_batches(
    model: Model, tokenizer: Tokenizer, documents: Documents | None, config: PretrainConfig
) -> list[Batch]:
    """The batches to judge a BERT, GPT or T5 on, the same in all runs; none of no documents.

    They are made before the training, which would be lost if they could not be made.
    """
    if documents is None:
        return []
    if model.family == "gpt":
        rows = gpt_blocks(documents, tokenizer, config)[: NUM_HELD_OUT * config.batch_size]
        return [{"input_ids": part} for part in rows.split(config.batch_size)]
    if model.family == "t5":
        documents, start_id = _two_tokens_or_more(documents), model.config.start_id
        return [
            t5_batch(documents, tokenizer, config, _generator(-1, number), start_id)
            for number in range(NUM_HELD_OUT)
        ]
    batches, generator = [], _generator(-1, 0)
    for _ in range(NUM_HELD_OUT):
        pairs = bert_pairs(documents, config.batch_size, config, generator)
        batches.append(bert_batch(pairs, tokenizer, config, generator))
    return batches


def _judge(model: Model, asked: list[Batch], config: PretrainConfig) -> dict[str, float]:
    """The figures over all words that are asked for in held-out batches; "loss" is their sum."""
    if not asked:
        return {}
    loss_fn = LOSSES[model.family]
    scores = evaluate(model, asked, loss_fn, config.precision, _num_words_asked)
    return {**scores, "loss": sum(v for name, v in scores.items() if name.endswith("_loss"))}


def _num_words_asked(batch: Batch) -> dict[str, int]:
    """How many labels each figure is a mean over, where rows do not have equally many."""
    if "mlm_labels" in batch:
        num_words = int((batch["mlm_labels"] != -100).sum())
        return {"mlm_loss": num_words, "mlm_accuracy": num_words}
    if "labels" in batch:
        num_words = int((batch["labels"] != -100).sum())
        return {"span_loss": num_words, "span_accuracy": num_words}
    return {}  # GPT's rows are all full


def _generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step; a seed of -1 is the held-out data's, the same in all runs."""
    state = np.random.SeedSequence((seed + 1, step)).generate_state(1)[0]
    return torch.Generator().manual_seed(int(state))


def _word_starts(tokenizer: Tokenizer, input_ids: Tensor) -> Tensor | None:
    """(B, T) bool, True where a token begins a word; None if the tokenizer's tokens are words."""
    starts = getattr(tokenizer, "word_starts", None)
    return None if starts is None else torch.tensor([starts(row) for row in input_ids.tolist()])
