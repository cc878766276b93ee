"""A typed client of Tenfold's REST API, and the `tenfold` command line on top of it."""

from client.errors import (
    AccessDeniedError,
    ChecksumError,
    ConflictError,
    ConnectionFailedError,
    ExportError,
    InvalidRequestError,
    JobCancelledError,
    JobEndedError,
    JobFailedError,
    NotFoundError,
    ProblemError,
    ServiceFailedError,
    TenfoldError,
    UnavailableError,
    UnexpectedReplyError,
    WaitTimeoutError,
)
from client.job_flows import JobUpdate
from client.jobs import AsyncJob, Job
from client.retries import RetryPolicy
from client.schemas import JobStatus
from client.tenfold import AsyncTenfold, Tenfold

__all__ = [
    "AccessDeniedError",
    "AsyncJob",
    "AsyncTenfold",
    "ChecksumError",
    "ConflictError",
    "ConnectionFailedError",
    "ExportError",
    "InvalidRequestError",
    "Job",
    "JobCancelledError",
    "JobEndedError",
    "JobFailedError",
    "JobStatus",
    "JobUpdate",
    "NotFoundError",
    "ProblemError",
    "RetryPolicy",
    "ServiceFailedError",
    "Tenfold",
    "TenfoldError",
    "UnavailableError",
    "UnexpectedReplyError",
    "WaitTimeoutError",
]
