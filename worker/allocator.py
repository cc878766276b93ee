"""Memory that a step frees is kept for the next one.

By default the C library gives every large block back at once, and the kernel clears the same
pages anew for the next tensor of that size.
"""

import ctypes
import platform

# Parameters of glibc's mallopt(3), and the highest values that it takes.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_BLOCK = 1 << 30
_KEPT_BYTES = (1 << 31) - 1
_GROWTH_BYTES = 1 << 28


def keep_freed_memory() -> None:
    """Let this process keep up to 2 GiB of what it frees; does nothing without glibc."""
    if platform.libc_ver()[0] != "glibc":
        return
    set_option = ctypes.CDLL(None).mallopt
    set_option(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    set_option(_TRIM_THRESHOLD, _KEPT_BYTES)
    set_option(_TOP_PAD, _GROWTH_BYTES)


def return_freed_memory() -> None:
    """Give back to the system what is free."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
