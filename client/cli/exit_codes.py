"""What the shell is told. Scripts may rely on these numbers."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    # The job failed or was cancelled, or a picture could not be classified.
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    SERVICE_FAILED = 5
    INTERRUPTED = 130
