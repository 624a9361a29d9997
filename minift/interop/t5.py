"""T5's checkpoints: their names beside ours, both directions.

Two versions share one layout. v1.0 (Raffel et al. 2020) has ReLU and a tied, scaled output. v1.1
and Flan-T5 have a gated GELU (Shazeer 2020; wi_0 is activated, wi_1 is the gate) and an output
matrix of their own, unscaled. Each side's lowest block has the position bias for all above it.

One thing is not carried over: their dropout also drops attention weights, ours does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from minift.interop.names import Family, NameMap, State

EMBEDDING = [
    ("trunk.stages.embedding.tokens", "shared"),
    ("trunk.stages.embedding.tokens", "encoder.embed_tokens"),  # the same matrix again, in some
    ("trunk.stages.embedding.tokens", "decoder.embed_tokens"),
]
HEADS = [("head.decoder", "lm_head")]
# Their blocks are lists: of the encoder 0 attention, 1 feed-forward; of the decoder 0 attention,
# 1 attention to the encoder, 2 feed-forward.
SELF_ATTENTION = [
    ("attention.sublayer.query", "layer.0.SelfAttention.q"),
    ("attention.sublayer.key", "layer.0.SelfAttention.k"),
    ("attention.sublayer.value", "layer.0.SelfAttention.v"),
    ("attention.sublayer.output", "layer.0.SelfAttention.o"),
    ("attention.norm", "layer.0.layer_norm"),
    ("position_bias.table", "layer.0.SelfAttention.relative_attention_bias"),
]
ENCODER = [
    *SELF_ATTENTION,
    ("feed_forward.sublayer.gate", "layer.1.DenseReluDense.wi_1"),
    ("feed_forward.sublayer.contract", "layer.1.DenseReluDense.wo"),
    ("feed_forward.norm", "layer.1.layer_norm"),
]
DECODER = [
    *SELF_ATTENTION,
    ("cross_attention.sublayer.query", "layer.1.EncDecAttention.q"),
    ("cross_attention.sublayer.key", "layer.1.EncDecAttention.k"),
    ("cross_attention.sublayer.value", "layer.1.EncDecAttention.v"),
    ("cross_attention.sublayer.output", "layer.1.EncDecAttention.o"),
    ("cross_attention.norm", "layer.1.layer_norm"),
    ("feed_forward.sublayer.gate", "layer.2.DenseReluDense.wi_1"),
    ("feed_forward.sublayer.contract", "layer.2.DenseReluDense.wo"),
    ("feed_forward.norm", "layer.2.layer_norm"),
]
FEED_FORWARDS = {  # feed_forward_proj -> (activation, is_gated)
    "relu": ("relu", False),
    "gelu": ("gelu", False),
    "gelu_new": ("gelu_new", False),
    "silu": ("silu", False),
    "gated-relu": ("relu", True),
    "gated-gelu": ("gelu_new", True),  # not "gelu": the name is older than the distinction
    "gated-gelu_new": ("gelu_new", True),
    "gated-gelu_python": ("gelu", True),
    "gated-silu": ("silu", True),
}


class T5Family(Family):
    family = "t5"
    model_type = "t5"
    fields: Mapping[str, str] = {
        "vocab_size": "vocab_size",
        "d_model": "hidden_size",
        "num_layers": "num_layers",
        "num_decoder_layers": "num_decoder_layers",
        "num_heads": "num_heads",
        "d_kv": "head_size",
        "d_ff": "intermediate_size",
        "n_positions": "max_positions",
        "relative_attention_num_buckets": "num_buckets",
        "relative_attention_max_distance": "max_distance",
        "dropout_rate": "dropout",
        "layer_norm_epsilon": "norm_eps",
    }
    defaults: Mapping[str, Any] = {"head_size": 64}
    architectures: Mapping[str, str | None] = {
        "T5Model": None,
        "T5ForConditionalGeneration": "lm",
        "T5WithLMHeadModel": "lm",  # its name before 2020
    }

    def name_map(self, config: Any) -> NameMap:
        tops = {"encoder": config.num_layers, "decoder": decoder_layers(config)}
        expand = "wi_0" if config.is_gated else "wi"
        pairs = list(EMBEDDING)
        for side, block, feed_forward in (("encoder", ENCODER, 1), ("decoder", DECODER, 2)):
            ours, theirs = f"trunk.stages.{side}{{}}", f"{side}.block.{{}}"
            pairs += [(f"{ours}.{part}", f"{theirs}.{name}") for part, name in block]
            pairs += [
                (
                    f"{ours}.feed_forward.sublayer.expand",
                    f"{theirs}.layer.{feed_forward}.DenseReluDense.{expand}",
                ),
                (
                    f"trunk.stages.{side}{tops[side] - 1}.final_norm.0",
                    f"{side}.final_layer_norm",
                ),
            ]
        return NameMap([*pairs, *HEADS])

    def read_config(self, theirs: Mapping[str, Any], state: State, path: Path) -> dict[str, Any]:
        ours = super().read_config(theirs, state, path)
        activation = theirs.get("feed_forward_proj", "relu")
        if not isinstance(activation, str) or activation not in FEED_FORWARDS:
            known = ", ".join(FEED_FORWARDS)
            raise ValueError(
                f"{path}: feed_forward_proj must be one of {known}, got {activation!r}"
            )
        ours["activation"], ours["is_gated"] = FEED_FORWARDS[activation]
        start_id = theirs.get("decoder_start_token_id", theirs.get("pad_token_id"))
        if start_id is not None:
            if type(start_id) is not int or start_id < 0:
                raise ValueError(
                    f"{path}: decoder_start_token_id must be a token's id, got {start_id!r}"
                )
            ours["start_id"] = start_id
        says_tied = theirs.get("tie_word_embeddings", True) is not False
        ours["is_output_scaled"] = theirs.get("scale_decoder_outputs", says_tied) is not False
        # By the weights, not by the setting: newer versions of the library write that it is tied
        # where it is not, and then store both matrices.
        ours["is_tied"] = is_tied(state)
        return ours

    def write_config(self, config: Any) -> dict[str, Any]:
        form = (config.activation, config.is_gated)
        is_scaled = config.is_tied if config.is_output_scaled is None else config.is_output_scaled
        return {
            **super().write_config(config),
            "num_decoder_layers": decoder_layers(config),
            "d_kv": config.head_size or config.hidden_size // config.num_heads,
            "feed_forward_proj": next(n for n, known in FEED_FORWARDS.items() if known == form),
            "tie_word_embeddings": config.is_tied,
            "scale_decoder_outputs": is_scaled,
            "decoder_start_token_id": config.start_id,
            "pad_token_id": config.start_id,
            "eos_token_id": 1,
            "is_encoder_decoder": True,
        }

    def saved_head(self, theirs: Mapping[str, Any], state: State) -> str | None:
        return super().saved_head(theirs, state) if theirs.get("architectures") else "lm"


def decoder_layers(config: Any) -> int:
    return config.num_decoder_layers or config.num_layers


def is_tied(state: State) -> bool:
    """Whether the output matrix is the embedding's: it is not stored, or is the same."""
    output = state.get("lm_head.weight")
    embedding = state.get("shared.weight")
    return output is None or (embedding is not None and torch.equal(output, embedding))
