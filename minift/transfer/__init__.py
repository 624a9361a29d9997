"""The moves of transfer learning, written once for every model: they see stages, never models.

- `weights`: take over what fits of a pretrained network.
- `freeze`: hold the lowest stages still, for good or for a while.
- `reinit`: draw the highest stages anew.
- `rates`: a learning rate for each stage.
- `cache`: run the frozen part once.
- `lora`: a low-rank update beside each layer, in place of training the layers.
- `bias_only`: train the biases and no other weight.
- `l2sp`: stay near the start.
- `change`: what came of it, stage by stage.
"""

from minift.transfer.bias_only import train_biases_only
from minift.transfer.cache import CachedTrunk, cache_trunk
from minift.transfer.change import linear_cka, weight_distances
from minift.transfer.freeze import freeze, trainable_share, unfreeze_gradually
from minift.transfer.l2sp import L2SP
from minift.transfer.lora import add_lora, merge_lora
from minift.transfer.rates import param_groups
from minift.transfer.reinit import reinit_top
from minift.transfer.weights import CopyReport, Mismatch, copy_matching

__all__ = [
    "L2SP",
    "CachedTrunk",
    "CopyReport",
    "Mismatch",
    "add_lora",
    "cache_trunk",
    "copy_matching",
    "freeze",
    "linear_cka",
    "merge_lora",
    "param_groups",
    "reinit_top",
    "train_biases_only",
    "trainable_share",
    "unfreeze_gradually",
    "weight_distances",
]
