"""BitFit: train the biases alone (Ben Zaken et al. 2022, BitFit, section 3).

A pretrained network can do much already; a new task turns some of it up and some of it down. For
that the biases are enough, about a thousandth of the weights of a BERT, of linear layers and of
norms alike. A ResNet has them in its BatchNorms only, and T5 has none.
"""

from __future__ import annotations

from minift.stages import Model


def train_biases_only(model: Model) -> None:
    """Hold all weights of the trunk but its biases; the head trains as before.

    Call it after `freeze`, which decides about every weight of a stage, and before the optimizer
    is built. The biases of frozen stages stay frozen. What is no weight goes on as in any stage
    that is not frozen: dropout, BatchNorm's statistics.

    Raises
    ------
    ValueError
        If no stage that is not frozen has a bias.
    """
    training = [(name, p) for name, p in model.trunk.named_parameters() if p.requires_grad]
    others = [p for name, p in training if name.rpartition(".")[2] != "bias"]
    if len(others) == len(training):
        raise ValueError(
            f"model must have biases in its stages that are not frozen, {model.family} has none"
        )
    for parameter in others:
        parameter.requires_grad_(False)
