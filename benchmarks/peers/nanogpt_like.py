"""A stand-in for nanoGPT, which no package index has: a GPT-2 in the manner that it describes.

Written anew from that description, so that its way of working can be timed beside ours: one product
makes query, key and value, attention is `scaled_dot_product_attention`, the loss is over the logits
of all positions, and generation reads the whole context again for every token, without a cache.

As in GPT-2, and so that both sides compute the same, GELU is its approximation by tanh.

Shapes: B batch, T length, C model width, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Where each part's weights stand in a GPT-2 checkpoint.
NAMES = {
    "norm1": "ln_1",
    "query_key_value": "attn.c_attn",
    "output": "attn.c_proj",
    "norm2": "ln_2",
    "expand": "mlp.c_fc",
    "contract": "mlp.c_proj",
}


class NanoGPTLike(nn.Module):
    def __init__(self, V: int, T: int, C: int, num_layers: int, num_heads: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, C), nn.Embedding(T, C)
        self.blocks = nn.ModuleList(Block(C, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(C)
        self.head = nn.Linear(C, V, bias=False)
        self.head.weight = self.tokens.weight

    @classmethod
    def from_pretrained(cls, folder: str | Path, num_heads: int) -> NanoGPTLike:
        """Read a GPT-2 checkpoint, whose matrices are (in, out)."""
        from safetensors.torch import load_file

        state = load_file(Path(folder) / "model.safetensors")
        (V, C), T = state["transformer.wte.weight"].shape, len(state["transformer.wpe.weight"])
        num_layers = sum(name.endswith("attn.c_attn.bias") for name in state)
        model = cls(V, T, C, num_layers, num_heads)
        named = [("tokens", "wte"), ("positions", "wpe"), ("norm", "ln_f")]
        for number in range(num_layers):
            named += [(f"blocks.{number}.{a}", f"h.{number}.{b}") for a, b in NAMES.items()]
        with torch.no_grad():
            for ours, theirs in named:
                part = model.get_submodule(ours)
                for kind, weight in part.named_parameters():
                    value = state[f"transformer.{theirs}.{kind}"]
                    is_turned = isinstance(part, nn.Linear) and value.ndim == 2
                    weight.copy_(value.T if is_turned else value)
        return model

    def hidden(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def loss(self, ids: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.head(self.hidden(ids)).flatten(0, 1), labels.flatten())

    @torch.no_grad()
    def generate(self, ids: Tensor, max_new_tokens: int) -> Tensor:
        for _ in range(max_new_tokens):
            logits = self.head(self.hidden(ids[:, -len(self.positions.weight) :])[:, -1])
            ids = torch.cat([ids, logits.argmax(dim=-1, keepdim=True)], dim=1)
        return ids


class Block(nn.Module):
    def __init__(self, C: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.query_key_value, self.output = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.expand, self.contract = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        parts = self.query_key_value(self.norm1(x)).split(C, dim=2)
        q, k, v = (part.view(B, T, self.num_heads, -1).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(B, T, C))
        return x + self.contract(F.gelu(self.expand(self.norm2(x)), approximate="tanh"))
