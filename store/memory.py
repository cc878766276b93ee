"""How a process keeps and frees memory: the C library's heaps, and the garbage collector."""

import ctypes
import gc

from store.cores import count_cores

# Parameters of mallopt(3), as glibc's malloc.h numbers them. Other libraries have no mallopt, or
# ignore what they do not know.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MOST_ARENAS = -1, -2, -3, -8

_LARGEST_KEPT_BLOCK = 1 << 30
_KEPT_BYTES = (1 << 31) - 1
_GROWTH_BYTES = 1 << 28
_MOST_YOUNG_OBJECTS = 5_000


def bound_arenas() -> None:
    """Let threads share as many heaps as there are cores. Call it before threads start.

    glibc would make eight for each core, and each keeps what its largest request needed.
    """
    _set_options({_MOST_ARENAS: count_cores()})


def keep_freed_memory() -> None:
    """Keep up to 2 GiB of what this process frees, so that the next allocation costs nothing.

    glibc gives blocks over 32 MiB back at once, and the kernel clears the same pages anew for the
    next tensor of that size.
    """
    _set_options(
        {
            _MMAP_THRESHOLD: _LARGEST_KEPT_BLOCK,
            _TRIM_THRESHOLD: _KEPT_BYTES,
            _TOP_PAD: _GROWTH_BYTES,
        }
    )


def collect_rarely() -> None:
    """Let the garbage collector look less often, and never at what exists already.

    It looks when 700 more objects exist than the last time, which is every few requests where many
    wait at once; and it finds nothing, because what a request made goes when its reply has gone.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MOST_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def release_freed_memory() -> None:
    """Return unused pages to the system. glibc keeps them; others do not."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _set_options(values: dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in values.items():
            mallopt(option, value)
