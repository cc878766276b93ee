"""What a picture says about itself, read from its first bytes without decoding any pixel."""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

# Encoders write about ten. Each passes over the whole picture, however few bytes it has, so that
# a progressive JPEG of a megabyte can take minutes to decode.
MOST_SCANS = 100
# Far above any real file's; the decoder reads each with Python.
MOST_JPEG_SEGMENTS = 5_000
MOST_PNG_CHUNKS = 100_000

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
# Length, kind and checksum around the content.
_CHUNK_FRAME_BYTES = 12
_JPEG_SIGNATURE = b"\xff\xd8\xff"

# ITU-T T.81, table B.1: start of frame, markers without a length, start of scan, end of image.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_SCAN = 0xDA
_END = 0xD9
# Between segments other bytes are skipped; within a scan restart markers belong to it.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class ImageHeader(NamedTuple):
    """The format and size that a picture claims to have."""

    format: str  # PNG, JPEG or WEBP, as Pillow calls them
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader | None:
    """Return the header of a PNG, JPEG or WebP picture; None where the signature is of no such.

    The first bytes decide: a name or a content type that says otherwise does not count.
    Raises ValueError where the signature is right and the header after it is not.
    """
    try:
        if data.startswith(_PNG_SIGNATURE):
            header = ImageHeader("PNG", *_read_png_size(data))
        elif data.startswith(_JPEG_SIGNATURE):
            header = ImageHeader("JPEG", *_read_jpeg_size(data))
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            header = ImageHeader("WEBP", *_read_webp_size(data))
        else:
            return None
    except struct.error as error:
        raise ValueError("it ends within its header") from error
    if header.width < 1 or header.height < 1:
        raise ValueError(f"its header gives it {header.width} by {header.height} pixels")
    return header


class ExcessError(ValueError):
    """A picture has more of something than its decoding may cost."""


def check_structure(data: bytes, header: ImageHeader) -> None:
    """Look at what a picture is made of, without unpacking it.

    Raises ValueError where a checksum of a PNG is wrong (the decoder skips those of the pixels),
    ExcessError where a PNG or JPEG has far more parts than its picture can need.
    """
    if header.format == "PNG":
        _check_png_chunks(data)
    elif header.format == "JPEG":
        _check_jpeg_segments(data)


def _check_png_chunks(data: bytes) -> None:
    """PNG specification, 5.3. A chunk that is cut off is the decoder's to judge."""
    view, position = memoryview(data), len(_PNG_SIGNATURE)
    for _ in range(MOST_PNG_CHUNKS):
        end = position + _CHUNK_FRAME_BYTES + int.from_bytes(data[position : position + 4])
        kind = data[position + 4 : position + 8]
        if end > len(data):
            return
        # The checksum covers kind and content; those of other chunks the decoder looks at itself.
        if kind in _CRITICAL_CHUNKS and zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(
            data[end - 4 : end]
        ):
            raise ValueError(f"the checksum of its chunk {kind.decode()} is wrong")
        if kind == b"IEND":
            return
        position = end
    raise ExcessError(f"{MOST_PNG_CHUNKS:,} chunks")


def _check_jpeg_segments(data: bytes) -> None:
    scans = 0
    for count, (marker, _) in enumerate(_walk_segments(data), 1):
        scans += marker == _SCAN
        if scans > MOST_SCANS:
            raise ExcessError(f"{MOST_SCANS} scans")
        if count > MOST_JPEG_SEGMENTS:
            raise ExcessError(f"{MOST_JPEG_SEGMENTS:,} segments")
        if marker == _END:
            return


def _read_png_size(data: bytes) -> tuple[int, int]:
    """PNG specification, 11.2.1: IHDR comes first and has 13 bytes."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if (length, kind) != (13, b"IHDR"):
        raise ValueError("it does not begin with the chunk IHDR")
    return width, height


def _read_jpeg_size(data: bytes) -> tuple[int, int]:
    """ITU-T T.81, B.2.2: the size is in the frame header, which comes before the first scan."""
    for marker, start in _walk_segments(data):
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 3)
            return width, height
        if marker in {_SCAN, _END}:
            break
    raise ValueError("it has no frame header")


def _walk_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker of each segment of a JPEG, and where its length and content begin."""
    found = _MARKER.search(data, 2)
    while found is not None:
        marker, position = data[found.end() - 1], found.end()
        yield marker, position
        if marker not in _BARE and marker != _END:
            position += int.from_bytes(data[position : position + 2])
        found = (_AFTER_SCAN if marker == _SCAN else _MARKER).search(data, position)


def _read_webp_size(data: bytes) -> tuple[int, int]:
    """RFC 9649: the first chunk is a lossy frame, a lossless one, or the extended header."""
    kind = data[12:16]
    if kind == b"VP8 ":
        start_code, width, height = struct.unpack_from("<3sHH", data, 23)
        if start_code == b"\x9d\x01\x2a":
            return width & 0x3FFF, height & 0x3FFF
    elif kind == b"VP8L":
        signature, bits = struct.unpack_from("<BI", data, 20)
        if signature == 0x2F:  # noqa: PLR2004
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
        return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1
    raise ValueError("its first chunk is no frame and no header")
