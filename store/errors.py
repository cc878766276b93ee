"""The exception tree. Every message says what was wrong and what would be right.

TenfoldError
├── NotFoundError            the thing asked for does not exist
├── ConflictError            it exists, but not in a state that allows this
│   ├── InvalidTransitionError
│   └── StaleAttemptError    another attempt owns the job now
├── InvalidRequestError      the request itself cannot be right
├── LimitError               it is more than one client may have; later it may be less
├── DatasetError             a data set cannot be found, fetched or read
├── TrainingError            training cannot go on
├── ArtifactError            stored bytes are missing or damaged
└── DatabaseError            the database cannot be opened, or is not what this version needs
"""

from typing import Any


class TenfoldError(Exception):
    """Base of every error that Tenfold raises on purpose.

    `code` is stable and meant for programs; the message is meant for people.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code


class NotFoundError(TenfoldError):
    code = "not_found"


class ConflictError(TenfoldError):
    code = "conflict"


class InvalidTransitionError(ConflictError):
    code = "invalid_transition"


class StaleAttemptError(ConflictError):
    code = "stale_attempt"


class InvalidRequestError(TenfoldError):
    code = "invalid_request"


class LimitError(TenfoldError):
    code = "too_many_requests"


class DatasetError(TenfoldError):
    code = "dataset_unavailable"


class TrainingError(TenfoldError):
    code = "training_failed"


class ArtifactError(TenfoldError):
    code = "artifact_damaged"


class DatabaseError(TenfoldError):
    code = "database_unusable"
