"""Give freed memory back to the system, which the C library would rather keep."""

import ctypes


def release_freed_memory() -> None:
    """Return unused pages. glibc keeps them for each thread that ever allocated; others do not."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
