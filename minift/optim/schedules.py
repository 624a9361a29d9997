"""Learning-rate schedules: which share of the peak rate to use, as pure functions of the step.

All but "constant" rise first and fall afterwards. Right after a new head was put on a pretrained
trunk the gradients are large and point anywhere, and Adam's mean of g² rests on few samples; a
small rate lets both settle before the trunk is moved far.

Steps are counted from 0. The first step is never wasted on a rate of 0, nor is the last: where a
rise or a fall is straight, it would be at 0 one step before the first, and one after the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial


def schedule(name: str, num_steps: int, warmup: float = 0.1) -> Callable[[int], float]:
    """Return the function step -> factor of the peak rate.

    Parameters
    ----------
    name : one of `SCHEDULES`.
    num_steps : how many steps the run has.
    warmup : share of the steps that rise, in [0, 1). 0.1 is BERT's and ULMFiT's choice;
        one-cycle is mostly run with 0.3.

    Raises
    ------
    ValueError : the name is unknown or a number is out of range.

    Examples
    --------
    >>> factor = schedule("linear", num_steps=10, warmup=0.2)
    >>> [round(factor(step), 2) for step in (0, 1, 2, 6, 9)]
    [0.33, 0.67, 1.0, 0.5, 0.12]
    """
    if name not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0.0 <= warmup < 1.0:
        raise ValueError(f"warmup is a share of the steps in [0, 1), got {warmup}")
    num_warmup = min(round(warmup * num_steps), num_steps - 1)
    return partial(SCHEDULES[name], num_steps=num_steps, num_warmup=num_warmup)


def constant(step: int, num_steps: int, num_warmup: int) -> float:
    """Rise, then stay; with a warm-up of 0 simply 1."""
    return min(1.0, _rise(step, num_warmup))


def linear(step: int, num_steps: int, num_warmup: int) -> float:
    """Rise in a straight line, then fall in one (BERT: Devlin et al. 2019, appendix A.2)."""
    return min(_rise(step, num_warmup), 1 - _fallen(step, num_steps, num_warmup))


def cosine(step: int, num_steps: int, num_warmup: int) -> float:
    """Rise, then half a cosine down (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    fall = (1 + math.cos(math.pi * _fallen(step, num_steps, num_warmup))) / 2
    return min(_rise(step, num_warmup), fall)


def inverse_sqrt(step: int, num_steps: int, num_warmup: int) -> float:
    """Rise, then fall as 1 / √step (Vaswani et al. 2017, eq. 3, scaled so that the peak is 1).

    The fall does not depend on `num_steps`: such a run can be stopped or prolonged at any time.
    """
    rise = _rise(step, num_warmup)
    return min(rise, rise**-0.5)


def one_cycle(step: int, num_steps: int, num_warmup: int) -> float:
    """From 1/25 of the peak up to it, then down to almost nothing (Smith & Topin 2018).

    The long stretch at large rates acts as a regulariser. The two halves are cosines, as the method
    is mostly run today, where the paper draws straight lines; momentum is not cycled.
    """
    start, end = 1 / 25, 1e-4 / 25
    if step < num_warmup:
        low, way = start, 1 - step / num_warmup
    else:
        # The last step is the lowest point here, as the paper's last steps are meant to be tiny.
        low, way = end, min(1.0, (step - num_warmup) / max(1, num_steps - 1 - num_warmup))
    return low + (1 - low) * (1 + math.cos(math.pi * way)) / 2


def slanted_triangular(step: int, num_steps: int, num_warmup: int) -> float:
    """A short rise and a long fall between 1/32 and 1 (ULMFiT: Howard & Ruder 2018, eq. 3)."""
    ratio = 32
    p = step / num_warmup if step < num_warmup else 1 - _fallen(step, num_steps, num_warmup)
    return (1 + p * (ratio - 1)) / ratio


def _rise(step: int, num_warmup: int) -> float:
    """0 at step -1, 1 at step num_warmup, and on above 1 after it."""
    return (step + 1) / (num_warmup + 1)


def _fallen(step: int, num_steps: int, num_warmup: int) -> float:
    """Share of the way down: 0 up to step num_warmup, 1 from step num_steps on."""
    return min(1.0, max(0.0, (step - num_warmup) / (num_steps - num_warmup)))


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "inverse_sqrt": inverse_sqrt,
    "one_cycle": one_cycle,
    "slanted_triangular": slanted_triangular,
}
