"""A look at a data set: some pictures of it in one PNG, each with its class under it."""

import io
import math
from base64 import b64encode
from bisect import bisect_right
from xml.etree import ElementTree as ET

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
    font = ImageFont.load_default(_FONT_SIZE)
    samples = _choose(dataset, split, seed, count)
    return _encode(_lay_out([_draw_tile(pixels, label, font) for pixels, label in samples]))


def sample_grid_svg(dataset: PackedDataset, split: Split, seed: int, count: int) -> bytes:
    """Return the same grid as an SVG: the pictures as PNG in it, their classes as text.

    Raises InvalidRequestError as `sample_grid`.
    """
    samples = [(_enlarge(pixels), label) for pixels, label in _choose(dataset, split, seed, count)]
    font = ImageFont.load_default(_FONT_SIZE)
    width, height = samples[0][0].size
    height += _LABEL_HEIGHT
    columns = _count_columns(len(samples))
    rows = math.ceil(len(samples) / columns)
    page_width, page_height = _GAP + columns * (width + _GAP), _GAP + rows * (height + _GAP)
    page = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": f"{page_width}",
            "height": f"{page_height}",
            "viewBox": f"0 0 {page_width} {page_height}",
            "font-family": "sans-serif",
            "font-size": f"{_FONT_SIZE}",
            "text-anchor": "middle",
        },
    )
    ET.SubElement(page, "rect", {"width": "100%", "height": "100%", "fill": _PAGE})
    for place, (picture, label) in enumerate(samples):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (width + _GAP), _GAP + row * (height + _GAP)
        _add_sample(page, picture, _shorten(_clean(label), font, picture.width), (left, top))
    content: bytes = ET.tostring(page, encoding="utf-8", xml_declaration=True)
    return content


def _add_sample(
    page: ET.Element, picture: Image.Image, label: str, corner: tuple[int, int]
) -> None:
    left, top = corner
    ET.SubElement(
        page,
        "image",
        {
            "x": f"{left}",
            "y": f"{top}",
            "width": f"{picture.width}",
            "height": f"{picture.height}",
            "href": f"data:image/png;base64,{b64encode(_encode(picture)).decode()}",
        },
    )
    middle = {
        "x": f"{left + picture.width / 2}",
        "y": f"{top + picture.height + _LABEL_HEIGHT * 0.7}",
        "fill": _INK,
    }
    ET.SubElement(page, "text", middle).text = label


def _choose(
    dataset: PackedDataset, split: Split, seed: int, count: int
) -> list[tuple[Pixels, str]]:
    """Return pixels and class of the pictures that `seed` draws."""
    if not 1 <= count <= LARGEST_COUNT:
        raise InvalidRequestError(f"count is {count}: ask for 1 to {LARGEST_COUNT} pictures")
    available = dataset.count(split)
    order = np.random.default_rng(seed).permutation(available)
    images, labels = dataset.images(split), dataset.labels(split)
    return [(images[index], dataset.classes[labels[index]]) for index in order[:count]]


def _enlarge(pixels: Pixels) -> Image.Image:
    picture = Image.fromarray(pixels)
    # Does nothing to small ones; keeps a page of large ones within memory.
    picture.thumbnail((_TILE, _TILE))
    factor = max(1, round(_TILE / max(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _draw_tile(pixels: Pixels, label: str, font: Font) -> Image.Image:
    picture = _enlarge(pixels)
    size = picture.size
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


def _clean(label: str) -> str:
    """Return the label without what XML cannot hold."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in label
    )


def _lay_out(tiles: list[Image.Image]) -> Image.Image:
    """Return the tiles on one page that is wider than high, with few empty places."""
    columns = _count_columns(len(tiles))
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


def _count_columns(count: int) -> int:
    candidates = range(math.ceil(math.sqrt(count)), math.ceil(math.sqrt(count * 2)) + 1)
    return min(candidates, key=lambda columns: -count % columns)


def _encode(page: Image.Image) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()
