"""Willem van Schaik's PngSuite: 161 pictures of every kind of PNG, and 14 that are broken."""

from pathlib import Path

import numpy as np
import png
import pytest
from numpy.typing import NDArray

from store.errors import InvalidRequestError
from store.images import decode

FOLDER = Path(__file__).parent / "pngsuite"
BROKEN = sorted(FOLDER.glob("x*.png"))
VALID = sorted(set(FOLDER.glob("*.png")) - set(BROKEN))
WHITE = 255


def read_reference(path: Path) -> NDArray[np.float64]:
    """Return the picture (height, width, 3) on white, decoded without Pillow or zlib's C code."""
    width, height, rows, info = png.Reader(bytes=path.read_bytes()).read()
    samples = np.array([list(row) for row in rows]).reshape(height, width, info["planes"])
    largest = 2 ** info["bitdepth"] - 1
    if info["planes"] == 1 and "palette" in info:
        # With an alpha channel where the file has transparent colours.
        colours = np.array([(*entry, WHITE)[:4] for entry in info["palette"]])
        samples, largest = colours[samples[..., 0]], 255
        alpha = samples[..., 3:]
        color = samples[..., :3]
    elif info["alpha"]:
        color, alpha = samples[..., :-1], samples[..., -1:]
    else:
        color = samples
        is_transparent = (samples == info.get("transparent", -1)).all(axis=-1, keepdims=True)
        alpha = np.where(is_transparent, 0, largest)
    color, alpha = to_8_bits(color, largest), to_8_bits(alpha, largest)
    on_white = (color * alpha + WHITE * (255.0 - alpha)) / 255
    return np.broadcast_to(on_white, (height, width, 3))


def to_8_bits(samples: NDArray[np.int64], largest: int) -> NDArray[np.int64]:
    return samples >> 8 if largest == 65_535 else samples * 255 // largest


def test_the_suite_is_whole() -> None:
    assert (len(VALID), len(BROKEN)) == (161, 14)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_picture_has_the_pixels_of_a_reference_decoder(path: Path) -> None:
    pixels = np.asarray(decode(path.read_bytes())).astype(float)
    assert np.abs(pixels - read_reference(path)).max() <= 0.5


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_picture_is_refused(path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"send (a complete|one complete)") as refusal:
        decode(path.read_bytes())
    assert refusal.value.code in {"damaged_image", "not_an_image"}
    assert "object at 0x" not in refusal.value.message
