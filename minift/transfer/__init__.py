"""The moves of transfer learning, written once for every model: they see stages, never models.

- `weights`: take over what fits of a pretrained network.
- `freeze`: hold the lowest stages still, for good or for a while.
- `reinit`: draw the highest stages anew.
- `rates`: a learning rate for each stage.
- `cache`: run the frozen part once.
- `l2sp`: stay near the start.
"""

from minift.transfer.cache import CachedTrunk, cache_trunk
from minift.transfer.freeze import freeze, trainable_share, unfreeze_gradually
from minift.transfer.l2sp import L2SP
from minift.transfer.rates import param_groups
from minift.transfer.reinit import reinit_top
from minift.transfer.weights import CopyReport, Mismatch, copy_matching

__all__ = [
    "L2SP",
    "CachedTrunk",
    "CopyReport",
    "Mismatch",
    "cache_trunk",
    "copy_matching",
    "freeze",
    "param_groups",
    "reinit_top",
    "trainable_share",
    "unfreeze_gradually",
]
