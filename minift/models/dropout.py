"""Dropout with cheap random numbers (Srivastava et al. 2014): one random byte an element.

Each element is set to zero with probability p, and the others are divided by 1 - p, so that the
mean stays. On a CPU torch draws for each element a number of its own, one after the other, and that
is a quarter of a T5's step. Here one draw of 64 random bits decides on eight elements; an element
is dropped where its byte is below 256 p. So the rate is a multiple of 1/256: 26/256, or 10.2%, for
p = 0.1, and what is kept is divided by exactly the share that is kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`nn.Dropout`, with the rate rounded to a multiple of 1/256 on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training else input


def dropout(x: Tensor, p: float) -> Tensor:
    """Set elements of x to zero with probability p, and scale up the rest."""
    num_dropped = round(256 * p)  # of the 256 values of a byte
    if x.device.type != "cpu" or not 0 < num_dropped < 256:
        return F.dropout(x, p)
    num_draws = -(-x.numel() // 8)
    # From -2^63 on, for the default range leaves the highest bit at 0.
    draws = torch.empty(num_draws, dtype=torch.int64).random_(-(2**63), None)
    lanes = draws.view(torch.uint8)[: x.numel()].view(x.shape)
    return x * (lanes >= num_dropped).to(x.dtype).mul_(256 / (256 - num_dropped))
