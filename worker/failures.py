"""What ended a job, in a sentence that tells what to do."""

import errno
import traceback
from typing import Any

import torch

from store.errors import TenfoldError

_OS_ADVICE = {
    errno.ENOSPC: "free some space on the disk of the data folder and of the temporary folder",
    errno.EDQUOT: "free some space, this user's quota is used up",
    errno.EROFS: "make the data folder and the temporary folder writable",
    errno.EACCES: "give this user write access to the data folder",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`) of the worker",
    errno.ENFILE: "close what holds so many files open on this machine",
    errno.EIO: "check the health of the disk",
}


def describe_failure(error: Exception) -> dict[str, Any]:
    """Return {code, message, traceback} of what ended a job."""
    if isinstance(error, TenfoldError):
        code, message = error.code, error.message
    elif isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        code = "out_of_memory"
        message = "The memory ran out: submit the job again with a smaller batch_size."
    elif isinstance(error, OSError) and error.errno in _OS_ADVICE:
        code = "system_refused"
        message = f"{error.strerror}: {_OS_ADVICE[error.errno]}, then retry the job."
    else:
        code, message = "internal_error", f"{type(error).__name__}: {error}"
    return {
        "code": code,
        "message": message,
        "traceback": "".join(traceback.format_exception(error)),
    }
