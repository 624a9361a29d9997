"""Freeze the lowest stages, for good or for a while (Howard & Ruder 2018, 3.3).

Low stages hold what all tasks share, high ones what the pretraining task needed. Freezing keeps
the first from being overwritten by a few examples, and saves their backward pass.

Two traps. Frozen has to mean eval mode as well: `Staged.num_frozen` says why. And a head tied to
the embedding (the output matrix of MLM and of language models) is the embedding's own tensor:
freeze the bottom stage, and that matrix is frozen too.
"""

from __future__ import annotations

from collections.abc import Callable

from minift.stages import Model


def freeze(model: Model, num_stages: int) -> None:
    """Freeze the lowest `num_stages` stages of the trunk and no other; 0 thaws everything.

    Build the optimizer afterwards, from what trains: it then holds no state for frozen weights.
    Freezing all stages is feature extraction: only the head learns.
    """
    model.trunk.num_frozen = num_stages


def unfreeze_gradually(num_stages: int, steps_per_stage: int) -> Callable[[int], int]:
    """Return a schedule: training step -> how many stages are frozen at that step.

    The head learns alone for the first `steps_per_stage` steps; then a stage joins it every
    `steps_per_stage` steps, top first, until nothing is frozen.

    Parameters
    ----------
    num_stages : of the trunk.
    steps_per_stage : optimizer steps; an epoch in the paper.

    Notes
    -----
    Here the optimizer is built before the first freezing, from all parameters: it skips those
    without gradient until their turn comes.

    Examples
    --------
    >>> schedule = unfreeze_gradually(num_stages=2, steps_per_stage=10)
    >>> [schedule(step) for step in (0, 9, 10, 19, 20, 1000)]
    [2, 2, 1, 1, 0, 0]
    """
    if steps_per_stage < 1:
        raise ValueError(f"steps_per_stage must be at least 1, got {steps_per_stage}")
    return lambda step: max(0, num_stages - step // steps_per_stage)


def trainable_share(model: Model) -> float:
    """The share of the model's weights that train, in [0, 1]; a tied tensor counts once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trains in sizes if trains) / sum(size for size, _ in sizes)
