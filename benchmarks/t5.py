"""T5's training step: 4 + 4 layers of 256, 128 tokens read and 32 written, batch 32."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.peers import num_weights, prepare_torchvision
from benchmarks.runner import Row, Settings, Work, Workload
from minift.models.t5 import T5, T5Config
from minift.objectives.causal import shift_right
from minift.objectives.scores import token_scores
from minift.optim import Adam
from minift.transfer import param_groups

V, C, F, L, H, S, T = 8192, 256, 1024, 4, 4, 128, 32


def texts(settings: Settings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator, B = torch.Generator().manual_seed(0), settings.size(32, 2)
    ids = torch.randint(2, V, (B, S), generator=generator)
    return ids, torch.ones_like(ids), torch.randint(2, V, (B, T), generator=generator)


def our_t5(is_gated: bool) -> T5:
    config = T5Config(
        vocab_size=V,
        hidden_size=C,
        num_layers=L,
        num_heads=H,
        intermediate_size=F,
        dropout=0.1,
        activation="gelu_new" if is_gated else "relu",
        is_gated=is_gated,
    )
    return T5(config, "lm")


def ours(settings: Settings, is_gated: bool) -> Work:
    model = our_t5(is_gated).train()
    optimizer = Adam(param_groups(model, lr=1e-4))
    ids, mask, labels = texts(settings)

    def work() -> float:
        loss = token_scores(model(ids, mask.bool(), shift_right(labels, 0)), labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return work


def theirs(settings: Settings, is_gated: bool) -> Work:
    prepare_torchvision()
    import transformers

    config = transformers.T5Config(
        vocab_size=V,
        d_model=C,
        d_kv=C // H,
        d_ff=F,
        num_layers=L,
        num_heads=H,
        dropout_rate=0.1,
        feed_forward_proj="gated-gelu" if is_gated else "relu",
        decoder_start_token_id=0,
    )
    model = transformers.T5ForConditionalGeneration(config).train()
    assert num_weights(model) == num_weights(our_t5(is_gated))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids, mask, labels = texts(settings)

    def work() -> float:
        loss = model(ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return work


FORMS = {"ReLU": False, "gated": True}
WORKLOAD = Workload(
    sides={
        f"{name}, {form}": partial(side, is_gated=is_gated)
        for form, is_gated in FORMS.items()
        for name, side in (("minift", ours), ("transformers", theirs))
    },
    rows=[
        Row(f"T5 step, {form}", f"minift, {form}", f"transformers, {form}", 1.3) for form in FORMS
    ],
)
