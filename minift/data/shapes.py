"""Pictures drawn by formulas: a domain to pretrain on and three to transfer to, near, mid and far.

A shape is a signed distance function: a formula of (x, y) that is negative inside the shape,
positive outside, and grows by about one per unit of length, so that its value also says how much of
a pixel on the edge is covered. Unions are minima, intersections maxima (Hart 1996, "Sphere
tracing"). A class is therefore a line or two, the mask and the box come with the picture, and
nothing has to be downloaded.

The domains stand at growing distances from the source, as in the study of how transferable features
are (Yosinski et al. 2014): the same kind of picture with new shapes; grey cells under a microscope;
land seen from above.

Shapes: N pictures, H = W = image_size. Colours lie in about [0, 1] until the very end. Frames: in
the picture x goes right and y goes down, both from 0 to 1; in the unit frame a shape fills about
the unit circle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
Drawing = tuple[Tensor, Tensor]  # colours (N, 3, H, W) and coverage (N, H, W), both in [0, 1]

# ------------------------------------------------------- signed distances, in the unit frame


def _disc(x: Tensor, y: Tensor, radius: float, at: tuple[float, float] = (0, 0)) -> Tensor:
    return torch.hypot(x - at[0], y - at[1]) - radius


def _box(
    x: Tensor, y: Tensor, width: float, height: float, at: tuple[float, float] = (0, 0)
) -> Tensor:
    """A rectangle of the half sizes `width` and `height`."""
    return torch.maximum((x - at[0]).abs() - width, (y - at[1]).abs() - height)


def _fold(x: Tensor, y: Tensor, sectors: int) -> tuple[Tensor, Tensor]:
    """Turn every point into the sector around the x axis: what is there appears in all sectors."""
    sector = 2 * math.pi / sectors
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    angle = (torch.remainder(angle + sector / 2, sector) - sector / 2).abs()
    return radius * angle.cos(), radius * angle.sin()


def _polygon(x: Tensor, y: Tensor, sides: int, inradius: float) -> Tensor:
    return _fold(x, y, sides)[0] - inradius


def _star(x: Tensor, y: Tensor, points: int, inner: float) -> Tensor:
    """Straight edges from the tips on the unit circle to dents at the radius `inner`."""
    u, v = _fold(x, y, points)
    dent_u, dent_v = inner * math.cos(math.pi / points), inner * math.sin(math.pi / points)
    edge = math.hypot(1 - dent_u, dent_v)
    return ((u - 1) * dent_v + v * (1 - dent_u)) / edge


def _slope(x: Tensor, y: Tensor, degrees: float) -> Tensor:
    """Negative in the wedge that opens downwards from the origin, `degrees` to either side."""
    angle = math.radians(degrees)
    return x.abs() * math.cos(angle) - y * math.sin(angle)


def _all(*parts: Tensor) -> Tensor:
    return torch.stack(parts).amax(0)


def _any(*parts: Tensor) -> Tensor:
    return torch.stack(parts).amin(0)


SOURCE_SHAPES: dict[str, Distance] = {
    "disc": lambda x, y: _disc(x, y, 0.85),
    "square": lambda x, y: _box(x, y, 0.72, 0.72),
    "triangle": lambda x, y: _polygon(x, y, 3, 0.52),
    "pentagon": lambda x, y: _polygon(x, y, 5, 0.75),
    "star": lambda x, y: _star(x, y, 5, 0.45),
    "cross": lambda x, y: _any(_box(x, y, 0.95, 0.3), _box(x, y, 0.3, 0.95)),
    "ring": lambda x, y: _disc(x, y, 0.68).abs() - 0.22,
    "crescent": lambda x, y: _all(_disc(x, y, 0.95), -_disc(x, y, 0.8, at=(0.5, 0))),
    "heart": lambda x, y: _any(
        _disc(x.abs(), y, 0.53, at=(0.375, -0.3)),
        (x.abs() + (y - 0.08).abs() - 0.75) / math.sqrt(2),
    ),
    "arrow": lambda x, y: _any(
        _box(x, y, 0.2, 0.6, at=(0, 0.35)), _all(_slope(x, y + 1, 40), y + 0.1)
    ),
}
NEAR_SHAPES: dict[str, Distance] = {
    "ellipse": lambda x, y: 0.55 * _disc(x, y / 0.55, 1),
    "bar": lambda x, y: _box(x, y, 1, 0.28),
    "half_disc": lambda x, y: _all(_disc(x, y, 1, at=(0, 0.4)), y - 0.4),
    "corner": lambda x, y: _any(
        _box(x, y, 0.25, 0.75, at=(-0.5, 0)), _box(x, y, 0.75, 0.25, at=(0, 0.5))
    ),
    "tee": lambda x, y: _any(
        _box(x, y, 0.8, 0.25, at=(0, -0.55)), _box(x, y, 0.25, 0.8, at=(0, 0.05))
    ),
    "frame": lambda x, y: _box(x, y, 0.6, 0.6).abs() - 0.17,
    "drop": lambda x, y: _any(
        _disc(x, y, 0.6, at=(0, 0.35)), _all(_slope(x, y + 1, 26.4), y - 0.08)
    ),
    "clover": lambda x, y: _disc(x.abs(), y.abs(), 0.46, at=(0.42, 0.42)),
    "hourglass": lambda x, y: _all(_slope(x, y.abs() + 0.1, 42), y.abs() - 0.8),
    "pie": lambda x, y: _all(_disc(x, y, 0.92), -_slope(x, y + 0.1, 40)),
}
CELL_SHAPES: dict[str, Distance] = {
    "round": lambda x, y: _disc(x, y, 0.85),
    "oval": lambda x, y: 0.5 * _disc(x, y / 0.5, 1),
    "sickle": lambda x, y: _all(_disc(x, y, 1), -_disc(x, y, 0.9, at=(0.5, 0))),
    "spiky": lambda x, y: torch.hypot(x, y) - 0.72 - 0.2 * torch.cos(8 * torch.atan2(y, x)),
    "dividing": lambda x, y: _disc(x.abs(), y, 0.55, at=(0.45, 0)),
    "hollow": lambda x, y: _disc(x, y, 0.65).abs() - 0.25,
}

# ------------------------------------------------------------- what all drawings are made of


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """One number per picture, shaped (N, 1, 1) so that it spreads over the pixels."""
    return low + (high - low) * torch.rand(count, 1, 1, generator=generator)


def _colour(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """One colour per picture, (N, 3, 1, 1)."""
    return low + (high - low) * torch.rand(count, 3, 1, 1, generator=generator)


def _tint(rgb: tuple[float, float, float], count: int, generator: Generator) -> Tensor:
    """One colour per picture, (N, 3, 1, 1), near the given one."""
    return torch.tensor(rgb).view(1, 3, 1, 1) + _colour(count, -0.06, 0.06, generator)


def _pixels(image_size: int) -> tuple[Tensor, Tensor]:
    """x and y of the pixels' centres, each (1, H, W)."""
    centres = (torch.arange(image_size) + 0.5) / image_size
    return centres.expand(1, image_size, -1), centres.view(-1, 1).expand(1, -1, image_size)


