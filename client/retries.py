"""When a request is sent again, and after how long."""

import random
from dataclasses import dataclass

from client.errors import ConnectionFailedError, TenfoldError, UnavailableError

# Refused before anything was done: safe to repeat whatever the request was.
_NOT_DONE_STATUSES = frozenset({429, 503})


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with jitter; `attempts` counts the first one."""

    attempts: int = 5
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 10.0
    # A `Retry-After` beyond this is not waited for.
    longest_retry_after_seconds: float = 60.0

    def wait_before_next(
        self, attempt: int, error: TenfoldError, *, is_repeatable: bool
    ) -> float | None:
        """Return the seconds until attempt + 1, or None where the error is to be raised.

        A request that is not repeatable is sent again only where it certainly had no effect.
        """
        if attempt >= self.attempts or not _may_repeat(error, is_repeatable=is_repeatable):
            return None
        doubled = self.first_wait_seconds * 2.0 ** (attempt - 1)
        # Half of it fixed, half drawn: many clients of one service do not return in step.
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
        wait_seconds = min(self.longest_wait_seconds, doubled) * jitter
        if isinstance(error, UnavailableError) and error.retry_after_seconds is not None:
            if error.retry_after_seconds > self.longest_retry_after_seconds:
                return None
            return error.retry_after_seconds + wait_seconds
        return wait_seconds


def _may_repeat(error: TenfoldError, *, is_repeatable: bool) -> bool:
    match error:
        case ConnectionFailedError():
            return is_repeatable or not error.was_sent
        case UnavailableError():
            return is_repeatable or error.status in _NOT_DONE_STATUSES
    return False
