"""L2-SP: decay towards the starting point, not towards zero (Li et al. 2018, eq. 4).

    Omega(w) = strength / 2 * |w - w0|^2  +  head_strength / 2 * |v|^2

w is the trunk, w0 its pretrained weights, v the new head. Weight decay pulls a pretrained network
to 0, which is no better a place for having been trained; this pulls it back to where it came from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minift.stages import Model


class L2SP:
    """A penalty to add to the loss; it remembers the weights the model has when it is built.

    Build it after the pretrained weights are in and the model is on its device, and turn the
    optimizer's weight decay off: the two would pull in different directions. Frozen parameters
    add nothing; one that thaws later is pulled to its own start.

    Parameters
    ----------
    model : at its starting point.
    strength : alpha of the paper, for the trunk.
    head_strength : beta of the paper, for the head, which has no pretrained weights.

    Examples
    --------
    >>> penalty = L2SP(model, strength=0.1)                      # doctest: +SKIP
    >>> loss = F.cross_entropy(model(images), labels) + penalty(model)  # doctest: +SKIP
    """

    def __init__(self, model: Model, strength: float = 0.1, head_strength: float = 0.01) -> None:
        self.strength = strength
        self.head_strength = head_strength
        self._start = {
            name: parameter.detach().clone() for name, parameter in model.trunk.named_parameters()
        }

    def __call__(self, model: Model) -> Tensor:
        """Return the penalty, a scalar with gradient."""
        device = next(model.parameters()).device
        trunk = torch.zeros((), device=device)
        for name, parameter in model.trunk.named_parameters():
            if parameter.requires_grad:
                trunk = trunk + (parameter - self._start[name]).square().sum()
        head = torch.zeros((), device=device)
        for _, parameter in model.head_parameters():
            if parameter.requires_grad:
                head = head + parameter.square().sum()
        return self.strength / 2 * trunk + self.head_strength / 2 * head
