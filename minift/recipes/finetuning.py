"""Fine-tuning: one function for all five models and every head.

The order matters, and is the lecture's: put a fresh head on the pretrained trunk, re-initialise the
top stages if asked, freeze the bottom, choose what trains above it (all, LoRA, biases), and only
then build the optimizer from what still trains.
The bare minimum, in the words of this package:

    model.reset_head("classify", num_classes=3)
    minift.transfer.freeze(model, 2)
    optimizer = minift.optim.Adam(minift.transfer.param_groups(model, lr=1e-3))

Howard & Ruder 2018 (gradual unfreezing, discriminative rates), Li et al. 2018 (L2-SP), Mosbach et
al. 2021 (bias correction, more epochs), Zhang et al. 2021 (re-initialised top), Hu et al. 2022
(LoRA), Ben Zaken et al. 2022 (biases only).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minift.data.batches import epoch_batches, num_examples, steps_per_epoch, take, trim_padding
from minift.optim import Adam, schedule
from minift.recipes.heads import JUDGED
from minift.stages import Model
from minift.training.loop import FitConfig, History, fingerprint, fit
from minift.training.precision import Seeds, autocast, resolve_precision
from minift.transfer import (
    L2SP,
    add_lora,
    cache_trunk,
    freeze,
    merge_lora,
    param_groups,
    reinit_top,
    train_biases_only,
    trainable_share,
    unfreeze_gradually,
)

Dataset = dict[str, Tensor]


@dataclass(frozen=True)
class FinetuneConfig:
    epochs: int = 12  # passes over the training data
    batch_size: int = 16
    lr: float = 5e-4  # the head's and the top stage's peak rate
    head_lr: float | None = None  # None: lr
    layer_decay: float = 1.0  # each stage's rate is this times that of the stage above
    weight_decay: float = 0.01  # off with l2sp, which takes its place
    schedule: str = "linear"
    warmup: float = 0.1  # share of the steps
    num_frozen: int = 0  # lowest stages that stay as they are; feature extraction freezes all
    num_reinit: int = 0  # top stages that start anew
    unfreeze_every: int | None = None  # epochs until one more thaws, from the top to num_frozen
    lora_rank: int | None = None  # LoRA: train an update of this rank beside each layer
    bias_only: bool = False  # BitFit: train the trunk's biases alone; 10 times lr, as for LoRA
    l2sp: float = 0.0  # strength of the pull back to the pretrained weights
    bias_correction: bool = True  # Adam's; the original BERT code left it out
    clip_norm: float | None = 1.0
    accumulate: int = 1  # batches a step
    cache: bool = True  # run the frozen stages once, not once an epoch
    validate_every: int | None = None  # epochs; needs a validation set. None: the last weights
    patience: int | None = None  # validations without a gain before stopping
    save_every: int | None = None  # steps between two resume files
    precision: str = "auto"
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("unfreeze_every", "lora_rank", "validate_every", "patience", "save_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 or None, got {value}")
        for name in ("num_frozen", "num_reinit", "weight_decay", "l2sp"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("lr", "head_lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        if self.patience is not None and self.validate_every is None:
            raise ValueError(
                f"patience counts validations and needs validate_every, got patience "
                f"{self.patience} and validate_every None"
            )
        few = [name for name in ("lora_rank", "bias_only") if getattr(self, name)]
        # A stage that thaws or starts anew is trained whole.
        whole = [name for name in ("unfreeze_every", "num_reinit") if getattr(self, name)]
        for other in [*few[1:], *whole] if few else []:
            raise ValueError(
                f"{few[0]} and {other} exclude each other, got {getattr(self, few[0])} and "
                f"{getattr(self, other)}"
            )
        if self.l2sp and self.num_reinit:
            raise ValueError(
                "l2sp and num_reinit exclude each other, for what starts anew has no pretrained "
                f"weights to be pulled to, got {self.l2sp} and {self.num_reinit}"
            )


@dataclass
class Finetuned:
    """What fine-tuning did; the model itself was changed in place."""

    history: History
    trainable: float  # share of the weights that were trained
    seconds: float  # of training, with validation and caching; of a resumed run, all its parts
    scores: dict[str, float] = field(default_factory=dict)  # on the validation set


def finetune(
    model: Model,
    train: Dataset,
    config: FinetuneConfig,
    *,
    validation: Dataset | None = None,
    resume_path: str | Path | None = None,
    description: str = "finetune",
) -> Finetuned:
    """Fine-tune `model`, which has the head it is to have, on the rows of `train`.

    With `l2sp` there is no weight decay: the penalty covers all that trains, and takes its place.
    With `lora_rank` the updates are merged at the end, and the model is a plain one; if the run is
    broken off, that is left to `merge_lora`.

    Parameters
    ----------
    train : tensors by name: the model's inputs and what its head is trained on (`labels`, `masks`
        or `boxes`); see `recipes.heads`.
    validation : the same; with `validate_every` the weights that do best on it are kept.
    resume_path : as for `fit`. A resumed run must have the same configuration, data and weights to
        start from: frozen stages and L2-SP still need those.

    Raises
    ------
    ValueError : a setting that does not fit the model, such as `num_frozen` above its stages, or
        the data, such as `validate_every` without `validation`.
    """
    started = time.perf_counter()
    if config.validate_every is not None and validation is None:
        raise ValueError(f"validate_every {config.validate_every} needs a validation set, got None")
    settings = None
    if resume_path is not None:
        parts = {"data": train, "validation": validation, "starting_weights": model.state_dict()}
        settings = resume_settings(model, config, **parts)
    both = (config.num_frozen, config.num_reinit)
    if min(both) > 0 and sum(both) > len(model.trunk):
        raise ValueError(
            f"num_frozen and num_reinit must not overlap in {len(model.trunk)} stages, got "
            f"{both[0]} and {both[1]}: a frozen stage drawn anew is noise"
        )
    if config.num_reinit:
        reinit_top(model, config.num_reinit, seed=Seeds.from_seed(config.seed).init)
    freeze(model, config.num_frozen)
    if config.lora_rank is not None:
        add_lora(model, config.lora_rank, seed=Seeds.from_seed(config.seed).init)
    if config.bias_only:
        train_biases_only(model)

    # The optimizer holds what trains at any time: with gradual unfreezing, all that ever thaws.
    weight_decay = 0.0 if config.l2sp else config.weight_decay
    groups = param_groups(model, config.lr, config.layer_decay, config.head_lr, weight_decay)
    optimizer = Adam(groups, bias_correction=config.bias_correction)
    penalty = L2SP(model, strength=config.l2sp) if config.l2sp else None

    batches, num_batches = training_batches(model, train, config)
    seconds = time.perf_counter() - started
    num_steps = max(1, config.epochs * num_batches // config.accumulate)
    validate, validate_steps = None, None
    if config.validate_every is not None and validation is not None:
        validate = partial(score, model, validation, config.precision)
        validate_steps = max(1, config.validate_every * num_batches // config.accumulate)
    history = fit(
        model,
        batches,
        loss_of,
        optimizer,
        FitConfig(
            num_steps=num_steps,
            clip_norm=config.clip_norm,
            accumulate=config.accumulate,
            precision=config.precision,
            validate_every=validate_steps,
            patience=config.patience,
            save_every=config.save_every,
            dropout_seed=Seeds.from_seed(config.seed).dropout,
            progress=config.progress,
        ),
        schedule=schedule(config.schedule, num_steps, warmup=config.warmup),
        validate=validate,
        num_frozen_at=thawing(model, config, num_batches),
        penalty=penalty,
        resume_path=resume_path,
        settings=settings,
        description=description,
    )
    trainable = trainable_share(model)
    if config.lora_rank is not None:
        merge_lora(model)
    scores = {} if validation is None else score(model, validation, config.precision)
    return Finetuned(history, trainable, seconds + history.seconds, scores)


def resume_settings(model: Model, config: Any, **parts: Any) -> dict[str, Any]:
    """What a resumed run must share with the one that was stopped: the `settings` of `fit`.

    config is the recipe's; of `parts`, which are data and may be large, the fingerprints are kept.
    """
    sizes = {f"{model.family} {name}": value for name, value in asdict(model.config).items()}
    prints = {name: fingerprint(part) for name, part in parts.items()}
    return {**asdict(config), **sizes, "head": model.head_name, **prints}


def training_batches(
    model: Model, train: Dataset, config: FinetuneConfig
) -> tuple[Callable[[int], dict[str, Any]], int]:
    """The source of batches and the number of them an epoch has.

    Where the lowest stages are frozen for good, they run once over the data (`cache_trunk`), and a
    batch holds their outputs instead of the model's inputs.
    """
    size, order = config.batch_size, Seeds.from_seed(config.seed).order
    num_steps = steps_per_epoch(train, size)
    reads_below = bool(set(getattr(model.head, "taps", ())) & set(_frozen_names(model)))
    is_cached = config.cache and config.num_frozen and not reads_below
    if is_cached and config.unfreeze_every is None:
        with autocast(resolve_precision(config.precision, _device(model)), _device(model)):
            cached = cache_trunk(model, train)
        rows = epoch_batches({"rows": torch.arange(num_examples(train))}, size, seed=order)
        return lambda step: cached.take(rows(step)["rows"], _device(model)), num_steps
    plain = epoch_batches(train, size, seed=order)
    return lambda step: trim_padding(plain(step)), num_steps


def thawing(model: Model, config: FinetuneConfig, num_batches: int) -> Callable[[int], int] | None:
    """Step -> `num_frozen`, for gradual unfreezing with `num_batches` an epoch; None without it."""
    if config.unfreeze_every is None:
        return None
    steps_per_stage = max(1, config.unfreeze_every * num_batches // config.accumulate)
    # The head learns alone at first; one that is tied has nothing of its own, and starts with the
    # top stage.
    has_own = any(True for _ in model.head_parameters())
    num_frozen_at = unfreeze_gradually(len(model.trunk) - (not has_own), steps_per_stage)
    return lambda step: max(config.num_frozen, num_frozen_at(step))


def run_model(model: Model, batch: dict[str, Any]) -> Any:
    """The head's output for a batch of inputs, or of a frozen trunk's stored outputs ("flow")."""
    if "flow" in batch:
        return model.forward_from(batch["flow"], start=model.trunk.num_frozen)
    return model(**{name: batch[name] for name in model.input_names if name in batch})


def loss_of(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and figures of the model's head on a batch."""
    assert isinstance(model, Model)
    return judged(model).loss(run_model(model, batch), batch)


