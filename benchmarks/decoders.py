"""PNG decoders: time at two sizes, and on which kinds of PNG each agrees with training's decoder.

    python benchmarks/decoders.py

measures Pillow as `store.images` uses it, and those of OpenCV, imagecodecs and pyspng that are
installed (they are no dependencies of Tenfold).
"""

import importlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from store.images import decode

Decoder = Callable[[bytes], Any]
SIZES = {32: (100, 60), 1000: (1, 15)}  # pixels a side: decodes a round, rounds


def find_decoders() -> dict[str, Decoder]:
    decoders: dict[str, Decoder] = {"Pillow": lambda data: np.asarray(decode(data))}
    for name, build in {
        "cv2": lambda cv2: (
            lambda data: cv2.cvtColor(
                cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
            )
        ),
        "imagecodecs": lambda imagecodecs: imagecodecs.png_decode,
        "pyspng": lambda pyspng: pyspng.load,
    }.items():
        try:
            decoders[name] = build(importlib.import_module(name))
        except ImportError:
            print(f"{name} is not installed")
    return decoders


def encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def make_kinds() -> dict[str, bytes]:
    draw = np.random.default_rng(1)
    image = Image.fromarray(draw.integers(0, 256, (16, 16, 4), dtype=np.uint8))
    wide = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    kinds = {mode: encode(image.convert(mode)) for mode in ("L", "LA", "RGB", "RGBA", "1")}
    return {
        **kinds,
        "P": encode(image.convert("RGB").convert("P")),
        "P with alpha": encode(image.quantize(16)),
        "16 bits": encode(wide),
        "cut off": encode(image)[:-80],
    }


def try_decode(decoder: Decoder, data: bytes) -> Any:
    try:
        return decoder(data)
    except Exception as error:  # noqa: BLE001 -- each library has exceptions of its own
        print(f"  ({type(error).__name__}: {error})", file=sys.stderr)
        return None


def list_differences(decoder: Decoder, reference: Decoder) -> list[str]:
    """Return the kinds of PNG that the two do not read alike."""
    found = []
    for kind, data in make_kinds().items():
        ours, theirs = try_decode(reference, data), try_decode(decoder, data)
        if (ours is None) != (theirs is None) or not np.array_equal(ours, theirs):
            found.append(kind)
    return found


def measure(decoder: Decoder, side: int) -> float:
    """Return the fewest microseconds of processor time that a decode took."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (max(4, side // 8), max(4, side // 8), 3), dtype=np.uint8)
    data = encode(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    decodes, rounds = SIZES[side]
    best = float("inf")
    for _ in range(rounds):
        started_at = time.thread_time()
        for _ in range(decodes):
            decoder(data)
        best = min(best, (time.thread_time() - started_at) / decodes)
    return best * 1e6


def main() -> None:
    decoders = find_decoders()
    for name, decoder in decoders.items():
        times = ", ".join(f"{side}x{side}: {measure(decoder, side):.1f} us" for side in SIZES)
        differences = ", ".join(list_differences(decoder, decoders["Pillow"])) or "nothing"
        print(f"{name}: {times}; differs from Pillow on {differences}")


if __name__ == "__main__":
    main()
