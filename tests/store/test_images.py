"""Decoding whatever a user sends, and fitting it to a network's input."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from store import images
from store.errors import InvalidRequestError
from store.images import decode, fit, to_grey


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def draw_noise(width: int = 20, height: int = 12) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color: int, rows: bytes) -> bytes:
    """A PNG written by hand, for what Pillow itself does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_a_png_is_decoded_pixel_by_pixel() -> None:
    picture = draw_noise()
    assert np.array_equal(np.asarray(decode(encode(picture))), np.asarray(picture))


def test_a_damaged_plain_png_is_refused_or_keeps_its_pixels() -> None:
    """Such a PNG takes a short way. What frames its pixels may be damaged, but not they."""
    picture = draw_noise(6, 5)
    whole = encode(picture)
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        for damaged in (bytes(flipped), whole[:place]):
            assert read_pixels(damaged) in {picture.tobytes(), "refused"}, place
    for place in range(whole.index(b"IDAT"), whole.index(b"IEND") - 4):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        assert read_pixels(bytes(flipped)) == "refused", place


@pytest.mark.parametrize("rows", [b"\0" + bytes(6) + b"\0", b"\5" + bytes(6) + b"\0" + bytes(6)])
def test_a_plain_png_with_impossible_rows_is_judged_as_one_with_more_chunks_is(
    rows: bytes,
) -> None:
    plain = png(2, 2, 8, 2, rows)
    longer = plain[:33] + chunk(b"tEXt", b"Title\0x") + plain[33:]
    assert read_pixels(plain) == read_pixels(longer)


def read_pixels(data: bytes) -> bytes | str:
    try:
        return decode(data).tobytes()
    except InvalidRequestError:
        return "refused"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_jpeg_and_webp_are_decoded(kind: str) -> None:
    plain = Image.new("RGB", (20, 12), (200, 30, 60))
    pixels = np.asarray(decode(encode(plain, kind, quality=95))).astype(int)
    assert np.abs(pixels - [200, 30, 60]).max() < 12


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(InvalidRequestError, match="PNG, JPEG or WebP") as refusal:
        decode(encode(draw_noise(16, 16), kind))
    assert refusal.value.code == "not_an_image"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.full((5, 7), 40_000, dtype=np.uint16))
    else:
        picture = Image.new("RGB", (7, 5), (90, 90, 90)).convert(mode)
    image = decode(encode(picture))
    assert (image.mode, image.size) == ("RGB", (7, 5))


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    assert decode(encode(Image.new("CMYK", (8, 8)), "JPEG")).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("depth", "color", "row", "expected"),
    [
        (16, 0, struct.pack(">H", 0xABCD), (0xAB, 0xAB, 0xAB)),
        (16, 2, struct.pack(">HHH", 0x1234, 0x5678, 0x9ABC), (0x12, 0x56, 0x9A)),
        (16, 4, struct.pack(">HH", 0xABCD, 0xFFFF), (0xAB, 0xAB, 0xAB)),
        (2, 0, b"\x40", (85, 85, 85)),
    ],
)
def test_other_depths_keep_their_upper_bits(
    depth: int, color: int, row: bytes, expected: tuple[int, ...]
) -> None:
    assert decode(png(1, 1, depth, color, b"\0" + row)).getpixel((0, 0)) == expected


def test_transparent_pixels_are_laid_on_white() -> None:
    picture = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 0, 51))
    image = decode(encode(picture))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((1, 0)) == (204, 204, 204)


