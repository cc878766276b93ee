"""A look into a data set: some images of a split in a grid, each with its class below it."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from store.packed import PackedDataset, Split

TILE_SIDE = 96
_LABEL_HEIGHT = 18
_MARGIN = 8
_FONT_SIZE = 12


def draw(dataset: PackedDataset, split: Split, *, seed: int, count: int) -> Image.Image:
    """Return a grid of `count` images of the split, or of all where it has fewer.

    The same seed draws the same images as long as the data set's fingerprint is the same.
    """
    indices = _draw_indices(dataset.count(split), seed=seed, count=count)
    columns = max(1, math.ceil(math.sqrt(len(indices))))
    rows = max(1, math.ceil(len(indices) / columns))
    cell_width, cell_height = TILE_SIDE + _MARGIN, TILE_SIDE + _LABEL_HEIGHT + _MARGIN
    grid = Image.new("RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), "white")
    images, labels = dataset.images(split), dataset.labels(split)
    for place, index in enumerate(indices):
        row, column = divmod(place, columns)
        corner = (_MARGIN + column * cell_width, _MARGIN + row * cell_height)
        grid.paste(_fit_tile(Image.fromarray(images[index])), corner)
        _write_label(grid, dataset.classes[labels[index]], corner)
    return grid


def _draw_indices(images: int, *, seed: int, count: int) -> list[int]:
    random = np.random.default_rng(seed)
    drawn = random.choice(images, size=min(count, images), replace=False)
    return [int(index) for index in drawn]


def _fit_tile(image: Image.Image) -> Image.Image:
    """Return the whole image on a square tile; small ones keep their pixels visible."""
    scale = TILE_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC
    tile = Image.new("RGB", (TILE_SIDE, TILE_SIDE), "white")
    place = ((TILE_SIDE - size[0]) // 2, (TILE_SIDE - size[1]) // 2)
    tile.paste(image.resize(size, method), place)
    return tile


def _write_label(grid: Image.Image, label: str, corner: tuple[int, int]) -> None:
    font = ImageFont.load_default(_FONT_SIZE)
    while len(label) > 1 and font.getlength(label) > TILE_SIDE:
        label = label[:-2] + "…"
    middle = (corner[0] + TILE_SIDE // 2, corner[1] + TILE_SIDE + _LABEL_HEIGHT // 2)
    ImageDraw.Draw(grid).text(middle, label, fill="black", font=font, anchor="mm")
