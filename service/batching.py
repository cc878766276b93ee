"""The batcher: items that arrive one by one are run together, and none ever waits for company.

An idle batcher runs what arrives at once. While a batch runs the next one forms, and starts the
moment the runner is free. Nothing polls, and there is no task: `submit` and the end of a batch
are the only two events. All methods belong to the event loop; only `run` leaves it, and that
only where it takes longer than to change threads. There a full batch is kept ready for the thread
that ends its own first.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, Protocol, TypeVar

from store.errors import TenfoldError

Item = TypeVar("Item")
Result = TypeVar("Result")

_logger = logging.getLogger(__name__)

# How much of each new measurement goes into the mean that Retry-After is computed from.
_SMOOTHING = 0.2


class OverloadedError(TenfoldError):
    """More items wait than the bound allows: the sender may try again a little later."""

    code = "overloaded"


class DeadlineExceededError(TenfoldError):
    """The request waited longer than its deadline and was dropped before it ran."""

    code = "deadline_exceeded"


class Observer(Protocol):
    """Is told what the batcher measures. Called on the event loop."""

    def batch_ended(self, size: int, waited_seconds: Sequence[float], ran_seconds: float) -> None:
        """A batch of `size` items has run; its requests had waited that long for its start."""

    def request_dropped(self, reason: str) -> None:
        """A waiting request was `cancelled`, or `expired`."""


@dataclass(slots=True, eq=False)
class _Request(Generic[Item, Result]):
    items: Sequence[Item]
    future: "asyncio.Future[list[Result | Exception]]"
    submitted_at: float
    deadline: float
    outcomes: dict[int, Result | Exception] = field(default_factory=dict)  # by place in `items`
    taken: int = 0


@dataclass(slots=True, eq=False)
class _Part(Generic[Item, Result]):
    """The items of one request that are in one batch: all of them, unless it was split."""

    request: _Request[Item, Result]
    start: int
    items: Sequence[Item]


@dataclass(slots=True, eq=False)
class _Run(Generic[Result]):
    """What became of a batch."""

    outcomes: Sequence[Result | Exception]
    waited_seconds: Sequence[float]
    seconds: float
    is_followed: bool = False  # by another batch in the same thread


class Batcher(Generic[Item, Result]):
    """Runs items in batches, in the order they came.

    `run` takes the items of a batch and returns one result, or one exception, for each. It is
    called in a thread of `executor`; without one, on the event loop, at its next turn, so that
    all who came in this turn are in the batch. Up to `max_running_batches` run at the same time.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        executor: Executor | None,
        *,
        max_batch_items: int,
        max_running_batches: int = 1,
        max_waiting_items: int,
        observer: Observer,
    ) -> None:
        self._run = run
        self._executor = executor
        self._max_batch_items = max_batch_items
        self._max_waiting_items = max_waiting_items
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Request[Item, Result]] = deque()
        self._waiting_items = 0
        self._running_items = 0
        self._running_batches = 0
        # A full batch that a thread takes as soon as it is free: it need not wait until the event
        # loop, which has other work as well, has heard of the end of the one before.
        self._next_batches: deque[list[_Part[Item, Result]]] = deque()
        self._max_running_batches = max_running_batches
        self._seconds_per_item = 0.0

    @property
    def waiting_items(self) -> int:
        return self._waiting_items + sum(len(part.items) for part in self._next_batch)

    @property
    def oldest_wait_seconds(self) -> float:
        """Age of the request at the head of the queue; 0 when nobody waits."""
        waiting = [part.request for part in self._next_batch] or self._waiting
        return monotonic() - waiting[0].submitted_at if waiting else 0.0

    @property
    def _next_batch(self) -> list[_Part[Item, Result]]:
        """What a thread will take next; it may be gone at any moment."""
        try:
            return self._next_batches[0]
        except IndexError:
            return []

    def submit(
        self, items: Sequence[Item], deadline_seconds: float
    ) -> "asyncio.Future[list[Result | Exception]]":
        """Return a future of one result or exception per item, in the order of `items`.

        Cancel the future to withdraw items that do not run yet. It raises DeadlineExceededError
        when the items could not start within `deadline_seconds`.
        Raises OverloadedError at once when the items would exceed the bound of the queue.
        """
        if self.waiting_items + len(items) > self._max_waiting_items:
            raise self._overloaded()
        now = monotonic()
        request: _Request[Item, Result] = _Request(
            items, self._loop.create_future(), now, now + deadline_seconds
        )
        self._waiting.append(request)
        self._waiting_items += len(items)
        self._begin()
        return request.future

    def estimate_wait_seconds(self) -> float:
        """How long the items that wait and run now will take, from what earlier ones took."""
        return (self._waiting_items + self._running_items) * self._seconds_per_item

    def _overloaded(self) -> OverloadedError:
        seconds = max(1, math.ceil(self.estimate_wait_seconds()))
        return OverloadedError(
            f"{self.waiting_items} images are waiting already: try again in {seconds} s, "
            "or send fewer at once.",
            retry_after_seconds=seconds,
        )

    def _begin(self) -> None:
        """Start as many batches as there are items for and may run."""
        while (self._waiting or self._next_batches) and (
            self._running_batches < self._max_running_batches
        ):
            self._running_batches += 1
            if self._executor is None:
                self._loop.call_soon(self._run_on_loop)
            elif parts := self._take_next() or self._form_batch():
                self._executor.submit(self._run_in_thread, parts)
            else:
                self._running_batches -= 1
        if (
            self._executor is not None
            and not self._next_batches
            and self._waiting_items >= self._max_batch_items
            and (parts := self._form_batch())
        ):
            self._next_batches.append(parts)

    def _take_next(self) -> list[_Part[Item, Result]] | None:
        """Return the batch that is ready. Called by the event loop and by threads."""
        try:
            return self._next_batches.popleft()
        except IndexError:
            return None

    def _run_on_loop(self) -> None:
        if parts := self._form_batch():
            self._end_batch(parts, self._run_batch(parts))
        else:
            self._running_batches -= 1

    def _form_batch(self) -> list[_Part[Item, Result]]:
        """Take up to `max_batch_items` from the head of the queue; drop who gave up or is late."""
        now = monotonic()
        parts: list[_Part[Item, Result]] = []
        room = self._max_batch_items
        while self._waiting and room:
            request = self._waiting[0]
            if self._is_dropped(request, now):
                self._waiting_items -= len(request.items) - request.taken
                self._waiting.popleft()
                continue
            items = request.items[request.taken : request.taken + room]
            parts.append(_Part(request, request.taken, items))
            request.taken += len(items)
            room -= len(items)
            self._waiting_items -= len(items)
            if request.taken == len(request.items):
                self._waiting.popleft()
        self._running_items += self._max_batch_items - room
        return parts

    def _is_dropped(self, request: _Request[Item, Result], now: float) -> bool:
        if request.future.done():
            self._observer.request_dropped("cancelled")
            return True
        if now <= request.deadline or request.taken:
            return False
        self._observer.request_dropped("expired")
        waited = now - request.submitted_at
        request.future.set_exception(
            DeadlineExceededError(
                f"The request waited {waited:.1f} s for its turn, longer than it may: "
                "try again later, or send fewer images at once.",
                retry_after_seconds=max(1, math.ceil(self.estimate_wait_seconds())),
            )
        )
        return True

    def _run_in_thread(self, parts: list[_Part[Item, Result]]) -> None:
        """Run a batch, and those that are ready then. The event loop hears of each end."""
        ready: list[_Part[Item, Result]] | None = parts
        while ready is not None:
            parts, run = ready, self._run_batch(ready)
            ready = self._take_next()
            run.is_followed = ready is not None
            self._loop.call_soon_threadsafe(self._end_batch, parts, run)

    def _run_batch(self, parts: list[_Part[Item, Result]]) -> _Run[Result]:
        started_at = monotonic()
        items = [item for part in parts for item in part.items]
        outcomes = self._run_isolated(items)
        seconds = monotonic() - started_at
        # Of a request that was split, the first part counts.
        waited = [started_at - part.request.submitted_at for part in parts if not part.start]
        return _Run(outcomes, waited, seconds)

    def _run_isolated(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        """Run the items; when the batch fails as a whole, each alone, so that one fails alone."""
        try:
            return self._run(items)
        except Exception as error:
            _logger.exception("A batch of %d items failed", len(items))
            if len(items) == 1:
                return [error]
        return [self._run_isolated([item])[0] for item in items]

    def _end_batch(self, parts: list[_Part[Item, Result]], run: _Run[Result]) -> None:
        outcomes = run.outcomes
        measured = run.seconds / len(outcomes) / self._running_batches
        if not run.is_followed:
            self._running_batches -= 1
        self._running_items -= len(outcomes)
        self._seconds_per_item += (measured - self._seconds_per_item) * (
            _SMOOTHING if self._seconds_per_item else 1.0
        )
        self._begin()
        self._observer.batch_ended(len(outcomes), run.waited_seconds, run.seconds)
        start = 0
        for part in parts:
            request, stop = part.request, start + len(part.items)
            request.outcomes.update(enumerate(outcomes[start:stop], part.start))
            start = stop
            # A caller who went away has cancelled the future: a result would raise, and end all.
            if len(request.outcomes) == len(request.items) and not request.future.done():
                request.future.set_result(
                    [request.outcomes[place] for place in range(len(request.items))]
                )
