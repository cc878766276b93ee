"""The built-in data set `shapes`: drawn pictures, for machines without network and for tests."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from store.images import Pixels
from store.packed import Examples, Split

Points = NDArray[np.float64]
Cover = NDArray[np.float32]

SIDE = 32
COUNTS: dict[Split, int] = {"train": 5_000, "test": 1_000}
# Raise it whenever a drawn pixel changes: the packed copy is found by it.
VERSION = 1

_SUPERSAMPLING = 4
_CHUNK = 250  # images painted at a time, so that their float arrays stay in the cache
_CANVAS = SIDE * _SUPERSAMPLING
_SEEDS: dict[Split, int] = {"train": 20_090_408, "test": 20_090_409}


def draw(split: Split, count: int | None = None) -> Examples:
    """Return `count` pictures (N, 32, 32, 3) of the ten shapes; the same ones on every call.

    Colour, background, position, size, rotation and noise vary, so that no single pixel and no
    colour gives a class away. Shapes are bright on dark ground and turned by at most 25°, so that
    the lesson's network learns most of them in the lesson's two epochs.
    """
    count = COUNTS[split] if count is None else count
    random = np.random.default_rng(_SEEDS[split])
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    random.shuffle(labels)
    images = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    for start in range(0, count, _CHUNK):
        chunk = labels[start : start + _CHUNK]
        masks = np.stack([_draw_mask(OUTLINES[CLASSES[label]], random) for label in chunk])
        images[start : start + _CHUNK] = _paint(masks, random)
    return Examples(images, labels)


def _draw_mask(outline: Callable[[], list[Points]], random: np.random.Generator) -> Cover:
    """Return how much of each pixel the shape covers (32, 32), in 0..1."""
    size = random.uniform(0.3, 0.46) * _CANVAS
    room = 0.7 * (_CANVAS / 2 - 0.9 * size)
    centre = _CANVAS / 2 + random.uniform(-room, room, size=2)
    angle = np.deg2rad(random.uniform(-25, 25))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mask = Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(mask)
    # The first polygon is filled, each further one is cut out of it.
    for ink, polygon in zip((255, 0), outline(), strict=False):
        pen.polygon((polygon @ turn * size + centre).ravel().tolist(), fill=ink)
    return np.asarray(mask.reduce(_SUPERSAMPLING), dtype=np.float32) / np.float32(255)


def _paint(masks: Cover, random: np.random.Generator) -> Pixels:
    """Return the masks (N, 32, 32) in random colours on shaded, noisy ground (N, 32, 32, 3)."""
    count = len(masks)
    ground = random.uniform(20, 110, size=(count, 1, 1, 3)).astype(np.float32)
    ink = random.uniform(150, 255, size=(count, 1, 1, 3)).astype(np.float32)
    slope = random.uniform(-25, 25, size=(count, 2, 1, 1, 1)).astype(np.float32)
    noise = random.uniform(2, 12, size=(count, 1, 1, 1)).astype(np.float32)
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    shade = slope[:, 0] * ramp[:, None, None] + slope[:, 1] * ramp[:, None]  # (N, 32, 32, 1)
    cover = masks[..., None]
    pixels = (ground + shade) * (1 - cover) + ink * cover
    pixels += noise * random.standard_normal(pixels.shape, dtype=np.float32)
    return pixels.clip(0, 255).astype(np.uint8)


def _arc(radius: float = 1.0, start: float = 0.0, end: float = 2 * np.pi) -> Points:
    angles = np.linspace(start, end, 48)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _polygon(*corners: tuple[float, float]) -> Points:
    return np.array(corners, dtype=np.float64)


def _star() -> list[Points]:
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
    return [radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)]


def _heart() -> list[Points]:
    # The well-known heart curve, scaled into the unit circle.
    t = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([x, -y - 2], axis=1) / 17]


def _cross() -> list[Points]:
    a, b = 0.3, 0.95
    corners = [(a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a)]
    opposite = [(-x, -y) for x, y in corners]
    return [_polygon(*corners, *opposite)]


# Each outline is a list of polygons in the unit circle; see `_draw_mask`.
OUTLINES: dict[str, Callable[[], list[Points]]] = {
    "arrow": lambda: [
        _polygon((-1, -0.2), (0.1, -0.2), (0.1, -0.7), (1, 0), (0.1, 0.7), (0.1, 0.2), (-1, 0.2))
    ],
    "bar": lambda: [_polygon((-1, -0.25), (1, -0.25), (1, 0.25), (-1, 0.25))],
    "circle": lambda: [_arc(0.9)],
    "crescent": lambda: [_arc(), _arc(0.85) + np.array([0.45, 0.0])],
    "cross": _cross,
    "heart": _heart,
    "ring": lambda: [_arc(), _arc(0.6)],
    "square": lambda: [_polygon((-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75))],
    "star": _star,
    "triangle": lambda: [_polygon((1, 0), (-0.6, 0.87), (-0.6, -0.87))],
}
CLASSES = tuple(OUTLINES)