def test_a_transparent_palette_colour_is_laid_on_white() -> None:
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    image = decode(encode(picture, transparency=0))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test_a_transparent_colour_of_an_rgb_png_is_laid_on_white() -> None:
    picture = Image.new("RGB", (2, 1), (1, 2, 3))
    picture.putpixel((1, 0), (4, 5, 6))
    image = decode(encode(picture, transparency=(1, 2, 3)))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (4, 5, 6)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_exif_orientation_is_applied(kind: str) -> None:
    picture = Image.new("RGB", (16, 8), "black")
    picture.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image = decode(encode(picture, kind, exif=exif))
    assert image.size == (8, 16)
    assert [image.convert("L").getpixel((4, y)) for y in (1, 14)] == [255, 0]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert decode(data).getpixel((2, 2)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("other", ["text", "zip", "PNG", "JPEG", "WEBP"])
def test_whatever_follows_the_picture_is_ignored(kind: str, other: str) -> None:
    """So a file that is two things at once is the one that its first bytes say."""
    data = encode(draw_noise(), kind)
    tails = {"text": b"trailing bytes", "zip": b"PK\x03\x04" + bytes(26)}
    tail = tails.get(other) or encode(Image.new("RGB", (64, 64)), other)
    assert np.array_equal(np.asarray(decode(data + tail)), np.asarray(decode(data)))


@pytest.mark.parametrize("start", [b"GIF89a", b"<html>", b"PK\x03\x04", b"\xff\xd8", b" "])
def test_a_picture_that_begins_as_something_else_is_refused(start: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        decode(start + encode(draw_noise()))


def test_no_bytes_are_named_as_such() -> None:
    with pytest.raises(InvalidRequestError, match="no bytes were sent"):
        decode(b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    data = encode(draw_noise(64, 64), kind)
    with pytest.raises(InvalidRequestError, match=r"damaged|PNG, JPEG or WebP"):
        decode(data[: int(len(data) * share)])


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(encode(draw_noise()))
    data[-20] ^= 0xFF
    with pytest.raises(InvalidRequestError) as refusal:
        decode(bytes(data))
    assert refusal.value.code == "damaged_image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_bytes_give_a_picture_or_a_refusal_and_nothing_else(kind: str) -> None:
    original = encode(draw_noise(32, 32), kind)
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(300):
        data = bytearray(original)
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(0, 256)
        try:
            assert decode(bytes(data)).mode == "RGB"
        except InvalidRequestError:
            refused += 1
    assert refused > 20


def test_a_transparent_16_bit_grey_is_laid_on_white() -> None:
    picture = Image.fromarray(np.array([[0x1234, 0x5678]], dtype=np.uint16))
    image = decode(encode(picture, transparency=0x1234))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0x56, 0x56, 0x56)]


def write_bomb(kind: str, side: int = 50_000) -> bytes:
    """Return a picture that claims to be `side` by `side`, and is damaged behind its header."""
    if kind == "PNG":
        return png(side, side, 8, 2, b"")[:-20]
    if kind == "JPEG":
        data = bytearray(encode(draw_noise(), "JPEG"))
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
        return bytes(data[: frame + 40])
    size = struct.pack("<I", side - 1)[:3]
    return b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_of_too_many_pixels_is_refused_by_its_header_alone(kind: str) -> None:
    """What follows the header is damaged: whoever looked at it would say so."""
    with pytest.raises(InvalidRequestError, match=r"50000 by 50000 pixels.* 50,000,000") as refusal:
        decode(write_bomb(kind))
    assert refusal.value.code == "image_too_large"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads memory from /proc")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_of_too_many_pixels_takes_no_memory(kind: str) -> None:
    data = write_bomb(kind)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = read_memory("VmRSS")
    for _ in range(20):
        with pytest.raises(InvalidRequestError):
            decode(data)
    assert read_memory("VmHWM") - before < 4 << 20


def read_memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_a_second_header_cannot_make_a_png_larger() -> None:
    small, large = png(4, 4, 8, 2, bytes(13 * 4)), png(9_000, 5_000, 8, 2, b"")
    header = slice(8, 33)
    with pytest.raises(InvalidRequestError) as refusal:
        decode(small[:33] + large[header] + small[33:])
    assert refusal.value.code == "damaged_image"


def test_a_progressive_jpeg_of_very_many_scans_is_refused() -> None:
    data = encode(draw_noise(64, 64), "JPEG", progressive=True)
    assert decode(data).size == (64, 64)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(InvalidRequestError, match="more than 100 scans") as refusal:
        decode(data[:-2] + data[last:-2] * 100 + data[-2:])
    assert refusal.value.code == "image_too_large"


def test_a_jpeg_of_very_many_segments_is_refused() -> None:
    data = encode(draw_noise(), "JPEG")
    with pytest.raises(InvalidRequestError, match="more than 5,000 segments"):
        decode(data[:2] + b"\xff\xfe\0\x02" * 5_000 + data[2:])


def test_a_png_of_very_many_chunks_is_refused() -> None:
    data = encode(draw_noise())
    with pytest.raises(InvalidRequestError, match="more than 100,000 chunks"):
        decode(data[:33] + chunk(b"teSt", b"") * 100_000 + data[33:])


def test_a_picture_just_above_the_limit_is_refused() -> None:
    data = encode(draw_noise(20, 12))
    assert decode(data, largest_pixel_count=20 * 12).size == (20, 12)
    with pytest.raises(
        InvalidRequestError, match=r"20 by 12 pixels.* 239 are accepted: send a smaller"
    ):
        decode(data, largest_pixel_count=20 * 12 - 1)


def test_a_picture_of_the_right_size_stays_untouched() -> None:
    picture = draw_noise(20, 12)
    assert np.array_equal(fit(picture, 12, 20, "rgb"), np.asarray(picture))


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (31, 33), (640, 480)])
@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("grey", 1)])
def test_any_size_is_fitted(size: tuple[int, int], color: images.Color, channels: int) -> None:
    pixels = fit(Image.new("RGB", size, (10, 20, 30)), 32, 24, color)
    assert pixels.shape == (32, 24, channels)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1)))


def test_a_wide_picture_is_cropped_around_its_centre() -> None:
    picture = Image.new("RGB", (300, 100), "black")
    picture.paste("white", (100, 0, 200, 100))
    assert fit(picture, 32, 32, "rgb")[:, 2:-2].min() == 255


def test_shrinking_averages_what_is_dropped() -> None:
    """A checkerboard becomes an even grey; without antialiasing it would stay black or white."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    picture = Image.fromarray(np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    pixels = fit(picture, 32, 32, "rgb")
    assert abs(pixels.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("shape", [(40, 50, 3), (3, 4, 5, 3)])
def test_grey_is_the_luma_that_pillow_computes(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    flat = Image.fromarray(pixels.reshape(1, -1, 3)).convert("L")
    assert np.array_equal(to_grey(pixels), np.asarray(flat).reshape(*shape[:-1], 1))


@pytest.mark.parametrize("make", [bytes, lambda n: b"\x89PNG\r\n\x1a\n" + bytes(n)])
def test_bytes_that_are_no_picture_are_refused(make: Callable[[int], bytes]) -> None:
    with pytest.raises(InvalidRequestError):
        decode(make(100))
