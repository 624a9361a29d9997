"""A GPT's training step: 6 layers of 384, blocks of 256 tokens, batch 12, no dropout, AdamW."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers import PlainGPT, num_weights, prepare_torchvision
from benchmarks.runner import Row, Settings, Work, Workload
from minift.models.gpt import GPT, GPTConfig
from minift.optim import Adam
from minift.recipes.pretraining import gpt_loss
from minift.transfer import param_groups

C, L, H, T = 384, 6, 6, 256


def steps(
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    V: int,
    loss_of: Callable[[Tensor], Tensor],
) -> Work:
    """Two steps on random blocks of one more token than is read."""
    B = settings.size(12, 2)
    ids = torch.randint(V, (2, B, T + 1), generator=torch.Generator().manual_seed(0))

    def work() -> float:
        for block in ids:
            loss = loss_of(block)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return work


def our_gpt(V: int) -> GPT:
    config = GPTConfig(
        vocab_size=V,
        hidden_size=C,
        num_layers=L,
        num_heads=H,
        intermediate_size=4 * C,
        max_positions=T,
        dropout=0.0,
    )
    return GPT(config, "lm")


def plain_gpt(V: int) -> PlainGPT:
    model = PlainGPT(V, T, C, L, H)
    assert num_weights(model) == num_weights(our_gpt(V))
    return model


def their_gpt(V: int) -> Any:
    prepare_torchvision()
    import transformers

    sizes = {"vocab_size": V, "n_positions": T, "n_embd": C, "n_layer": L, "n_head": H}
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **dropout, **ids))


def ours(settings: Settings, V: int) -> Work:
    model = our_gpt(V).train()
    optimizer = Adam(param_groups(model, lr=1e-4))
    return steps(settings, optimizer, V, lambda ids: gpt_loss(model, {"input_ids": ids[:, :T]})[0])


def plain(settings: Settings, V: int) -> Work:
    model = plain_gpt(V)
    return steps(settings, adamw(model), V, lambda ids: model.loss(ids[:, :T], ids[:, 1:]))


def theirs(settings: Settings, V: int) -> Work:
    model = their_gpt(V).train()
    return steps(settings, adamw(model), V, lambda ids: model(ids[:, :T], labels=ids[:, :T]).loss)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)


SIDES = {"minift": ours, "nanoGPT's form": plain, "transformers": theirs}
WORKLOAD = Workload(
    sides={
        f"{name}, V {V}": partial(side, V=V) for V in (8192, 65) for name, side in SIDES.items()
    },
    rows=[
        Row(f"GPT step, V {V}", f"minift, V {V}", f"{peer}, V {V}", reach)
        for V in (8192, 65)
        for peer, reach in (("nanoGPT's form", 1.1), ("transformers", 1.2))
    ],
)
