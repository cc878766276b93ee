"""Many picture files into one array, by all cores."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from store.cores import count_cores
from store.errors import DatasetError, InvalidRequestError
from store.images import Pixels, decode, fit
from worker.dataset_sources import LoadStoppedError, Notify, ShouldStop

_FILES_BETWEEN_NOTICES = 10_000
_CHUNK_FILES = 500


class SizesDifferError(Exception):
    """A picture has not the size that all were expected to have."""


def decode_file(path: Path) -> Image.Image:
    """Return the RGB picture in the file; raises DatasetError that names it."""
    try:
        return decode(path.read_bytes())
    except (InvalidRequestError, OSError) as error:
        raise DatasetError(
            f"{path} cannot be read as a picture ({error}): replace or delete it"
        ) from error


@dataclass(frozen=True)
class Decoder:
    """Decodes files to one size; raises SizesDifferError for another unless it `resizes`."""

    size: tuple[int, int]  # width, height
    notify: Notify
    should_stop: ShouldStop
    _: KW_ONLY
    resizes: bool

    def decode(self, paths: Sequence[Path], what: str) -> Pixels:
        """Return the pictures (N, height, width, 3) in the order of `paths`."""
        width, height = self.size
        pixels = np.empty((len(paths), height, width, 3), dtype=np.uint8)

        def decode_chunk(start: int) -> int:
            end = min(start + _CHUNK_FILES, len(paths))
            for index in range(start, end):
                pixels[index] = self._decode_one(paths[index])
            return end

        # Threads pay because Pillow's decoders release the interpreter lock.
        with ThreadPoolExecutor(count_cores()) as pool:
            try:
                for end in pool.map(decode_chunk, range(0, len(paths), _CHUNK_FILES)):
                    if end % _FILES_BETWEEN_NOTICES == 0 or end == len(paths):
                        done = {"decoded": end, "total": len(paths)}
                        self.notify("packing", f"decoded {end:,} of {len(paths):,} {what}", done)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return pixels

    def _decode_one(self, path: Path) -> Pixels:
        if self.should_stop():
            raise LoadStoppedError
        image = decode_file(path)
        if not self.resizes and image.size != self.size:
            raise SizesDifferError
        width, height = self.size
        return fit(image, height, width, "rgb")
