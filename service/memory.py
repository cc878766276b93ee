"""Give freed memory back to the system, which the C library would rather keep."""

import ctypes
import os

# `M_ARENA_MAX` of glibc's malloc.h.
_MOST_ARENAS = -8


def bound_arenas() -> None:
    """Let threads share as many heaps as there are cores. Call it before threads start.

    glibc would make eight for each core, and each keeps what its largest request needed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MOST_ARENAS, len(os.sched_getaffinity(0)))


def release_freed_memory() -> None:
    """Return unused pages. glibc keeps them for each thread that ever allocated; others do not."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
