"""Where pictures are decoded: a few small ones at once, all others in threads.

A picture of 32x32 takes 25 µs, no more than to hand it to another thread and wait for the lock of
the interpreter there. A large one, or many small ones, would delay everybody else.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from service.batching import OverloadedError
from service.predictor import Item, PreparedItem
from store.cores import count_cores

# Up to here a decode takes less time than handing it to another thread and back.
_SMALL_BYTES = 4_096
_SMALL_PNG_PIXELS = 64 * 64
_FEW_PICTURES = 8
_PNG_START = b"\x89PNG\r\n\x1a\n"


def are_decoded_at_once(items: Sequence[Item]) -> bool:
    """Tell whether the pictures are so few and so small that no thread is worth its while."""
    return len(items) <= _FEW_PICTURES and not any(map(is_large, items))


def is_large(item: Item) -> bool:
    """Tell, by its first bytes, whether a picture takes long to decode."""
    if not isinstance(item, bytes):
        return False
    if len(item) > _SMALL_BYTES:
        return True
    if not item.startswith(_PNG_START):
        # JPEG and WebP of so few bytes hold far fewer pixels than PNG can.
        return False
    width, height = int.from_bytes(item[16:20]), int.from_bytes(item[20:24])
    return width * height > _SMALL_PNG_PIXELS


class Decoder:
    """A bounded number of decodes, in as many threads as there are cores."""

    def __init__(self, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(count_cores(), thread_name_prefix="decode")
        self._max_waiting = max_waiting
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Pictures that are being decoded, or wait for it."""
        return self._waiting

    async def decode(
        self, items: Sequence[Item], prepare: Callable[[Item], PreparedItem]
    ) -> list[PreparedItem]:
        """Return `prepare` of each item, called in threads.

        Raises OverloadedError when too many wait already.
        """
        encoded = sum(isinstance(item, bytes) for item in items)
        if self._waiting + encoded > self._max_waiting:
            raise OverloadedError(
                f"{self._waiting} images wait to be decoded: try again in 1 s.",
                retry_after_seconds=1,
            )
        self._waiting += encoded
        try:
            parts = await asyncio.gather(
                *(self._prepare_together(part, prepare) for part in _split(items))
            )
        finally:
            self._waiting -= encoded
        return [item for part in parts for item in part]

    async def _prepare_together(
        self, items: Sequence[Item], prepare: Callable[[Item], PreparedItem]
    ) -> list[PreparedItem]:
        def prepare_all() -> list[PreparedItem]:
            return [prepare(item) for item in items]

        return await asyncio.get_running_loop().run_in_executor(self._executor, prepare_all)

    def shutdown(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def _split(items: Sequence[Item]) -> list[Sequence[Item]]:
    """Return the items in runs that are each worth a change of threads, a large one by itself."""
    parts: list[list[Item]] = []
    is_open = False
    for item in items:
        if is_large(item) or not is_open or len(parts[-1]) == _FEW_PICTURES:
            parts.append([])
        parts[-1].append(item)
        is_open = not is_large(item)
    return [*parts]
