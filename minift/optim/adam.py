"""Adam: each weight moves by its mean gradient, divided by the root of its mean squared gradient.

Kingma & Ba 2015, algorithm 1; decoupled weight decay (AdamW) is Loshchilov & Hutter 2019,
algorithm 2. `_update` says it in the papers' symbols, and is what to read; `_update_fused` has the
same done by torch's kernel, in one pass over memory instead of nine. The tests hold them together.

θ weights, g gradient, m and v running means of g and g², t how often this tensor has moved,
α rate (`lr`), λ `weight_decay`, m̂ and v̂ the means with their bias corrected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT


class Adam(torch.optim.Optimizer):
    """Adam and its relatives, as arguments of one implementation.

    Parameters
    ----------
    params : tensors, or groups (dicts) that may override any of the options below.
    lr : rate α. Away from zero gradients a weight moves by about `lr` a step.
    betas : how much of the old means of g and g² is kept at each step, each in [0, 1).
    eps : added to √v̂, so that a weight with no gradient yet is not divided by zero.
    weight_decay : λ.
    decoupled : True shrinks the weights directly (AdamW). False adds λθ to the gradient, where it
        is divided by √v̂ like the rest of it: weights with large gradients then hardly decay.
    bias_correction : False leaves m and v as they are, biased to their start at zero.
    fused : False computes as written here, True by torch's kernel, 3 times as fast on a CPU; the
        results differ in rounding only.

    Raises
    ------
    ValueError : an option is out of its range.

    Notes
    -----
    The optimizer published with BERT left out the bias correction. v starts further from its true
    size than m does, so the early steps become several times too large (see `step_scale`), and
    fine-tuning on a small data set is little else than early steps. Mosbach et al. 2021 and Zhang
    et al. 2021 found that this alone accounts for many of the runs that end at chance: BERT
    (Devlin et al. 2019) is `bias_correction=False`, the remedy is the default here.

    A tensor whose gradient is None is skipped: it neither moves nor decays, and its t stands still.
    Frozen weights rely on this; with a gradient of zeros they would go on shrinking towards zero.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor([3.0]))
    >>> optimizer = Adam([weight], lr=0.5)
    >>> weight.grad = torch.tensor([100.0])
    >>> optimizer.step()
    >>> weight.item()                           # the first step is lr, whatever the gradient
    2.5
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = True,
        bias_correction: bool = True,
        fused: bool = True,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled": decoupled,
                "bias_correction": bias_correction,
                "fused": fused,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Check a group's options, its own and the defaults it takes over, and add it."""
        options = {**self.defaults, **param_group}
        for name in ("lr", "eps", "weight_decay"):
            if not 0.0 <= options[name] < math.inf:
                raise ValueError(f"{name} must be finite and at least 0, got {options[name]}")
        if len(options["betas"]) != 2 or not all(0.0 <= beta < 1.0 for beta in options["betas"]):
            raise ValueError(f"betas must be two numbers in [0, 1), got {options['betas']}")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Move every weight that has a gradient; returns what `closure`, if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            fused: list[Update] = []
            for theta in group["params"]:
                if theta.grad is None:
                    continue  # no gradient, no step: a frozen weight must not decay
                state = self._counted_state(theta)
                m, v = state["exp_avg"], state["exp_avg_sq"]
                update = Update(theta, theta.grad, m, v, state["step"])
                if group["fused"] and _are_laid_out_alike(update):
                    fused.append(update)
                else:
                    _update(update, group)
            for alike in _by_kind(fused):
                _update_fused(alike, group)
        return loss

    def _counted_state(self, theta: Tensor) -> dict[str, Any]:
        """The tensor's state with this step counted. Each tensor counts for itself: one that is
        unfrozen late has a young m and v, and needs the correction of a first step."""
        state = self.state[theta]
        if not state:
            state.update(
                step=0, exp_avg=torch.zeros_like(theta), exp_avg_sq=torch.zeros_like(theta)
            )
        state["step"] += 1
        return state


class Update(NamedTuple):
    """What the step of one tensor reads and writes."""

    theta: Tensor
    g: Tensor
    m: Tensor
    v: Tensor
    t: int


def _update(update: Update, group: dict[str, Any]) -> None:
    theta, g, m, v, t = update
    lr, (beta1, beta2), weight_decay = group["lr"], group["betas"], group["weight_decay"]
    correction1, correction2 = _corrections(t, group)
    if group["decoupled"]:
        # θ ← θ - αλθ                              (Loshchilov & Hutter, algorithm 2, line 12)
        theta.mul_(1 - lr * weight_decay)
    else:
        # g ← g + λθ                               (Loshchilov & Hutter, algorithm 2, line 6)
        g = g + weight_decay * theta
    # m ← β₁ m + (1 - β₁) g                        (Kingma & Ba, algorithm 1, from here on)
    m.lerp_(g, 1 - beta1)
    # v ← β₂ v + (1 - β₂) g²
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    # √v̂ + ε   with   v̂ = v / (1 - β₂ᵗ)
    denominator = v.sqrt().div_(math.sqrt(correction2)).add_(group["eps"])
    # θ ← θ - α m̂ / (√v̂ + ε)   with   m̂ = m / (1 - β₁ᵗ)
    theta.addcdiv_(m, denominator, value=-lr / correction1)


def _update_fused(updates: list[Update], group: dict[str, Any]) -> None:
    """`_update` for tensors of one type on one device."""
    thetas, gs, ms, vs, ts = map(list, zip(*updates))
    # The kernel divides by 1 - βᵗ, which after endlessly many steps is 1: no correction.
    counts = ts if group["bias_correction"] else [math.inf] * len(ts)
    kernel = torch._fused_adamw_ if group["decoupled"] else torch._fused_adam_
    kernel(
        thetas,
        gs,
        ms,
        vs,
        [],
        list(torch.tensor(counts, dtype=torch.float32, device=thetas[0].device)),
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


def _are_laid_out_alike(update: Update) -> bool:
    """Whether number i in memory is the same weight's in all four: the kernel takes it to be."""
    tensors = update[:4]
    return all(x.stride() == tensors[0].stride() for x in tensors) and (
        tensors[0].is_contiguous() or tensors[0].is_contiguous(memory_format=torch.channels_last)
    )


def _by_kind(updates: list[Update]) -> list[list[Update]]:
    """Groups of one type on one device."""
    kinds: dict[Any, list[Update]] = {}
    for update in updates:
        kinds.setdefault((update.theta.dtype, update.theta.device), []).append(update)
    return list(kinds.values())


def _corrections(t: int, group: dict[str, Any]) -> tuple[float, float]:
    """How much of the true mean m and v have reached after t steps from zero: 1 - βᵗ."""
    if not group["bias_correction"]:
        return 1.0, 1.0
    beta1, beta2 = group["betas"]
    return 1 - beta1**t, 1 - beta2**t


def step_scale(t: int, betas: tuple[float, float] = (0.9, 0.999)) -> float:
    """Return how many times larger step `t` is without the bias correction than with it.

    (m / √v) / (m̂ / √v̂) = (1 - β₁ᵗ) / √(1 - β₂ᵗ), where eps is small beside √v. With the usual
    betas it is 3.16 at the first step, largest, 6.57, at t = 12, and still 1.26 at t = 1000.

    Parameters
    ----------
    t : the step, counted from 1.
    betas : as for `Adam`.
    """
    if t < 1:
        raise ValueError(f"t counts steps from 1, got {t}")
    beta1, beta2 = betas
    return (1 - beta1**t) / math.sqrt(1 - beta2**t)
