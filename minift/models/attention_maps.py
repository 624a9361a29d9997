"""Where attention looks: the weights that the layers themselves never keep.

A forward pass hands queries and keys to a kernel that returns the mixture and not the weights, and
stays as fast as that kernel. To look at them, the trunk runs once more, each attention layer's
inputs are caught as they come in, and its weights are computed from them. What the model computes
does not change.

`telling_heads` picks heads whose work can be said in words (Clark et al. 2019, "What does BERT look
at?", section 3: heads that attend to the token before, to the one after, to a separator).

Shapes: B batch, T query length, S key length, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minift.models.layers import Attention, attention_weights
from minift.stages import Model


@torch.no_grad()
def attention_maps(model: Model, *inputs: Tensor, **named_inputs: Tensor) -> dict[str, Tensor]:
    """Run the trunk in eval mode and return the weights of all its attention layers, bottom first.

    Parameters
    ----------
    inputs, named_inputs : what the model is called with.

    Returns
    -------
    dict : stage, such as "block0" -> (B, H, T, S), the last dimension summing to 1. Of T5's decoder
        the attention to the encoder is "decoder0, cross". Empty for models without attention.

    Examples
    --------
    >>> maps = attention_maps(create_model("bert-mini"), torch.tensor([[2, 5, 6, 3]]))
    >>> maps["block0"].shape
    torch.Size([1, 4, 4, 4])
    """
    maps: dict[str, Tensor] = {}

    def catch(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, args: tuple[Tensor, ...], options: dict[str, Tensor]) -> None:
            maps[name] = weights_of(layer, *args, **options)  # type: ignore[arg-type]

        return hook

    handles = [
        layer.register_forward_pre_hook(catch(f"{stage}{suffix}"), with_kwargs=True)
        for stage, block in model.trunk.stages.items()
        for suffix, layer in _layers(block)
    ]
    was_training = model.training
    model.eval()
    try:
        model.trunk(model.prepare(*inputs, **named_inputs))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return maps


def weights_of(
    layer: Attention,
    hidden: Tensor,
    memory: Tensor | None = None,
    *,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    cache: None = None,
) -> Tensor:
    """The weights (B, H, T, S) by which `layer`, called with the same, mixes its values."""
    key, _ = layer.keys_and_values(hidden if memory is None else memory)
    return attention_weights(
        layer.queries(hidden),
        key,
        attn_mask=attn_mask,
        is_causal=is_causal and attn_mask is None,
        scale=layer.scale,
    )


def _layers(block: nn.Module) -> list[tuple[str, Attention]]:
    """A stage's attention layers, with what is added to the stage's name."""
    return [
        (", cross" if "cross" in name else "", part)
        for name, part in block.named_modules()
        if isinstance(part, Attention)
    ]


class TellingHead(NamedTuple):
    name: str  # stage and head, such as "block0, head 2"
    habit: str  # what it reads most
    share: float  # of the weight of all queries, how much that gets
    weights: Tensor  # (T, T)


def telling_heads(maps: Mapping[str, Tensor], tokens: Sequence[object]) -> list[TellingHead]:
    """For each habit, the head that has most of it, and more than by reading all tokens alike.

    A head with two habits is named by the first.

    Parameters
    ----------
    maps : name -> (H, T, T), one row of `attention_maps`; layers whose T is not the number of
        tokens (T5's decoder) are left out.
    tokens : the T tokens or ids; equal ones are the same word.
    """
    T = len(tokens)
    heads = {
        f"{name}, head {number}": weights
        for name, layer in maps.items()
        if layer.shape[1:] == (T, T)
        for number, weights in enumerate(layer)
    }
    chosen: list[TellingHead] = []
    for habit, is_read in habits(tokens).items():
        shares = {name: float(weights[is_read].sum() / T) for name, weights in heads.items()}
        best = max(shares, key=lambda name: shares[name], default="")
        if shares and shares[best] > is_read.float().mean():
            chosen.append(TellingHead(best, habit, shares[best], heads.pop(best)))
    return chosen


def habits(tokens: Sequence[object]) -> dict[str, Tensor]:
    """What a head may read: name -> bool (T, T), True where a query's row has that key."""
    T = len(tokens)
    keys = torch.arange(T)
    queries = keys[:, None]
    return {
        "the token before": keys == queries - 1,
        "the token after": keys == queries + 1,
        "the same word": torch.tensor([[a == b for b in tokens] for a in tokens]),  # itself, too
        "the first token": (keys == 0).expand(T, T),
    }
