"""What ended a job, in a sentence that tells what to do."""

import traceback
from typing import Any

import torch

from store.errors import TenfoldError
from store.refusals import explain_refusal


def describe_failure(error: Exception) -> dict[str, Any]:
    """Return {code, message, traceback} of what ended a job."""
    if isinstance(error, TenfoldError):
        code, message = error.code, error.message
    elif isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        code = "out_of_memory"
        message = "The memory ran out: submit the job again with a smaller batch_size."
    elif isinstance(error, OSError) and (refusal := explain_refusal(error)):
        code, message = "system_refused", f"{refusal}, then retry the job."
    else:
        code, message = "internal_error", f"{type(error).__name__}: {error}"
    return {
        "code": code,
        "message": message,
        "traceback": "".join(traceback.format_exception(error)),
    }
