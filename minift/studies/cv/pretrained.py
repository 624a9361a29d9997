"""The trunk that the studies of pictures start from: a ResNet that has learnt the source's shapes.

One for each seed, so that the spread of a study is that of pretraining too. Studies that ask for
the same source share what was pretrained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minift.checkpoint import save
from minift.data.shapes import SHAPES_CLASSES, shapes
from minift.models.registry import create_model
from minift.recipes.finetuning import score
from minift.recipes.pretraining import PretrainConfig, pretrain_resnet, resnet_steps
from minift.stages import Model
from minift.studies.results import Row
from minift.studies.study import Ingredient


@dataclass(frozen=True)
class Source:
    """What is pretrained, and on how much."""

    model: str = "resnet10"
    stem: str = "small"
    domain: str = "source"  # of the shapes
    num_pictures: int = 20_000
    image_size: int = 32  # pixels; targets must have the same
    epochs: int = 6
    batch_size: int = 64


SOURCE = Source()
# The stem that makes a picture four times smaller: its steps cost little, where many are needed.
CHEAP_SOURCE = Source(stem="paper")
QUICK_SOURCE = Source("resnet8", num_pictures=6_000, image_size=16, epochs=12, batch_size=32)


def pretrained(source: Source, seed: int) -> Ingredient:
    """The ingredient: a checkpoint folder with the trunk and the head for the source's shapes."""
    return Ingredient(shapes_resnet, {**asdict(source), "seed": seed})


def shapes_resnet(folder: Path, *, seed: int, **arguments: Any) -> Row:
    """Pretrain on the source of these arguments, save, and return the accuracy."""
    source = Source(**arguments)
    classes = list(SHAPES_CLASSES[source.domain])
    network = create_model(source.model, num_classes=len(classes), stem=source.stem)
    learn(network, source, seed)
    lineage = {"recipe": "studies", "seed": seed, "data": f"shapes:{source.domain}"}
    save(network, folder, classes=classes, lineage=lineage)
    return judged(network, source, seed)


def learn(network: Model, source: Source, seed: int) -> None:
    """Train what is not frozen of the network on the source's pictures."""
    train = shapes(source.domain, source.num_pictures, seed=2 * seed, image_size=source.image_size)
    config = PretrainConfig(
        num_steps=resnet_steps(train, source.batch_size, source.epochs),
        batch_size=source.batch_size,
        lr=4e-3,
        schedule="one_cycle",
        warmup=0.3,
        betas=(0.9, 0.999),
        precision="fp32",
        seed=seed,
        progress=False,
    )
    pretrain_resnet(network, train, config)


def judged(network: Model, source: Source, seed: int) -> Row:
    """The accuracy on pictures of the source that nobody trained on."""
    test = shapes(source.domain, 1000, seed=2 * seed + 1, image_size=source.image_size)
    chance = 1 / len(SHAPES_CLASSES[source.domain])
    return {"accuracy": score(network, test, "fp32")["accuracy"], "chance": chance}
