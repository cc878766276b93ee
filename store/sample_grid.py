"""A look at a data set: some pictures of it in one PNG, each with its class under it."""

import io
import math
from bisect import bisect_right

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from store.errors import InvalidRequestError
from store.images import Pixels
from store.packed import PackedDataset, Split

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LARGEST_COUNT = 100

_TILE = 112  # pixels a picture's side is brought to, about
_GAP = 12
_LABEL_HEIGHT = 24
_FONT_SIZE = 14
_PAGE = "#ffffff"
_INK = "#1c2430"


def sample_grid(dataset: PackedDataset, split: Split, seed: int, count: int) -> bytes:
    """Return a PNG of `count` pictures of `split`, drawn by `seed`, with their classes.

    Small pictures are enlarged by a whole factor, pixel by pixel, so that they show what a
    network sees. Raises InvalidRequestError unless 1 <= count <= LARGEST_COUNT.
    """
    if not 1 <= count <= LARGEST_COUNT:
        raise InvalidRequestError(f"count is {count}: ask for 1 to {LARGEST_COUNT} pictures")
    available = dataset.count(split)
    order = np.random.default_rng(seed).permutation(available)
    chosen = order[: min(count, available)]
    images, labels = dataset.images(split), dataset.labels(split)
    font = ImageFont.load_default(_FONT_SIZE)
    tiles = [_draw_tile(images[index], dataset.classes[labels[index]], font) for index in chosen]
    return _encode(_lay_out(tiles))


def _draw_tile(pixels: Pixels, label: str, font: Font) -> Image.Image:
    picture = Image.fromarray(pixels)
    # Does nothing to small ones; keeps a page of large ones within memory.
    picture.thumbnail((_TILE, _TILE))
    factor = max(1, round(_TILE / max(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    picture = picture.resize(size, Image.Resampling.NEAREST)
    tile = Image.new("RGB", (size[0], size[1] + _LABEL_HEIGHT), _PAGE)
    tile.paste(picture)
    middle = (size[0] / 2, size[1] + _LABEL_HEIGHT / 2)
    text = _shorten(label, font, size[0])
    ImageDraw.Draw(tile).text(middle, text, fill=_INK, font=font, anchor="mm")
    return tile


def _shorten(label: str, font: Font, width: int) -> str:
    """Return as much of `label` as fits into `width` pixels."""
    if font.getlength(label) <= width:
        return label
    length = bisect_right(
        range(len(label)), width, key=lambda end: math.ceil(font.getlength(label[:end] + "…"))
    )
    return label[: length - 1] + "…"


def _lay_out(tiles: list[Image.Image]) -> Image.Image:
    """Return the tiles on one page that is wider than high, with few empty places."""
    candidates = range(math.ceil(math.sqrt(len(tiles))), math.ceil(math.sqrt(len(tiles) * 2)) + 1)
    columns = min(candidates, key=lambda columns: -len(tiles) % columns)
    rows = math.ceil(len(tiles) / columns)
    width, height = tiles[0].size
    page = Image.new(
        "RGB",
        (columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP),
        _PAGE,
    )
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        page.paste(tile, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
    return page


def _encode(page: Image.Image) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()
