"""BERT's checkpoints: their names beside ours, both directions.

Their layout follows the code of Devlin et al. 2019, where a norm's weight and bias are "gamma" and
"beta"; checkpoints that were converted early still have these. The trunk's names begin with
"bert."; a checkpoint of the trunk alone leaves that out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from minift.interop.names import Family, NameMap, State

TRUNK = [
    ("trunk.stages.embedding.tokens", "bert.embeddings.word_embeddings"),
    ("trunk.stages.embedding.positions", "bert.embeddings.position_embeddings"),
    ("trunk.stages.embedding.segments", "bert.embeddings.token_type_embeddings"),
    ("trunk.stages.embedding.norm", "bert.embeddings.LayerNorm"),
    *(
        (f"trunk.stages.block{{}}.{ours}", f"bert.encoder.layer.{{}}.{theirs}")
        for ours, theirs in (
            ("attention.sublayer.query", "attention.self.query"),
            ("attention.sublayer.key", "attention.self.key"),
            ("attention.sublayer.value", "attention.self.value"),
            ("attention.sublayer.output", "attention.output.dense"),
            ("attention.norm", "attention.output.LayerNorm"),
            ("feed_forward.sublayer.expand", "intermediate.dense"),
            ("feed_forward.sublayer.contract", "output.dense"),
            ("feed_forward.norm", "output.LayerNorm"),
        )
    ),
    ("trunk.stages.pooler.dense", "bert.pooler.dense"),
]
MASKED_LM = [
    ("dense", "cls.predictions.transform.dense"),
    ("norm", "cls.predictions.transform.LayerNorm"),
    ("decoder.bias", "cls.predictions.bias"),
    ("decoder.bias", "cls.predictions.decoder.bias"),
    ("decoder.weight", "cls.predictions.decoder.weight"),  # tied to the embedding of tokens
]
HEADS = [
    *((f"head.{ours}", theirs) for ours, theirs in MASKED_LM),  # "mlm"
    *((f"head.mlm.{ours}", theirs) for ours, theirs in MASKED_LM),  # "pretrain"
    ("head.nsp", "cls.seq_relationship"),
    ("head.classifier", "classifier"),  # "classify" and "tag"
    ("head.start_and_end", "qa_outputs"),  # "span"
]


class BertFamily(Family):
    family = "bert"
    model_type = "bert"
    prefix = "bert."
    fields: Mapping[str, str] = {
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "intermediate_size": "intermediate_size",
        "max_position_embeddings": "max_positions",
        "type_vocab_size": "type_vocab_size",
        "pad_token_id": "pad_id",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "layer_norm_eps": "norm_eps",
        "initializer_range": "init_std",
    }
    defaults: Mapping[str, Any] = {"attention_dropout": 0.1, "pad_id": 0}
    fixed: Mapping[str, Any] = {
        "is_decoder": False,
        "add_cross_attention": False,
        "position_embedding_type": "absolute",
    }
    architectures: Mapping[str, str | None] = {
        "BertModel": None,
        "BertForPreTraining": "pretrain",
        "BertForMaskedLM": "mlm",
        "BertForSequenceClassification": "classify",
        "BertForTokenClassification": "tag",
        "BertForQuestionAnswering": "span",
    }
    # Their classes for masked words, tags and spans leave it out: these tasks do not read it.
    optional = ("trunk.stages.pooler",)

    def name_map(self, config: Any) -> NameMap:
        return NameMap([*TRUNK, *HEADS])

    def unpack(self, state: State, names: NameMap) -> State:
        return super().unpack({_modern(name): value for name, value in state.items()}, names)

    def saved_head(self, theirs: Mapping[str, Any], state: State) -> str | None:
        """By the class that wrote it, or where that is unknown by the weights that are there."""
        if theirs.get("architectures"):
            return super().saved_head(theirs, state)
        if "cls.predictions.transform.dense.weight" in state:
            return "pretrain" if "cls.seq_relationship.weight" in state else "mlm"
        if "qa_outputs.weight" in state:
            return "span"
        return "classify" if "classifier.weight" in state else None


def _modern(name: str) -> str:
    """The old spelling of a norm's weight and bias."""
    return re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name))
