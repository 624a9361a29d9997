"""BERT's pretraining step: masked words and next sentence, AdamW, 192 pairs of 16 to 128 tokens.

Six steps of 32 pairs. The peer pads each to 128, as it does by default, or groups the pairs by
length; ours are grouped as `pretrain_bert` groups them. Dropout is the same on both sides, with the
attention's weights and without them.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.peers import prepare_torchvision
from benchmarks.runner import Row, Settings, Work, Workload
from minift.models.bert import Bert, BertConfig
from minift.optim import Adam
from minift.recipes.pretraining import bert_loss
from minift.transfer import param_groups

V, C, F, L, H, T = 8192, 256, 1024, 4, 4, 128


class Sizes(NamedTuple):
    num_steps: int
    batch_size: int


def sizes(settings: Settings) -> Sizes:
    return Sizes(settings.size(6, 2), settings.size(32, 4))


def pairs(settings: Settings, is_grouped: bool, is_padded: bool) -> list[dict[str, Tensor]]:
    """The same sequences on every side; 15% of each one's tokens carry a label."""
    num_steps, B = sizes(settings)
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(16, T + 1, (num_steps * B,), generator=generator)
    rows = []
    for length in lengths.tolist():
        ids = torch.randint(5, V, (length,), generator=generator)
        labels = torch.full_like(ids, -100)
        chosen = torch.randperm(length - 1, generator=generator)[: round(0.15 * length)] + 1
        labels[chosen] = ids[chosen]
        rows.append((ids.index_fill(0, chosen, 4), labels))
    next_labels = torch.randint(2, (len(rows),), generator=generator)
    order = lengths.argsort() if is_grouped else torch.arange(len(rows))
    batches = []
    for chosen in order.split(B):
        S = T if is_padded else int(lengths[chosen].max())
        batch = {
            "input_ids": torch.zeros(B, S, dtype=torch.int64),
            "mlm_labels": torch.full((B, S), -100),
        }
        for place, row in enumerate(chosen.tolist()):
            for name, values in zip(batch, rows[row]):
                batch[name][place, : len(values)] = values
        batch["attention_mask"] = torch.arange(S) < lengths[chosen][:, None]
        batch["token_type_ids"] = torch.zeros(B, S, dtype=torch.int64)
        batch["next_labels"] = next_labels[chosen]
        batches.append(batch)
    return batches


def ours(settings: Settings, attention_dropout: float, is_bf16: bool = False) -> Work:
    model = our_bert(attention_dropout, head="pretrain").train()
    optimizer = Adam(param_groups(model, lr=1e-4))
    batches = pairs(settings, is_grouped=True, is_padded=False)

    def work() -> float:
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                loss, _ = bert_loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return work


def theirs(
    settings: Settings,
    attention_dropout: float,
    is_grouped: bool,
    is_padded: bool = False,
    is_bf16: bool = False,
) -> Work:
    model = their_bert("BertForPreTraining", attention_dropout).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batches = pairs(settings, is_grouped, is_padded)

    def work() -> float:
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                loss = model(
                    batch["input_ids"],
                    batch["attention_mask"],
                    batch["token_type_ids"],
                    labels=batch["mlm_labels"],
                    next_sentence_label=batch["next_labels"],
                ).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return work


def our_bert(attention_dropout: float, dropout: float = 0.1, **head: Any) -> Bert:
    config = BertConfig(
        vocab_size=V,
        hidden_size=C,
        num_layers=L,
        num_heads=H,
        intermediate_size=F,
        max_positions=T,
        dropout=dropout,
        attention_dropout=attention_dropout,
    )
    return Bert(config, **head)


def their_bert(
    architecture: str, attention_dropout: float, dropout: float = 0.1, **more: Any
) -> Any:
    prepare_torchvision()
    import transformers

    config = transformers.BertConfig(
        vocab_size=V,
        hidden_size=C,
        num_hidden_layers=L,
        num_attention_heads=H,
        intermediate_size=F,
        max_position_embeddings=T,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=attention_dropout,
        **more,
    )
    return getattr(transformers, architecture)(config)


PADDED, GROUPED = "transformers, padded to 128", "transformers, grouped"
WORKLOAD = Workload(
    sides={
        "minift": partial(ours, attention_dropout=0.1),
        PADDED: partial(theirs, attention_dropout=0.1, is_grouped=False, is_padded=True),
        GROUPED: partial(theirs, attention_dropout=0.1, is_grouped=True),
        "minift, attention undropped": partial(ours, attention_dropout=0.0),
        f"{GROUPED}, attention undropped": partial(theirs, attention_dropout=0.0, is_grouped=True),
    },
    rows=[
        Row("BERT step", "minift", PADDED, 2.9),
        Row("BERT step", "minift", GROUPED, 1.8),
        Row(
            "BERT step, attention undropped",
            "minift, attention undropped",
            f"{GROUPED}, attention undropped",
            None,
        ),
    ],
)
if torch.cpu._is_amx_tile_supported():  # other CPUs convert back and forth
    WORKLOAD.sides["minift, bf16"] = partial(ours, attention_dropout=0.1, is_bf16=True)
    WORKLOAD.sides[f"{GROUPED}, bf16"] = partial(
        theirs, attention_dropout=0.1, is_grouped=True, is_bf16=True
    )
    WORKLOAD.rows.append(Row("BERT step, bf16", "minift, bf16", f"{GROUPED}, bf16", 2.3))
