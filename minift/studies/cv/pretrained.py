"""The trunk that the studies of pictures start from: a ResNet that has learnt the source's shapes.

One for each seed, so that the spread of a study is that of pretraining too. Studies that ask for
the same source share what was pretrained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from minift.checkpoint import save
from minift.data.shapes import SHAPES_CLASSES, shapes
from minift.models.registry import create_model
from minift.recipes.pretraining import PretrainConfig, pretrain_resnet, resnet_steps
from minift.studies.results import Row
from minift.studies.study import Ingredient


@dataclass(frozen=True)
class Source:
    """What is pretrained, and on how much."""

    model: str = "resnet10"
    num_pictures: int = 20_000
    image_size: int = 32  # pixels; targets must have the same
    epochs: int = 6
    batch_size: int = 64


SOURCE = Source()
QUICK_SOURCE = Source("resnet8", num_pictures=6_000, image_size=16, epochs=12, batch_size=32)


def pretrained(source: Source, seed: int) -> Ingredient:
    """The ingredient: a checkpoint folder with the trunk and the head for the source's shapes."""
    return Ingredient(shapes_resnet, {**asdict(source), "seed": seed})


def shapes_resnet(
    folder: Path,
    *,
    model: str,
    num_pictures: int,
    image_size: int,
    epochs: int,
    batch_size: int,
    seed: int,
) -> Row:
    """Pretrain on the source's pictures, save, and return the accuracy on others of them."""
    train = shapes("source", num_pictures, seed=2 * seed, image_size=image_size)
    test = shapes("source", 1000, seed=2 * seed + 1, image_size=image_size)
    network = create_model(model, num_classes=len(SHAPES_CLASSES["source"]))
    config = PretrainConfig(
        num_steps=resnet_steps(train, batch_size, epochs),
        batch_size=batch_size,
        lr=4e-3,
        schedule="one_cycle",
        warmup=0.3,
        betas=(0.9, 0.999),
        precision="fp32",
        seed=seed,
        progress=False,
    )
    scores = pretrain_resnet(network, train, config, held_out=test).scores
    lineage = {"recipe": "studies", "seed": seed, "data": "shapes:source"}
    save(network, folder, classes=list(SHAPES_CLASSES["source"]), lineage=lineage)
    return {"accuracy": scores["accuracy"], "chance": 1 / len(SHAPES_CLASSES["source"])}
