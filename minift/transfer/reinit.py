"""Draw the top stages anew before fine-tuning (Zhang et al. 2021, "Revisiting few-sample BERT").

The top of a pretrained network is specialised to the pretraining task, and can be a worse start
than random weights: with few examples, fine-tuning from it is less stable.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch

from minift.stages import Model


def reinit_top(model: Model, num_stages: int, seed: int | None = None) -> list[str]:
    """Give the trunk's top `num_stages` stages fresh weights; return their names, bottom first.

    Parameters
    ----------
    num_stages : 0..the number of stages. BERT's pooler is a stage: 1 draws only the pooler anew, 2
        the top block too. The head is no stage.
    seed : makes the draw repeatable and leaves torch's global generator as it was; None draws
        from the global generator.

    Notes
    -----
    A frozen stage stays frozen: drawn anew, it is noise that never learns.
    """
    stages = list(model.trunk.stages.items())
    if not 0 <= num_stages <= len(stages):
        raise ValueError(
            f"num_stages must be in 0..{len(stages)} (the number of stages), got {num_stages}"
        )
    top = stages[len(stages) - num_stages :]
    with nullcontext() if seed is None else torch.random.fork_rng():
        if seed is not None:
            torch.manual_seed(seed)
        for _, stage in top:
            stage.reset_parameters()  # type: ignore[operator]
    return [name for name, _ in top]