@torch.no_grad()  # not inference_mode, whose tensors could not serve as labels to train on
def predict(
    model: Model, dataset: Dataset, precision: str = "auto", batch_size: int = 128
) -> Tensor:
    """What the head decides for every row: classes, spans, masks or boxes; on the CPU."""
    device = _device(model)
    was_training = model.training
    model.eval()
    decided = []
    try:
        with autocast(resolve_precision(precision, device), device):
            for begin in range(0, num_examples(dataset), batch_size):
                stop = min(begin + batch_size, num_examples(dataset))
                batch = take(dataset, torch.arange(begin, stop))
                batch = {name: value.to(device) for name, value in batch.items()}
                decided.append(judged(model).decide(run_model(model, batch), batch).cpu())
    finally:
        model.train(was_training)
    if not decided:
        raise ValueError("dataset must have at least one row, got none")
    return torch.cat(decided)


@torch.no_grad()
def probabilities(model: Model, inputs: Dataset, precision: str = "auto") -> Tensor:
    """The share that a model in eval mode, with head `classify`, gives each class: (B, K), CPU."""
    device = _device(model)
    with autocast(resolve_precision(precision, device), device):
        logits = run_model(model, {name: value.to(device) for name, value in inputs.items()})
    return logits.float().softmax(-1).cpu()


def score(model: Model, dataset: Dataset, precision: str = "auto") -> dict[str, float]:
    """The scores of the model's head on a labelled data set, the main one first."""
    return judged(model).scores(predict(model, dataset, precision), dataset)


def judged(model: Model) -> Any:
    if model.head_name not in JUDGED:
        raise ValueError(
            f"head must be one of {sorted(JUDGED)} to fine-tune, got {model.head_name!r}"
        )
    return JUDGED[model.head_name]


def _frozen_names(model: Model) -> list[str]:
    return list(model.trunk.stages)[: model.trunk.num_frozen]


def _device(model: Model) -> torch.device:
    return next(model.parameters()).device
