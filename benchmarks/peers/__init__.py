"""What the peers need before they can be imported, and a small GPT in the manner of nanoGPT."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def prepare_torchvision() -> None:
    """Declare the operators that a torchvision for another torch looks up at import.

    timm and transformers import it. Kept on the function, for they go with the object.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or hasattr(prepare_torchvision, "library"):
        return
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(compiled)
        except OSError:
            continue
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    prepare_torchvision.library = library  # type: ignore[attr-defined]


class PlainGPT(nn.Module):
    """A GPT-2 as nanoGPT describes itself, which no package has: written anew for this comparison.

    One product for query, key and value; `scaled_dot_product_attention`; logits of all positions in
    training and of the last in generation, which reads the whole context again for every token.
    """

    def __init__(self, V: int, T: int, C: int, num_layers: int, num_heads: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, C), nn.Embedding(T, C)
        self.blocks = nn.ModuleList(PlainBlock(C, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(C)
        self.head = nn.Linear(C, V, bias=False)
        self.head.weight = self.tokens.weight

    def hidden(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
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


class PlainBlock(nn.Module):
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
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


def num_weights(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
