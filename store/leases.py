"""Notice silent workers and jobs that waited too long, without trusting any wall clock."""

from collections.abc import Callable, Iterable
from time import monotonic

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.tables import Job, JobStatus

Attempt = tuple[int, int]  # job id, attempt


class Stopwatches:
    """How long each attempt has shown the same value while this process watched."""

    def __init__(self, clock: Callable[[], float], longest_gap_seconds: float) -> None:
        self._clock = clock
        self._longest_gap_seconds = longest_gap_seconds
        self._seen: dict[Attempt, tuple[int, float]] = {}
        self._looked_at = clock()

    def look(self, values: Iterable[tuple[int, int, int]]) -> dict[Attempt, float]:
        """Take in (job id, attempt, value) and return for how many seconds each stood still.

        A watcher that did not look for long has not watched: a container that was frozen together
        with its neighbours must not declare them dead when it thaws first.
        """
        now = self._clock()
        if now - self._looked_at > self._longest_gap_seconds:
            self._seen.clear()
        self._looked_at = now
        before, self._seen = self._seen, {}
        for job_id, attempt, value in values:
            last, since = before.get((job_id, attempt), (value, now))
            self._seen[job_id, attempt] = (value, since if last == value else now)
        return {attempt: now - since for attempt, (_, since) in self._seen.items()}


class LeaseObserver:
    """Watches the heartbeat counters of claimed jobs with this process's monotonic clock.

    A job is abandoned when its counter stood still for a whole lease while this observer watched.
    Clocks of different hosts are never compared, so they may be wrong and may jump.
    """

    def __init__(self, lease_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._lease_seconds = lease_seconds
        self._stopwatches = Stopwatches(clock, longest_gap_seconds=lease_seconds)

    def find_abandoned(self, session: Session) -> list[Attempt]:
        """Return (job id, attempt) of each claimed job whose lease has run out."""
        query = select(Job.id, Job.attempt, Job.heartbeats).where(
            Job.worker_id.is_not(None),
            Job.status.in_([JobStatus.RUNNING, JobStatus.CANCELLING, JobStatus.PAUSED]),
        )
        silent = self._stopwatches.look(
            (row.id, row.attempt, row.heartbeats) for row in session.execute(query)
        )
        return [attempt for attempt, seconds in silent.items() if seconds > self._lease_seconds]


class QueueObserver:
    """Watches how long jobs with a `max_wait_seconds` are queued; restarts with its process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._stopwatches = Stopwatches(clock, longest_gap_seconds=float("inf"))

    def find_overdue(self, session: Session) -> list[Attempt]:
        """Return (job id, attempt) of each queued job that has waited too long."""
        query = select(Job.id, Job.attempt, Job.max_wait_seconds).where(
            Job.status == JobStatus.QUEUED, Job.max_wait_seconds.is_not(None)
        )
        limits = {(row.id, row.attempt): row.max_wait_seconds for row in session.execute(query)}
        waited = self._stopwatches.look((*attempt, 0) for attempt in limits)
        return [attempt for attempt, seconds in waited.items() if seconds > limits[attempt]]
