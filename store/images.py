"""Bytes to pixels, for packing and for `/predict` alike, so that preprocessing cannot drift."""

import io
import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from store.errors import InvalidRequestError
from store.image_headers import ExcessError, ImageHeader, check_structure, read_header

Color = Literal["rgb", "grey"]
Pixels = NDArray[np.uint8]

# 50 megapixels hold any phone's picture and need 150 MB decoded.
LARGEST_PIXEL_COUNT = 50_000_000

# A PNG of nothing but 8-bit RGB rows, not interlaced: its header, one chunk of pixels, its end.
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_8_BIT_RGB = b"\x08\x02\0\0\0"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def decode(data: bytes, largest_pixel_count: int = LARGEST_PIXEL_COUNT) -> Image.Image:
    """Return the picture in `data` as an RGB image, upright.

    PNG, JPEG and WebP of any mode are read. Decided here, once for training and serving:

    - the first bytes decide on the format, whatever a file name or a content type says;
    - the size in the header is looked at before anything is unpacked;
    - of an animation the first frame counts;
    - an EXIF orientation is applied;
    - transparent pixels are laid on white;
    - 16 bits a channel keep their upper 8;
    - colour profiles and gamma are not applied;
    - bytes after the end of the picture are ignored, and so is what else they may be.

    Raises InvalidRequestError where the bytes are no such picture, are cut off or damaged, hold
    more than `largest_pixel_count` pixels, or would take far longer to decode than those deserve.
    """
    if (plain := _decode_plain_png(data, largest_pixel_count)) is not None:
        return plain
    header = _check_header(data, largest_pixel_count)
    try:
        image = _open(data, header)
        image.load()
        return _as_rgb(image)
    except Exception as error:
        # The decoders raise a dozen kinds of exception on damaged bytes; each is the sender's.
        raise _refuse_damaged(error) from error


def _check_header(data: bytes, largest_pixel_count: int) -> ImageHeader:
    try:
        header = read_header(data)
        if header is None:
            raise InvalidRequestError(_describe_unknown(data), code="not_an_image")
        if header.width * header.height > largest_pixel_count:
            raise InvalidRequestError(
                f"the image has {header.width} by {header.height} pixels, and at most "
                f"{largest_pixel_count:,} are accepted: send a smaller one",
                code="image_too_large",
            )
        check_structure(data, header)
    except ExcessError as error:
        raise InvalidRequestError(
            f"the image has more than {error}: save it once more with another program",
            code="image_too_large",
        ) from error
    except ValueError as error:
        raise _refuse_damaged(error) from error
    return header


def _open(data: bytes, header: ImageHeader) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=(header.format,))
    except UnidentifiedImageError as error:
        # Its own message names the object in memory.
        raise ValueError(f"its {header.format} header cannot be right") from error
    if image.size != (header.width, header.height):
        raise ValueError("it has two headers of different size")
    return image


def _refuse_damaged(error: Exception) -> InvalidRequestError:
    message = f"the image is cut off or damaged ({error}): send a complete file"
    return InvalidRequestError(message, code="damaged_image")


def fit(image: Image.Image, height: int, width: int, color: Color) -> Pixels:
    """Return `image` (RGB) as pixels (height, width, 3), or (height, width, 1) when grey.

    A picture of that very size stays untouched. Any other is resized with an antialiasing filter
    until its shorter side fits, and cropped around its centre.
    """
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), method=Image.Resampling.BICUBIC)
    # Half the time of np.asarray, which goes through an interface of strings and dictionaries.
    pixels = np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(height, width, 3)
    return to_grey(pixels) if color == "grey" else pixels


def to_grey(pixels: Pixels) -> Pixels:
    """Return the luma (..., 1) of RGB pixels (..., 3).

    ITU-R BT.601-2 in 16-bit fixed point: the very numbers of Pillow's mode `L`.
    """
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(np.uint8)[..., np.newaxis]


def _decode_plain_png(data: bytes, largest_pixel_count: int) -> Image.Image | None:
    """Return the image of a PNG in its simplest form, and None for any other or a damaged one.

    To find out what a small file is takes longer than to decode it. The pixels go through the
    same decoder of Pillow's as on the long way, so they are the same.
    """
    if not (
        data.startswith(_PNG_START)
        and data[24:29] == _PNG_8_BIT_RGB
        and data.endswith(_PNG_END)
        and data[37:41] == b"IDAT"
        and int.from_bytes(data[33:37]) == len(data) - 57
        and int.from_bytes(data[29:33]) == zlib.crc32(data[12:29])
        and int.from_bytes(data[-16:-12]) == zlib.crc32(data[37:-16])
    ):
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if not 0 < width * height <= largest_pixel_count:
        return None
    try:
        return Image.frombytes("RGB", (width, height), data[41:-16], "zip", "RGB", 0)
    except ValueError:
        # The long way finds out what is wrong, and says it.
        return None


def _describe_unknown(data: bytes) -> str:
    what = "no bytes were sent" if not data else "the bytes are not a PNG, JPEG or WebP image"
    return f"{what}: send one complete PNG, JPEG or WebP file"


def _as_rgb(image: Image.Image) -> Image.Image:
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, transparent).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Pillow's own conversion clips 16-bit grey at 255 instead of scaling it."""
    values = np.asarray(image)
    grey = (values >> 8).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")
