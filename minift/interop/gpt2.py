"""GPT-2's checkpoints: their names beside ours, both directions.

Two things differ from a rename. The published code wrote a linear layer as x W + b (a convolution
of width 1), so their matrices are (in, out) where torch.nn has (out, in); and query, key and value
come out of one matrix, (C, 3C), the three side by side. `unpack` and `pack` turn and cut them.

The output matrix is the token embedding (Radford et al. 2018, section 3.1), so it is not stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from minift.interop.names import Family, NameMap, State
from minift.models.gpt import GPTConfig

TRUNK = [
    ("trunk.stages.embedding.tokens", "transformer.wte"),
    ("trunk.stages.embedding.positions", "transformer.wpe"),
    *(
        (f"trunk.stages.block{{}}.{ours}", f"transformer.h.{{}}.{theirs}")
        for ours, theirs in (
            ("attention.norm", "ln_1"),
            ("attention.sublayer.query", "attn.c_attn.query"),  # cut out of attn.c_attn
            ("attention.sublayer.key", "attn.c_attn.key"),
            ("attention.sublayer.value", "attn.c_attn.value"),
            ("attention.sublayer.output", "attn.c_proj"),
            ("feed_forward.norm", "ln_2"),
            ("feed_forward.sublayer.expand", "mlp.c_fc"),
            ("feed_forward.sublayer.contract", "mlp.c_proj"),
        )
    ),
]
HEADS = [
    ("head.decoder", "lm_head"),  # tied to the embedding of tokens
    ("head.classifier", "score"),
]
QUERY_KEY_VALUE = ("query", "key", "value")


class GPT2Family(Family):
    family = "gpt"
    model_type = "gpt2"
    prefix = "transformer."
    fields: Mapping[str, str] = {
        "vocab_size": "vocab_size",
        "n_embd": "hidden_size",
        "n_layer": "num_layers",
        "n_head": "num_heads",
        "n_inner": "intermediate_size",
        "n_positions": "max_positions",
        "activation_function": "activation",
        "resid_pdrop": "dropout",
        "attn_pdrop": "attention_dropout",
        "layer_norm_epsilon": "norm_eps",
        "initializer_range": "init_std",
    }
    defaults: Mapping[str, Any] = {"attention_dropout": 0.1}
    fixed: Mapping[str, Any] = {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    }
    architectures: Mapping[str, str | None] = {
        "GPT2Model": None,
        "GPT2LMHeadModel": "lm",
        "GPT2ForSequenceClassification": "classify",
    }

    def name_map(self, config: Any) -> NameMap:
        top = f"trunk.stages.block{config.num_layers - 1}"
        return NameMap([*TRUNK, (f"{top}.final_norm", "transformer.ln_f"), *HEADS])

    def unpack(self, state: State, names: NameMap) -> State:
        plain: State = {}
        for name, value in state.items():
            module, _, kind = name.rpartition(".")
            if is_turned(name) and value.ndim == 2:
                value = value.T  # (in, out) -> (out, in)
            if module.endswith(".attn.c_attn") and value.ndim:
                # (3C, ...) -> 3 x (C, ...)
                for part, piece in zip(QUERY_KEY_VALUE, value.chunk(3)):
                    plain[f"{module}.{part}.{kind}"] = piece
            else:
                plain[name] = value
        return super().unpack(plain, names)

    def pack(self, state: State) -> State:
        theirs: State = {}
        for name, value in state.items():
            module, _, kind = name.rpartition(".")
            module, _, part = module.rpartition(".")
            if part in QUERY_KEY_VALUE[1:]:
                continue  # taken along with the query
            if part == "query":
                pieces = [state[f"{module}.{part}.{kind}"] for part in QUERY_KEY_VALUE]
                name, value = f"{module}.{kind}", torch.cat(pieces)  # 3 x (C, ...) -> (3C, ...)
            theirs[name] = value.T if is_turned(name) else value
        return theirs

    def read_config(self, theirs: Mapping[str, Any], state: State, path: Path) -> dict[str, Any]:
        given = dict(theirs)
        if given.get("n_inner") is None:
            given.pop("n_inner", None)
        ours = super().read_config(given, state, path)
        ours.setdefault("intermediate_size", 4 * ours.get("hidden_size", GPTConfig.hidden_size))
        return ours

    def write_config(self, config: Any) -> dict[str, Any]:
        dropout = {"embd_pdrop": config.dropout, "summary_first_dropout": config.dropout}
        # Their defaults are the ids of GPT-2's own vocabulary.
        ids = {"bos_token_id": None, "eos_token_id": None}
        return {**super().write_config(config), **dropout, **ids}

    def saved_head(self, theirs: Mapping[str, Any], state: State) -> str | None:
        if theirs.get("architectures"):
            return super().saved_head(theirs, state)
        return "classify" if "score.weight" in state else "lm"


def is_turned(name: str) -> bool:
    """Whether a weight of theirs is a matrix (in, out)."""
    return re.search(r"\bh\.[0-9]+\.(attn|mlp)\.c_[a-z]+\.weight$", name) is not None
