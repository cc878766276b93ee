"""Coverage-guided fuzzing of the one function that decodes what clients send.

    make fuzz-images SECONDS=3600

Each input must become an RGB picture of its header's size, or an InvalidRequestError; anything
else is a crash, which is written to a file. atheris (libFuzzer) follows the branches of
`store/images.py`, `store/image_headers.py` and of Pillow's parsers; Pillow's C code is run but
not followed. Seeds: pictures of every format, mode and oddity that the tests know.
"""

import argparse
import io
import sys
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["PIL", "store"]):
    import numpy as np
    from PIL import Image, ImageOps

    from store.errors import InvalidRequestError
    from store.images import decode, fit

    # The parsers of the formats, which Pillow imports when they are first needed.
    Image.init()

# Small, so that the time goes into many inputs and not into large ones.
LARGEST_PIXEL_COUNT = 1 << 20
LARGEST_INPUT_BYTES = 1 << 14
# Of the processor, so that a busy machine is not taken for a slow picture.
SLOWEST_INPUT_SECONDS = 5
HANGING_INPUT_SECONDS = 600
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
FOLDER = Path(__file__).parents[1] / "tests" / "store"


def check(data: bytes) -> None:
    """Decode and fit one input. Raises whatever is not the sender's fault."""
    began = time.process_time()
    try:
        use(data)
    finally:
        if time.process_time() - began > SLOWEST_INPUT_SECONDS:
            raise AssertionError(f"took more than {SLOWEST_INPUT_SECONDS} s")


def use(data: bytes) -> None:
    try:
        image = decode(data, LARGEST_PIXEL_COUNT)
    except InvalidRequestError:
        return
    if image.mode != "RGB" or not 1 <= image.width * image.height <= LARGEST_PIXEL_COUNT:
        raise AssertionError(f"decoded to {image}")
    if fit(image, 32, 32, "rgb").shape != (32, 32, 3):
        raise AssertionError(f"{image} does not fit")


def mutate(data: bytes, largest_size: int, seed: int) -> bytes:
    """Change a PNG within one chunk and mend its checksum, so that the change is looked at."""
    if not data.startswith(PNG_SIGNATURE) or seed % 3 == 0:
        return atheris.Mutate(data, largest_size)
    chunks = list(split_chunks(data))
    place = seed % max(1, len(chunks))
    if not chunks:
        return atheris.Mutate(data, largest_size)
    kind, content = chunks[place]
    changed = atheris.Mutate(content, max(1, min(len(content) + 64, largest_size)))
    if kind == b"IDAT" and seed % 2:
        changed = mutate_pixels(content, seed) or changed
    chunks[place] = (kind, changed)
    return join_chunks(chunks)[:largest_size]


def mutate_pixels(content: bytes, seed: int) -> bytes | None:
    """Change the filtered rows under the compression; None where they cannot be unpacked."""
    try:
        rows = zlib.decompressobj().decompress(content, 1 << 16)
    except zlib.error:
        return None
    return zlib.compress(atheris.Mutate(rows, len(rows) + 16), seed % 10)


def split_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4])
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def join_chunks(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return PNG_SIGNATURE + b"".join(
        len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)
        for kind, content in chunks
    )


def draw_seeds() -> Iterator[bytes]:
    """Yield pictures of every format, mode and oddity, 12 by 9 pixels each."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield encode(picture.convert("RGB").convert(mode), "PNG", exif=exif)
    yield encode(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "PNG")
    yield encode(picture.convert("RGB"), "PNG", transparency=(1, 2, 3), icc_profile=b"x" * 200)
    for mode in ("L", "RGB", "CMYK"):
        yield encode(picture.convert("RGB").convert(mode), "JPEG", exif=exif, comment=b"seed")
    yield encode(picture.convert("RGB"), "JPEG", progressive=True, icc_profile=b"x" * 200)
    for mode in ("RGB", "RGBA"):
        yield encode(picture.convert(mode), "WEBP", exif=exif, icc_profile=b"x" * 200)
        yield encode(picture.convert(mode), "WEBP", lossless=True)
    frames = [ImageOps.invert(picture.convert("RGB"))]
    for kind in ("PNG", "WEBP"):
        yield encode(picture.convert("RGB"), kind, save_all=True, append_images=frames)
    yield encode(picture.convert("RGB"), "MPO", save_all=True, append_images=frames)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write_seeds(corpus: Path) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(draw_seeds()):
        (corpus / f"drawn-{number}").write_bytes(data)
    for path in sorted(FOLDER.rglob("*.png")):
        (corpus / path.stem).write_bytes(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--folder", type=Path, default=Path("fuzz"), help="corpus and crashes")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    options = parser.parse_args()
    corpus = options.folder / "corpus"
    write_seeds(corpus)
    # Pillow warns of damaged metadata; that is no crash.
    warnings.simplefilter("ignore")
    flags = {
        "max_total_time": options.seconds,
        "max_len": LARGEST_INPUT_BYTES,
        "timeout": HANGING_INPUT_SECONDS,
        "rss_limit_mb": 2048,
        "seed": options.seed,
        "print_final_stats": 1,
        "artifact_prefix": f"{options.folder}/crash-",
    }
    arguments = [f"-{name}={value}" for name, value in flags.items()]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
