"""Bytes to pixels, for packing and for `/predict` alike, so that preprocessing cannot drift."""

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from store.errors import InvalidRequestError

Color = Literal["rgb", "grey"]
Pixels = NDArray[np.uint8]

ACCEPTED_FORMATS = ("PNG", "JPEG", "WEBP")
# 50 megapixels hold any phone's picture and need 150 MB decoded.
LARGEST_PIXEL_COUNT = 50_000_000


def decode(data: bytes) -> Image.Image:
    """Return the picture in `data` as an RGB image, upright.

    PNG, JPEG and WebP of any mode are read. Decided here, once for training and serving:

    - of an animation the first frame counts;
    - an EXIF orientation is applied;
    - transparent pixels are laid on white;
    - 16 bits a channel keep their upper 8;
    - bytes after the end of the picture are ignored.

    Raises InvalidRequestError where the bytes are no such picture, are cut off or damaged, or
    hold more than `LARGEST_PIXEL_COUNT` pixels.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=ACCEPTED_FORMATS)
        _check_size(image)
        image.load()
        return _as_rgb(image)
    except InvalidRequestError:
        raise
    except UnidentifiedImageError as error:
        raise InvalidRequestError(_describe_unknown(data), code="not_an_image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidRequestError(_too_many_pixels(), code="image_too_large") from error
    except Exception as error:
        # The decoders raise a dozen kinds of exception on damaged bytes; each is the sender's.
        message = f"the image is cut off or damaged ({error}): send a complete file"
        raise InvalidRequestError(message, code="damaged_image") from error


def fit(image: Image.Image, height: int, width: int, color: Color) -> Pixels:
    """Return `image` (RGB) as pixels (height, width, 3), or (height, width, 1) when grey.

    A picture of that very size stays untouched. Any other is resized with an antialiasing filter
    until its shorter side fits, and cropped around its centre.
    """
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), method=Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return to_grey(pixels) if color == "grey" else pixels


def to_grey(pixels: Pixels) -> Pixels:
    """Return the luma (..., 1) of RGB pixels (..., 3).

    ITU-R BT.601-2 in 16-bit fixed point: the very numbers of Pillow's mode `L`.
    """
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(np.uint8)[..., np.newaxis]


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > LARGEST_PIXEL_COUNT:
        raise InvalidRequestError(_too_many_pixels(), code="image_too_large")


def _too_many_pixels() -> str:
    return f"the image has more than {LARGEST_PIXEL_COUNT:,} pixels: send a smaller one"


def _describe_unknown(data: bytes) -> str:
    what = "no bytes were sent" if not data else "the bytes are not a PNG, JPEG or WebP image"
    return f"{what}: send one complete PNG, JPEG or WebP file"


def _as_rgb(image: Image.Image) -> Image.Image:
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit grey at 255 instead of scaling it.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, transparent).convert("RGB")
    return image.convert("RGB")
