"""What can go wrong, as exceptions that say what to do.

TenfoldError
├── ConnectionFailedError    nobody answers at the address
├── ProblemError             the service refused (RFC 9457): code, title, detail, field errors
│   ├── InvalidRequestError  the request cannot be right (400, 413, 415, 422)
│   ├── AccessDeniedError    it asks for an API key, or for another one (401, 403)
│   ├── NotFoundError        what it names does not exist (404)
│   ├── ConflictError        it does not fit the present state (409)
│   ├── UnavailableError     the service cannot do it now (429, 502, 503, 504)
│   └── ServiceFailedError   the service has a defect (other 5xx)
├── UnexpectedReplyError     the answer is not Tenfold's: another program, or another version
├── ChecksumError            a download arrived with other bytes than were published
├── ExportError              TensorBoard or MLflow cannot take the metrics
├── JobEndedError            the job that was waited for has no model
│   ├── JobFailedError
│   └── JobCancelledError
└── WaitTimeoutError         the job did not end in time (also a TimeoutError)
"""

from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.settings import is_loopback

if TYPE_CHECKING:
    from client.schemas import JobRecord

_LONGEST_QUOTE = 200


class TenfoldError(Exception):
    """The base of all; its text says what happened and what to do."""


class ConnectionFailedError(TenfoldError):
    """Nobody answers at `url`. `was_sent` tells whether the service may have got the request."""

    def __init__(self, url: str, reason: str, *, was_sent: bool) -> None:
        advice = (
            "Start it with: tenfold up"
            if is_loopback(url)
            else "Check the address, and that the service runs there."
        )
        super().__init__(f"Tenfold does not answer at {url} ({reason}). {advice}")
        self.url = url
        self.was_sent = was_sent

    @classmethod
    def from_transport(cls, url: str, error: httpx.TransportError) -> Self:
        was_sent = not isinstance(
            error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
        )
        return cls(url, str(error) or type(error).__name__, was_sent=was_sent)


class ExportError(TenfoldError):
    """Another tool cannot take the metrics: it is not installed, not there, or refused."""


class FieldError(BaseModel):
    """One thing that is wrong with one field of the request."""

    model_config = ConfigDict(extra="allow")

    place: str = Field(alias="in", description="`body`, `query`, `path` or `header`.")
    field: str
    message: str


class Problem(BaseModel):
    """An RFC 9457 problem, as the service sends it."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | None = None


class ProblemError(TenfoldError):
    """The service refused. `code` is stable and meant for programs."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def title(self) -> str:
        return self.problem.title

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def errors(self) -> list[FieldError]:
        """The fields that are wrong; empty where the problem is not one of fields."""
        return self.problem.errors or []

    @classmethod
    def from_response(cls, response: httpx.Response) -> "ProblemError":
        """Return the exception that a reply of status 400 or more stands for."""
        problem = _read_problem(response)
        kind = _KINDS.get(response.status_code)
        if kind is None:
            is_server_error = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            kind = ServiceFailedError if is_server_error else InvalidRequestError
        return kind(problem, _read_retry_after(response))


class InvalidRequestError(ProblemError):
    """The request cannot be right; `errors` names the fields."""


class AccessDeniedError(ProblemError):
    """The service asks for an API key, or for one that may do more."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(problem, retry_after_seconds)
        if advice := _KEY_ADVICE.get(problem.code):
            self.args = (f"{problem.detail} {advice}",)


class NotFoundError(ProblemError):
    """What the request names does not exist."""


class ConflictError(ProblemError):
    """The request does not fit the present state."""


class UnavailableError(ProblemError):
    """The service cannot do it now; it was asked several times."""


class ServiceFailedError(ProblemError):
    """The service has a defect; its log has the traceback."""


_KEY_ADVICE = {
    "key_missing": "Set TENFOLD_API_KEY (or give --api-key, or api_key= in Python).",
    "key_invalid": "Check TENFOLD_API_KEY; `tenfold keys list` shows the keys that there are.",
    "scope_missing": "Ask for one with `tenfold keys create NAME --scope …`.",
}

_KINDS: dict[int, type[ProblemError]] = {
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def _read_problem(response: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        # A proxy in between answers in words of its own.
        reason = response.reason_phrase or "no reason given"
        return Problem(
            title=reason,
            status=response.status_code,
            detail=f"{response.url} answered {response.status_code} ({reason}).",
            code=f"http_{response.status_code}",
        )


def _read_retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`; its other form, a date, is not used by the service."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


class UnexpectedReplyError(TenfoldError):
    """The answer is not Tenfold's."""

    @classmethod
    def from_response(cls, response: httpx.Response, reason: str) -> Self:
        start = response.text[:_LONGEST_QUOTE]
        return cls(
            f"{response.url} answered {response.status_code}, but not as Tenfold does ({reason}). "
            f"Check the address, and that client and service have the same version. It said: "
            f"{start!r}"
        )


class ChecksumError(TenfoldError):
    """A download arrived with other bytes than were published; nothing was kept of it."""


class JobEndedError(TenfoldError):
    """The job ended without a model; `job` is its last state."""

    def __init__(self, job: "JobRecord", message: str) -> None:
        super().__init__(message)
        self.job = job


class JobFailedError(JobEndedError):
    """`job.error` has code, message and traceback."""

    def __init__(self, job: "JobRecord") -> None:
        reason = "no reason was recorded" if job.error is None else job.error.message
        super().__init__(job, f"Job {job.id} failed: {reason}")


class JobCancelledError(JobEndedError):
    """Somebody cancelled the job."""

    def __init__(self, job: "JobRecord") -> None:
        super().__init__(job, f"Job {job.id} was cancelled.")


class WaitTimeoutError(TenfoldError, TimeoutError):
    """The job did not end in time; it goes on."""
