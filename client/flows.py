"""Flows: what the client does, step by step, without doing it.

A flow is a generator. It yields steps (send this, sleep, give this to the caller), is sent what
came of each, and returns its result. `client/runners.py` performs the steps, once for threads and
once for asyncio; everything else is written once.
"""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

from client.calls import Call
from client.errors import (
    ConnectionFailedError,
    NotFoundError,
    ProblemError,
    TenfoldError,
    UnexpectedReplyError,
)
from client.retries import RetryPolicy

Value = TypeVar("Value")


@dataclass(frozen=True)
class Sleep:
    """Is sent None when the time is over."""

    seconds: float


@dataclass(frozen=True)
class Item(Generic[Value]):
    """One value for the caller who iterates."""

    value: Value


@dataclass(frozen=True)
class NextEvent:
    """Is sent the next ServerSentEvent of a stream, None at its end, or an httpx.TransportError."""

    stream: httpx.Response


# A Call is sent its httpx.Response, or the httpx.TransportError that came instead.
Step: TypeAlias = Call[Any] | Sleep | Item[Any] | NextEvent
Flow: TypeAlias = Generator[Step, Any, Value]
# A flow for a caller who iterates.
Items: TypeAlias = Generator[Call[Any] | Sleep | Item[Value] | NextEvent, Any, None]


def ask(call: Call[Value]) -> Flow[Value]:
    """Send a request and return what its reply says. Raises ProblemError and the like."""
    value: Value = yield call
    return value


def add_retries(flow: Flow[Value], policy: RetryPolicy, url: str) -> Flow[Value]:
    """Return the flow whose calls are repeated as the policy says, and yield values, not replies.

    `url` is what the message of a failed connection names.
    """
    result: Any = None
    error: TenfoldError | None = None
    while True:
        try:
            step = flow.send(result) if error is None else flow.throw(error)
        except StopIteration as stop:
            value: Value = stop.value
            return value
        result, error = None, None
        if isinstance(step, Call):
            try:
                result = yield from _send(step, policy, url)
            except TenfoldError as failure:
                error = failure
        else:
            result = yield step


def _send(call: Call[Value], policy: RetryPolicy, url: str) -> Flow[Value]:
    may_have_arrived = False
    for attempt in count(1):
        outcome: httpx.Response | httpx.TransportError = yield call
        error = _judge(outcome, url)
        if error is None:
            assert isinstance(outcome, httpx.Response)  # noqa: S101 -- for the type checker
            # Of a stream, the caller gets the reply itself.
            return outcome if call.is_stream else call.read(outcome)  # type: ignore[return-value]
        if may_have_arrived and _is_gone(call, error):
            return call.read(outcome)  # type: ignore[arg-type]
        may_have_arrived |= isinstance(error, ConnectionFailedError) and error.was_sent
        wait_seconds = policy.wait_before_next(attempt, error, is_repeatable=call.is_repeatable)
        if wait_seconds is None:
            raise error
        yield Sleep(wait_seconds)
    raise AssertionError("count has no end")


def _judge(outcome: httpx.Response | httpx.TransportError, url: str) -> TenfoldError | None:
    if isinstance(outcome, httpx.TransportError):
        return ConnectionFailedError.from_transport(url, outcome)
    if outcome.is_error:
        return ProblemError.from_response(outcome)
    if not outcome.is_success:
        return UnexpectedReplyError.from_response(outcome, "a redirect")
    return None


def _is_gone(call: Call[Any], error: TenfoldError) -> bool:
    return call.method == "DELETE" and isinstance(error, NotFoundError)
