"""minift: transfer learning written out by hand in plain PyTorch.

    import minift

    model = minift.create_model("resnet18", head="classify", num_classes=10)
    model = minift.create_model("bert-mini", pretrained=True, num_classes=2)
    model = minift.load("runs/bert", head="classify", num_classes=2)
    minift.transfer.freeze(model, 3)

Reading order: stages.py (the contract), models/, objectives/, transfer/, optim/, training/,
recipes/.
"""

from minift import optim, tokenizers, transfer
from minift.checkpoint import load, load_tokenizer, save
from minift.models.registry import create_model, list_models

__all__ = [
    "create_model",
    "list_models",
    "load",
    "load_tokenizer",
    "optim",
    "save",
    "tokenizers",
    "transfer",
]
__version__ = "0.1.0"
