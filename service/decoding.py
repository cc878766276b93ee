"""Where a picture is decoded: a few small ones at once, large ones in threads.

A picture of 32x32 takes 35 µs, no more than to hand it to another thread and wait for the lock of
the interpreter there. A large one would delay everybody else.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from service.batching import OverloadedError
from service.predictor import Item
from store.errors import InvalidRequestError
from store.images import Pixels

# Up to here a decode takes less time than handing it to another thread and back.
_SMALL_BYTES = 4_096
_SMALL_PNG_PIXELS = 64 * 64
# More small pictures in one request are decoded where their batch runs.
MOST_DECODED_AT_ONCE = 8
_PNG_START = b"\x89PNG\r\n\x1a\n"


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

    async def decode_large(
        self, items: Sequence[Item], decode: Callable[[bytes], Pixels]
    ) -> list[Item]:
        """Return the items, each large picture decoded, or replaced by why it cannot be.

        Raises OverloadedError when too many wait already.
        """
        large = sum(is_large(item) for item in items)
        if self._waiting + large > self._max_waiting:
            raise OverloadedError(
                f"{self._waiting} large images wait to be decoded: try again in 1 s.",
                retry_after_seconds=1,
            )
        self._waiting += large
        try:
            return await asyncio.gather(*(self._decode(item, decode) for item in items))
        finally:
            self._waiting -= large

    async def _decode(self, item: Item, decode: Callable[[bytes], Pixels]) -> Item:
        if not isinstance(item, bytes) or not is_large(item):
            return item
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, decode, item)
        except InvalidRequestError as error:
            return error

    def shutdown(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def count_cores() -> int:
    return len(os.sched_getaffinity(0))
