from __future__ import annotations

import pytest
import torch

from minift.data.shapes import (
    CELL_SHAPES,
    NEAR_SHAPES,
    SHAPES_CLASSES,
    SHAPES_DOMAINS,
    SOURCE_SHAPES,
    mask_boxes,
    shapes,
)

UNIT_FRAME = torch.meshgrid(torch.linspace(-2, 2, 201), torch.linspace(-2, 2, 201), indexing="xy")
ALL_SHAPES = {**SOURCE_SHAPES, **NEAR_SHAPES, **CELL_SHAPES}


@pytest.mark.parametrize("name", [*SOURCE_SHAPES, *NEAR_SHAPES])
def test_distance_grows_no_faster_than_length(name: str) -> None:
    # Otherwise edges would be sharper than a pixel and the masks' corners ragged.
    distance = ALL_SHAPES[name](*UNIT_FRAME)
    step = 4 / 200
    assert (distance.diff(dim=0).abs() <= 1.01 * step).all()
    assert (distance.diff(dim=1).abs() <= 1.01 * step).all()


@pytest.mark.parametrize("name", ALL_SHAPES)
def test_shape_fills_about_the_unit_circle(name: str) -> None:
    x, y = UNIT_FRAME
    inside = ALL_SHAPES[name](x, y) < 0
    reach = torch.hypot(x, y)[inside].max()
    assert 0.8 < reach < 1.15


@pytest.mark.parametrize("names", [SOURCE_SHAPES, NEAR_SHAPES, CELL_SHAPES])
def test_no_two_classes_cover_nearly_the_same(names: dict) -> None:
    inside = [formula(*UNIT_FRAME) < 0 for formula in names.values()]
    for index, one in enumerate(inside):
        for other in inside[:index]:
            assert (one & other).sum() / (one | other).sum() < 0.9


@pytest.mark.parametrize("name", SHAPES_DOMAINS)
def test_tensors_have_the_documented_types_and_shapes(name: str) -> None:
    data = shapes(name, 30, seed=0, image_size=24)
    assert data["images"].shape == (30, 3, 24, 24)
    assert data["images"].dtype == torch.uint8
    assert data["labels"].shape == (30,)
    assert data["masks"].shape == (30, 24, 24)
    assert data["labels"].dtype == data["masks"].dtype == torch.int64
    assert data["boxes"].shape == (30, 4)
    assert data["boxes"].dtype == torch.float32


@pytest.mark.parametrize("name", SHAPES_DOMAINS)
def test_same_seed_gives_same_pictures_and_another_seed_others(name: str) -> None:
    first, again, other = (shapes(name, 20, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["images"], other["images"])


def test_domains_share_no_ground_for_the_same_seed() -> None:
    source, near = (shapes(name, 10, seed=0)["images"].float() for name in ("source", "near"))
    corners = [images[:, :, 0, 0] for images in (source, near)]
    assert (corners[0] - corners[1]).abs().mean() > 20


@pytest.mark.parametrize("name", SHAPES_DOMAINS)
def test_labels_are_balanced_and_shuffled(name: str) -> None:
    num_classes = len(SHAPES_CLASSES[name])
    labels = shapes(name, 10 * num_classes, seed=0)["labels"]
    assert labels.bincount().tolist() == [10] * num_classes
    assert not torch.equal(labels, torch.arange(10 * num_classes) % num_classes)


@pytest.mark.parametrize("name", SHAPES_DOMAINS)
def test_mask_holds_the_class_and_nothing_else(name: str) -> None:
    data = shapes(name, 40, seed=1)
    for mask, label in zip(data["masks"], data["labels"]):
        assert set(mask.unique().tolist()) <= {0, int(label) + 1}
        assert (mask > 0).float().mean() > 0.01


@pytest.mark.parametrize("name", ["source", "near"])
def test_shape_lies_inside_the_picture_and_its_colour_differs_from_the_ground(name: str) -> None:
    data = shapes(name, 100, seed=1)
    border = torch.ones(32, 32, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    # A corner of a shape may reach a little beyond the unit circle.
    assert (data["masks"][:, border] > 0).float().mean() < 0.01
    for image, mask in zip(data["images"].float(), data["masks"]):
        figure, ground = image[:, mask > 0].mean(1), image[:, mask == 0].mean(1)
        assert (figure - ground).abs().max() > 10


def test_box_is_the_smallest_around_the_mask() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.int64)
    masks[0, 2:4, 5:8] = 3
    masks[1] = 1
    assert mask_boxes(masks).tolist() == [[5 / 8, 2 / 8, 1, 4 / 8], [0, 0, 1, 1]]


def test_cells_are_grey_and_come_in_twos_to_fours() -> None:
    data = shapes("mid", 60, seed=0)
    assert (data["images"] == data["images"][:, :1]).all()
    round_cells = data["masks"][data["labels"] == SHAPES_CLASSES["mid"].index("round")] > 0
    quarters = round_cells.unfold(1, 16, 16).unfold(2, 16, 16).flatten(3).float().mean(3) > 0.15
    assert set(quarters.sum((1, 2)).tolist()) == {2, 3, 4}


def test_class_cannot_be_read_off_the_mean_colour_in_source_but_can_in_far() -> None:
    # What makes "far" far: there colour and texture tell the class, in the source only the shape.
    accuracy = {}
    for name in ("source", "far"):
        train, test = (shapes(name, 800, seed=seed) for seed in (0, 1))
        colours = [data["images"].float().mean((2, 3)) for data in (train, test)]
        centres = torch.stack(
            [colours[0][train["labels"] == k].mean(0) for k in range(len(SHAPES_CLASSES[name]))]
        )
        nearest = torch.cdist(colours[1], centres).argmin(1)
        accuracy[name] = (nearest == test["labels"]).float().mean().item()
    assert accuracy["source"] < 0.2
    assert accuracy["far"] > 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "nearby", "num_examples": 1}, "name must be one of source, near, mid, far"),
        ({"name": "near", "num_examples": 0}, "num_examples must be at least 1, got 0"),
        ({"name": "near", "num_examples": 1, "image_size": 4}, "image_size must be at least 8"),
    ],
)
def test_wrong_argument_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes(**arguments, seed=0)
