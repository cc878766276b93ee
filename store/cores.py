"""How many of the machine's cores this process may use."""

import os


def count_cores() -> int:
    """Return the number of cores; where the system does not tell what is ours, all there are."""
    try:
        return len(os.sched_getaffinity(0))  # noqa: TID251 -- the one place
    except AttributeError:
        return os.cpu_count() or 1
