"""The training loop: one for pretraining and finetuning, for pictures and text, for every model.

What differs between runs comes in as functions of the step number or of a batch: which rows
(`batches`), what they cost (`loss_fn`), the rate (`schedule`), how much is frozen
(`num_frozen_at`). None of them has a memory, and dropout is seeded by the step, so that step 700
is the same step whether the run came there at one go or was killed and resumed: bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from minift.training.files import load_tensors, save_tensors
from minift.training.precision import autocast, resolve_precision

Batch = dict[str, Tensor]
Figures = Mapping[str, Tensor | float]
LossFn = Callable[[nn.Module, Batch], tuple[Tensor, Figures]]


@dataclass(frozen=True)
class FitConfig:
    num_steps: int  # optimizer steps
    clip_norm: float | None = 1.0  # largest norm of all gradients together; None leaves them be
    accumulate: int = 1  # batches whose gradients are averaged for a step
    precision: str = "fp32"  # auto, fp32 or bf16
    validate_every: int | None = None  # steps; None validates once, after the last
    patience: int | None = None  # validations without a gain before stopping; None never stops
    save_every: int | None = None  # steps between two resume files; None writes none
    log_every: int = 20  # steps that one record of the history averages
    dropout_seed: int = 0
    progress: bool = True  # a bar on standard error

    def __post_init__(self) -> None:
        for name in ("num_steps", "accumulate", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("clip_norm", "validate_every", "patience", "save_every"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive or None, got {value}")


@dataclass
class History:
    """What happened in a run; `dataclasses.asdict` of it is plain JSON.

    A "step" in it says after how many steps.
    """

    records: list[dict[str, Any]] = field(default_factory=list)  # step, loss, lr (largest), figures
    validations: list[dict[str, Any]] = field(default_factory=list)  # step, figures
    seconds: float = 0.0  # of wall time, over all the parts of a resumed run
    steps_run: int = 0
    stopped_early: bool = False
    best_step: int | None = None  # None if there was no validation


class NonFiniteLossError(FloatingPointError):
    """The loss or its gradient became infinite or NaN: a step no optimizer should take."""

    def __init__(self, step: int, loss: float, lr: float) -> None:
        super().__init__(
            f"loss or gradient is not finite at step {step} (loss {loss}, rate {lr:.3g}); "
            "lower the rate, warm up for longer, or look for bad values in that batch"
        )
        self.step, self.loss, self.lr = step, loss, lr

    def __reduce__(self) -> tuple[type, tuple[int, float, float]]:
        """How to make it again in another process, which by default is from the message alone."""
        return type(self), (self.step, self.loss, self.lr)


def fit(
    model: nn.Module,
    batches: Callable[[int], Batch],
    loss_fn: LossFn,
    optimizer: torch.optim.Optimizer,
    config: FitConfig,
    *,
    schedule: Callable[[int], float] | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    num_frozen_at: Callable[[int], int] | None = None,
    penalty: Callable[[Any], Tensor] | None = None,
    resume_path: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    description: str = "",
) -> History:
    """Train `model` in place and return what happened.

    Parameters
    ----------
    model : on the device to train on; batches are brought there. Left in the mode it came in.
    batches : number -> batch. With `accumulate` = k, step s takes batches k s .. k s + k - 1.
    loss_fn : (model, batch) -> the mean loss, a scalar, and figures to show beside it.
    optimizer : must hold everything that is trained, at any step. A group's rate when it comes
        here is its peak ("initial_lr").
    schedule : step, from 0 -> factor of the peak rates; None keeps them constant.
    validate : () -> scores; the first is the one to maximise. The weights that did best are the
        ones `model` ends up with, also if the run is broken off. None keeps the last weights.
    num_frozen_at : step -> `model.trunk.num_frozen`, for gradual unfreezing.
    penalty : model -> a scalar that is added to the loss of every step, like L2-SP.
    resume_path : written every `save_every` steps and after the last. If the file is there at the
        start, the run goes on from it. Whoever keeps the model deletes the file, and only then: a
        finished run is as easily lost before its model is saved as a running one.
    settings : what else a resumed run must share with the one that was stopped, by name: plain
        numbers, strings and tuples, such as the options that `batches` and `loss_fn` came from.
    description : stands before the bar.

    Raises
    ------
    NonFiniteLossError : instead of a step that would ruin the weights. They are left as they were
        before it, or at the best if there was a validation. (BatchNorm's running statistics,
        which move in the forward pass, have then seen the bad batch, unless the best are back.)
    ValueError : the optimizer lacks a weight that is to be trained, or the file at `resume_path`
        is damaged or was written under other options or settings.

    Notes
    -----
    With `accumulate`, batches count equally: the gradient is that of one large batch if each of
    them averages over equally many labels.

    On a CPU this turns on the rounding of denormal numbers to zero, and leaves it on. They lie
    below 1e-38 and carry no information, but a CPU multiplies them many times more slowly. They
    come up in saturated softmaxes, and in Adam: the mean gradient of a word that is not seen for
    800 steps has shrunk by 0.9 to the power of 800.
    """
    if config.save_every is not None and resume_path is None:
        raise ValueError("save_every needs a resume_path to save to")
    resume_file = None if resume_path is None else Path(resume_path)
    device = next(model.parameters()).device
    precision = resolve_precision(config.precision, device)
    if device.type == "cpu":
        torch.set_flush_denormal(True)
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    trunk: Any = getattr(model, "trunk", None)
    must_match = _what_must_match(config, settings)
    history, best_weights = History(), None
    if resume_file is not None and resume_file.exists():
        history, best_weights = _resume(resume_file, model, optimizer, must_match)
        if num_frozen_at is not None:  # also if no step is left that would see to it
            trunk.num_frozen = num_frozen_at(history.steps_run - 1)
    num_steps = history.steps_run if history.stopped_early else config.num_steps
    started = time.perf_counter() - history.seconds
    losses: list[Tensor] = []  # of the steps since the last record, not read from the device yet
    figures: list[Figures] = []
    trained = _trained_parameters(model, optimizer)
    was_training = model.training
    model.train()

    bar = tqdm(
        total=config.num_steps,
        initial=history.steps_run,
        desc=description,
        unit="step",
        disable=not config.progress,
    )
    # The seeds set below are for this run alone: the caller's random numbers go on untouched.
    with bar, torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            for step in range(history.steps_run, num_steps):
                if num_frozen_at is not None and trunk.num_frozen != num_frozen_at(step):
                    trunk.num_frozen = num_frozen_at(step)
                    trained = _trained_parameters(model, optimizer)
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * (schedule(step) if schedule else 1.0)
                lr = max(group["lr"] for group in optimizer.param_groups)

                torch.manual_seed(_step_seed(config.dropout_seed, step))
                optimizer.zero_grad()
                loss = torch.zeros((), device=device)
                for micro in range(config.accumulate):
                    batch = batches(step * config.accumulate + micro)
                    part, shown = _score(model, batch, loss_fn, precision, device)
                    part = part / config.accumulate
                    if penalty is not None and micro == 0:
                        part = part + penalty(model)
                    part.backward()
                    loss += part.detach()
                    figures.append(shown)
                # Only over what is trained: a frozen weight's gradient would use up the norm.
                max_norm = math.inf if config.clip_norm is None else config.clip_norm
                norm = nn.utils.clip_grad_norm_(trained, max_norm)
                # The one number read from the device in each step. Reading it later would be too
                # late: one NaN in a gradient makes, through the norm, every weight NaN.
                if not torch.isfinite(loss + norm):
                    raise NonFiniteLossError(step, loss.item(), lr)
                optimizer.step()
                losses.append(loss)

                history.steps_run = done = step + 1
                is_last = done == config.num_steps
                if validate is not None and (is_last or _is_due(done, config.validate_every)):
                    if _note_validation(history, validate(), config.patience):
                        best_weights = _weights_on_cpu(model)
                    is_last = is_last or history.stopped_early
                    model.train()
                is_saved = _is_due(done, config.save_every) or (
                    is_last and config.save_every is not None
                )
                # A record ends at each save too, so that no half of one is lost with a killed run.
                if is_last or is_saved or _is_due(done, config.log_every):
                    means = _means(figures)
                    mean_loss = torch.stack(losses).mean().item()
                    history.records.append(
                        {"step": done, "loss": mean_loss, "lr": lr, "figures": means}
                    )
                    losses, figures = [], []
                    first = dict(list(means.items())[:1])
                    bar.set_postfix({"loss": mean_loss, **first, "lr": lr}, refresh=False)
                bar.update()
                history.seconds = time.perf_counter() - started
                if resume_file is not None and is_saved:
                    _save(resume_file, model, optimizer, must_match, history, best_weights)
                if is_last:
                    break
        finally:
            if best_weights is not None:
                model.load_state_dict(best_weights)
            model.train(was_training)
    return history


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    loss_fn: LossFn,
    precision: str = "fp32",
    num_labels: Callable[[Batch], Mapping[str, int]] | None = None,
) -> dict[str, float]:
    """Return the figures of `loss_fn` and then its "loss", averaged over all of `batches`.

    Runs in eval mode (no dropout, BatchNorm by its running statistics) and without gradients, and
    leaves the model in the mode it came in. `precision` is auto, fp32 or bf16.

    Each batch counts by its number of rows, so a short last one does not weigh too much. Rows of
    text do not all have equally many labels: `num_labels`, batch -> {figure: number}, says for
    which figures the batch counts by another number than that of its rows.
    """
    device = next(model.parameters()).device
    precision = resolve_precision(precision, device)
    was_training = model.training
    model.eval()
    figures: list[Figures] = []
    weights: list[dict[str, int]] = []
    try:
        with torch.inference_mode():
            for batch in batches:
                loss, shown = _score(model, batch, loss_fn, precision, device)
                figures.append({**shown, "loss": loss})
                num_rows = len(next(v for v in batch.values() if isinstance(v, Tensor)))
                counted = {} if num_labels is None else num_labels(batch)
                weights.append({name: counted.get(name, num_rows) for name in figures[-1]})
    finally:
        model.train(was_training)
    if not figures:
        raise ValueError("batches is empty: there is nothing to evaluate")
    return _means(figures, weights)


def _score(
    model: nn.Module, batch: Batch, loss_fn: LossFn, precision: str, device: torch.device
) -> tuple[Tensor, Figures]:
    """Loss with its graph and figures without: kept for later, they would keep a graph alive."""
    batch = {
        # What is no tensor is a flow out of a cached trunk, which comes from the right device.
        name: values.to(device, non_blocking=True) if isinstance(values, Tensor) else values
        for name, values in batch.items()
    }
    with autocast(precision, device):
        loss, figures = loss_fn(model, batch)
    return loss, {
        name: figure.detach() if isinstance(figure, Tensor) else figure
        for name, figure in figures.items()
    }


def _trained_parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The model's parameters that take gradients; all of them must be in the optimizer.

    A head that was replaced after the optimizer was built would stay at random, and say nothing.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    missing = [name for name, p in trained.items() if id(p) not in held]
    if missing:
        raise ValueError(
            f"optimizer lacks {len(missing)} parameters that are to be trained, the first is "
            f"{missing[0]!r}; build it after the model, or freeze them"
        )
    return list(trained.values())


def _step_seed(dropout_seed: int, step: int) -> int:
    """One seed from two numbers, by numpy's hash. 32 bits, for the CPU's generator drops the rest:
    (seed << 32) + step would give every run the same dropout."""
    return int(np.random.SeedSequence((dropout_seed, step)).generate_state(1)[0])


def _is_due(done: int, every: int | None) -> bool:
    return every is not None and done % every == 0


def _means(
    figures: list[Figures], weights: Sequence[Mapping[str, int]] | None = None
) -> dict[str, float]:
    """Mean of each figure over the entries that have it, in the order of first appearance."""
    sums: dict[str, float] = {}
    totals: dict[str, float] = {}
    for entry, counts in zip(figures, weights or [{}] * len(figures)):
        for name, figure in entry.items():
            weight = counts.get(name, 1)
            sums[name] = sums.get(name, 0.0) + weight * float(figure)
            totals[name] = totals.get(name, 0.0) + weight
    return {name: sums[name] / (totals[name] or 1) for name in sums}  # 0 where nothing is asked


def _note_validation(history: History, scores: dict[str, float], patience: int | None) -> bool:
    """Enter scores in the history, and whether they end the run. True if they are the best yet."""

    def main_score(figures: dict[str, float]) -> float:
        return next(iter(figures.values()))

    earlier = [main_score(validation["figures"]) for validation in history.validations]
    # The first NaN would be a best that nothing can beat.
    best = max((score for score in earlier if not math.isnan(score)), default=-math.inf)
    history.validations.append({"step": history.steps_run, "figures": dict(scores)})
    is_best = main_score(scores) > best
    if is_best:
        history.best_step = history.steps_run
    num_since = sum(v["step"] > (history.best_step or 0) for v in history.validations)
    history.stopped_early = patience is not None and num_since >= patience
    return is_best


def _weights_on_cpu(model: nn.Module) -> dict[str, Tensor]:
    return {name: t.detach().to("cpu", copy=True) for name, t in model.state_dict().items()}


def _save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    must_match: dict[str, Any],
    history: History,
    best_weights: dict[str, Tensor] | None,
) -> None:
    """All the state a run has. There is no state of random generators: the step seeds them."""
    save_tensors(
        path,
        {
            "config": must_match,
            "history": asdict(history),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best_weights": best_weights,
        },
    )


def _resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, must_match: dict[str, Any]
) -> tuple[History, dict[str, Tensor] | None]:
    """Put model and optimizer back to where `_save` found them; returns the rest."""
    saved = load_tensors(path)
    parts = {"config", "history", "model", "optimizer", "best_weights"}
    if not isinstance(saved, dict) or not parts <= set(saved):
        raise ValueError(f"{path}: is not a resume file; choose another resume_path")
    for name in {**must_match, **saved["config"]}:
        before, now = saved["config"].get(name), must_match.get(name)
        if before != now:
            raise ValueError(
                f"{path}: was written with {name} = {before}, now it is {now}; "
                "go on with the old value, or delete the file to begin anew"
            )
    try:
        history = History(**saved["history"])
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: was written by another model or optimizer: {error}") from error
    return history, saved["best_weights"]


def _what_must_match(config: FitConfig, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options that decide how a run goes; a resumed one must not change them."""
    own = settings or {}
    every = {**own, **asdict(config), **own}  # first what the caller's user has a name for
    return {name: value for name, value in every.items() if name not in ("progress", "save_every")}


def fingerprint(data: Any) -> str:
    """A short text that is the same for the same tensors, lists or dicts of them.

    A resume file keeps it in the place of the data, to know them again.
    """
    digest = hashlib.sha256()

    def enter(part: Any) -> None:
        if isinstance(part, Tensor):
            digest.update(repr((part.dtype, tuple(part.shape))).encode())
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        elif isinstance(part, Mapping):
            for name, value in part.items():
                digest.update(repr(name).encode())
                enter(value)
        elif isinstance(part, (list, tuple)) and any(isinstance(each, Tensor) for each in part):
            for each in part:  # repr would shorten them
                enter(each)
        else:
            digest.update(repr(part).encode())

    enter(data)
    return digest.hexdigest()[:12]