def _turned(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def _clouds(count: int, grid: int, image_size: int, generator: Generator) -> Tensor:
    """Smooth noise (N, H, W) in about [-1, 1]: a grid of random numbers, enlarged."""
    coarse = 2 * torch.rand(count, 1, grid, grid, generator=generator) - 1
    return F.interpolate(coarse, image_size, mode="bilinear", align_corners=True)[:, 0]


def _noise(image: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """Grain for colours (N, 3, H, W): some pictures come out clear and some hard to read."""
    strength = _uniform(len(image), low, high, generator).unsqueeze(1)
    return strength * torch.randn(image.shape, generator=generator)


def _covered(distance: Tensor, image_size: int) -> Tensor:
    """How much of each pixel lies inside; `distance` is in the picture's frame."""
    return (0.5 - distance * image_size).clamp(0, 1)


def _over(below: Tensor, above: Tensor, coverage: Tensor) -> Tensor:
    """Paint the colours `above` where `coverage` (N, H, W) says so."""
    return torch.lerp(*torch.broadcast_tensors(below, above, coverage.unsqueeze(1)))


# ---------------------------------------------------------------------- source and near


def _draw_shapes(
    shapes: Mapping[str, Distance], labels: Tensor, image_size: int, generator: Generator
) -> Drawing:
    """One textured shape on a textured ground, anywhere, of any size, turned by any angle."""
    count = len(labels)
    radius = _uniform(count, 0.19, 0.38, generator)
    centre_x = radius + (1 - 2 * radius) * _uniform(count, 0, 1, generator)
    centre_y = radius + (1 - 2 * radius) * _uniform(count, 0, 1, generator)
    angle = _uniform(count, 0, 2 * math.pi, generator)
    x, y = _pixels(image_size)
    x, y = _turned((x - centre_x) / radius, (y - centre_y) / radius, angle)
    coverage = _covered(_by_class(shapes, labels, x, y) * radius, image_size)

    ground = _colour(count, 0, 1, generator)
    # Half way round each channel's range, so that no shape has the colour of its ground.
    figure = torch.remainder(ground + _colour(count, 0.22, 0.78, generator), 1)
    image = _over(
        ground + _texture(count, image_size, generator),
        figure + _texture(count, image_size, generator),
        coverage,
    )
    return image + _noise(image, 0.03, 0.26, generator), coverage


def _by_class(shapes: Mapping[str, Distance], labels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Each picture's distances (N, H, W) by the formula of its own class."""
    distance = torch.empty_like(x)
    for index, formula in enumerate(shapes.values()):
        rows = (labels == index).nonzero().squeeze(1)
        distance[rows] = formula(x[rows], y[rows])
    return distance


def _texture(count: int, image_size: int, generator: Generator) -> Tensor:
    """What to add to a plain colour, (N, 3, H, W): nothing, stripes, checks or clouds."""
    x, y = _turned(*_pixels(image_size), _uniform(count, 0, math.pi, generator))
    frequency = _uniform(count, 2, 6, generator) * 2 * math.pi
    stripes = torch.sin(x * frequency + _uniform(count, 0, 2 * math.pi, generator))
    checks = stripes * torch.sin(y * frequency)
    clouds = _clouds(count, 6, image_size, generator)
    patterns = torch.stack([torch.zeros_like(clouds), stripes, checks, clouds])
    kind = torch.randint(len(patterns), (count,), generator=generator)
    pattern = patterns[kind, torch.arange(count)]
    return _colour(count, -0.35, 0.35, generator) * pattern.unsqueeze(1)


# ------------------------------------------------------------------------------------ mid


def _draw_cells(labels: Tensor, image_size: int, generator: Generator) -> Drawing:
    """Two to four cells of one kind on a grey slide, at most one in each quarter of the picture."""
    count = len(labels)
    slide = _uniform(count, 0.65, 0.85, generator) + 0.08 * _clouds(count, 3, image_size, generator)
    stain = _uniform(count, 0.15, 0.35, generator)
    coverage = torch.zeros(count, image_size, image_size)
    outline = torch.zeros_like(coverage)
    quarters = torch.rand(count, 4, generator=generator).argsort(1)
    present = 2 + torch.randint(3, (count,), generator=generator)
    for cell in range(4):
        radius = _uniform(count, 0.16, 0.22, generator)
        quarter = quarters[:, cell].view(-1, 1, 1)
        x, y = _pixels(image_size)
        x = x - 0.27 - 0.46 * (quarter % 2) + _uniform(count, -0.05, 0.05, generator)
        y = y - 0.27 - 0.46 * (quarter // 2) + _uniform(count, -0.05, 0.05, generator)
        x, y = _turned(x / radius, y / radius, _uniform(count, 0, 2 * math.pi, generator))
        distance = _by_class(CELL_SHAPES, labels, x, y) * radius
        exists = (cell < present).view(-1, 1, 1)
        coverage = torch.maximum(coverage, exists * _covered(distance, image_size))
        outline = torch.maximum(outline, exists * _covered(distance.abs() - 0.02, image_size))
    grain = _clouds(count, 12, image_size, generator)
    grey = slide - stain * coverage * (1 + 0.3 * grain) - 0.2 * outline
    image = grey.unsqueeze(1)
    return (image + _noise(image, 0.03, 0.1, generator)).expand(-1, 3, -1, -1), coverage


# ------------------------------------------------------------------------------------ far


def _land(count: int, image_size: int, generator: Generator) -> Tensor:
    """Grass and soil, the ground of most pictures from above, (N, 3, H, W)."""
    grass = _tint((0.42, 0.50, 0.27), count, generator)
    soil = _tint((0.55, 0.47, 0.34), count, generator)
    return _over(grass, soil, 0.5 + 0.5 * _clouds(count, 5, image_size, generator))


def _water(count: int, image_size: int, generator: Generator) -> Tensor:
    """Blue, with waves that all run one way, (N, 3, H, W)."""
    x, _ = _turned(*_pixels(image_size), _uniform(count, 0, math.pi, generator))
    swell = _clouds(count, 4, image_size, generator)
    waves = torch.sin(_uniform(count, 40, 60, generator) * x + 2 * swell)
    shade = 0.05 * swell + 0.03 * waves
    return _tint((0.16, 0.34, 0.46), count, generator) + shade.unsqueeze(1)


def _lattice(count: int, image_size: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """x and y around the nearest point of a turned grid, and the grid's spacing."""
    spacing = _uniform(count, 0.2, 0.28, generator)
    x, y = _turned(*_pixels(image_size), _uniform(count, 0, math.pi, generator))
    x, y = (z + _uniform(count, 0, 1, generator) for z in (x, y))
    return x - spacing * (x / spacing).round(), y - spacing * (y / spacing).round(), spacing


def _sea(count: int, image_size: int, generator: Generator) -> Drawing:
    return _water(count, image_size, generator), torch.ones(count, image_size, image_size)


def _coast(count: int, image_size: int, generator: Generator) -> Drawing:
    """Sand on one side of a wavering shore, with foam along it."""
    x, y = _pixels(image_size)
    x, _ = _turned(x - 0.5, y - 0.5, _uniform(count, 0, 2 * math.pi, generator))
    shore = x + 0.12 * _clouds(count, 4, image_size, generator)
    sand = _covered(shore + _uniform(count, -0.15, 0.15, generator), image_size)
    foam = 4 * sand * (1 - sand)
    image = _over(
        _water(count, image_size, generator), _tint((0.80, 0.72, 0.54), count, generator), sand
    )
    return image + 0.3 * foam.unsqueeze(1), sand


def _river(count: int, image_size: int, generator: Generator) -> Drawing:
    x, y = _pixels(image_size)
    x, y = _turned(x - 0.5, y - 0.5, _uniform(count, 0, 2 * math.pi, generator))
    bend = torch.sin(
        _uniform(count, 4, 8, generator) * x + _uniform(count, 0, 2 * math.pi, generator)
    )
    middle = _uniform(count, 0.06, 0.14, generator) * bend
    river = _covered((y - middle).abs() - _uniform(count, 0.06, 0.12, generator), image_size)
    land, water = (paint(count, image_size, generator) for paint in (_land, _water))
    return _over(land, water, river), river


def _road(count: int, image_size: int, generator: Generator) -> Drawing:
    """Straight and grey, with a dashed line along its middle."""
    x, y = _pixels(image_size)
    x, y = _turned(x - 0.5, y - 0.5, _uniform(count, 0, 2 * math.pi, generator))
    y = y + _uniform(count, -0.2, 0.2, generator)
    road = _covered(y.abs() - _uniform(count, 0.07, 0.1, generator), image_size)
    dashes = _covered(y.abs() - 0.016, image_size) * (torch.sin(30 * x) > 0)
    asphalt = _tint((0.36, 0.36, 0.38), count, generator)
    image = _over(_land(count, image_size, generator), asphalt, road)
    return image + 0.45 * dashes.unsqueeze(1), road


def _forest(count: int, image_size: int, generator: Generator) -> Drawing:
    crowns = _clouds(count, 14, image_size, generator)
    crowns = crowns + 0.5 * _clouds(count, 6, image_size, generator)
    shade = 0.14 * crowns.unsqueeze(1)
    return _tint((0.16, 0.31, 0.15), count, generator) + shade, (crowns > -0.3).float()


def _fields(count: int, image_size: int, generator: Generator) -> Drawing:
    """Two plots with furrows of their own direction, and a hedge between them."""
    x, y = _pixels(image_size)
    border, _ = _turned(x - 0.5, y - 0.5, _uniform(count, 0, 2 * math.pi, generator))
    plots = []
    for crop in ((0.62, 0.58, 0.28), (0.40, 0.52, 0.24)):
        across, _ = _turned(x, y, _uniform(count, 0, math.pi, generator))
        furrows = 0.08 * torch.sin(_uniform(count, 40, 70, generator) * across)
        plots.append(_tint(crop, count, generator) + furrows.unsqueeze(1))
    image = _over(plots[0], plots[1], _covered(border, image_size))
    hedge = _covered(border.abs() - 0.02, image_size)
    image = _over(image, _tint((0.18, 0.28, 0.14), count, generator), hedge)
    return image, 1 - hedge


def _orchard(count: int, image_size: int, generator: Generator) -> Drawing:
    """Single trees in straight rows, each with its shadow."""
    x, y, spacing = _lattice(count, image_size, generator)
    radius = 0.33 * spacing
    trees = _covered(torch.hypot(x, y) - radius, image_size)
    shadow = _covered(torch.hypot(x - 0.03, y - 0.03) - radius, image_size)
    image = _land(count, image_size, generator) - 0.2 * shadow.unsqueeze(1)
    return _over(image, _tint((0.20, 0.38, 0.18), count, generator), trees), trees


def _houses(count: int, image_size: int, generator: Generator) -> Drawing:
    """Roofs in rows, lighter on one side of the ridge."""
    x, y, spacing = _lattice(count, image_size, generator)
    roofs = _covered(_all(x.abs() - 0.32 * spacing, y.abs() - 0.24 * spacing), image_size)
    tiles = _tint((0.58, 0.32, 0.25), count, generator) + 0.1 * y.sign().unsqueeze(1)
    paving = _tint((0.55, 0.54, 0.50), count, generator)
    land = _land(count, image_size, generator)
    return _over(0.5 * (land + paving), tiles, roofs), roofs


LAND_USES: dict[str, Callable[[int, int, Generator], Drawing]] = {
    "sea": _sea,
    "coast": _coast,
    "river": _river,
    "road": _road,
    "forest": _forest,
    "fields": _fields,
    "orchard": _orchard,
    "houses": _houses,
}


def _draw_land(labels: Tensor, image_size: int, generator: Generator) -> Drawing:
    """Land from above, in the light of any hour and through more or less haze."""
    count = len(labels)
    image = torch.empty(count, 3, image_size, image_size)
    coverage = torch.empty(count, image_size, image_size)
    for index, draw in enumerate(LAND_USES.values()):
        rows = (labels == index).nonzero().squeeze(1)
        image[rows], coverage[rows] = draw(len(rows), image_size, generator)
    image = image * _colour(count, 0.75, 1.25, generator)
    haze = torch.lerp(image, torch.tensor(0.6), _uniform(count, 0, 0.6, generator).unsqueeze(1))
    return haze + _noise(haze, 0.01, 0.08, generator), coverage


# ---------------------------------------------------------------------------- the data sets

_DOMAINS: dict[str, tuple[tuple[str, ...], Callable[[Tensor, int, Generator], Drawing]]] = {
    "source": (tuple(SOURCE_SHAPES), lambda *a: _draw_shapes(SOURCE_SHAPES, *a)),
    "near": (tuple(NEAR_SHAPES), lambda *a: _draw_shapes(NEAR_SHAPES, *a)),
    "mid": (tuple(CELL_SHAPES), _draw_cells),
    "far": (tuple(LAND_USES), _draw_land),
}
SHAPES_DOMAINS = tuple(_DOMAINS)
SHAPES_CLASSES = {name: classes for name, (classes, _) in _DOMAINS.items()}
_CHUNK = 500  # pictures drawn at once: enough to be fast, few enough to stay in the cache


def shapes(name: str, num_examples: int, *, seed: int, image_size: int = 32) -> dict[str, Tensor]:
    """Draw a labelled set of pictures; the same arguments give the same pictures.

    Parameters
    ----------
    name : "source", "near", "mid" or "far".
    num_examples : N; the classes are as even as N allows, in random order.
    seed : other seeds give other pictures, so a test set is the same call with another seed.
    image_size : H = W in pixels.

    Returns
    -------
    images (N, 3, H, W) uint8; labels (N,) int64, positions in SHAPES_CLASSES[name]; masks (N, H, W)
    int64, label + 1 on the thing itself and 0 elsewhere; boxes (N, 4) float32, the mask's
    x0, y0, x1, y1 as fractions of the picture.
    """
    if name not in _DOMAINS:
        raise ValueError(f"name must be one of {', '.join(SHAPES_DOMAINS)}, got {name!r}")
    if num_examples < 1:
        raise ValueError(f"num_examples must be at least 1, got {num_examples}")
    if image_size < 8:
        raise ValueError(f"image_size must be at least 8 pixels, got {image_size}")
    classes, draw = _DOMAINS[name]
    # A stream of its own for each domain, or near and source would share colours and positions.
    generator = Generator().manual_seed(len(_DOMAINS) * seed + SHAPES_DOMAINS.index(name))
    order = torch.randperm(num_examples, generator=generator)
    labels = (torch.arange(num_examples) % len(classes))[order]
    images = torch.empty(num_examples, 3, image_size, image_size, dtype=torch.uint8)
    masks = torch.empty(num_examples, image_size, image_size, dtype=torch.int64)
    for start in range(0, num_examples, _CHUNK):
        rows = slice(start, start + _CHUNK)
        colours, coverage = draw(labels[rows], image_size, generator)
        images[rows] = (255 * colours).round().clamp(0, 255).to(torch.uint8)
        masks[rows] = (coverage > 0.5) * (labels[rows] + 1).view(-1, 1, 1)
    return {"images": images, "labels": labels, "masks": masks, "boxes": mask_boxes(masks)}


def mask_boxes(masks: Tensor) -> Tensor:
    """Return (N, 4), the smallest box around what is not 0 in each of the masks (N, H, W).

    A box is x0, y0, x1, y1 as fractions of the picture. Every mask must have something in it.
    """
    sides = []
    for covered in ((masks != 0).any(1), (masks != 0).any(2)):  # columns (N, W), then rows (N, H)
        size = covered.shape[1]
        first = covered.int().argmax(1)
        last = size - covered.flip(1).int().argmax(1)
        sides.append(torch.stack([first, last], 1) / size)
    (x0, x1), (y0, y1) = (side.unbind(1) for side in sides)
    return torch.stack([x0, y0, x1, y1], 1)
