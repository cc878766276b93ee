"""Notice workers that fell silent, without trusting any wall clock."""

from collections.abc import Callable
from time import monotonic

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.tables import Job, JobStatus


class LeaseObserver:
    """Watches the heartbeat counters of claimed jobs with this process's monotonic clock.

    A job is abandoned when its counter stood still for a whole lease while this observer watched.
    Clocks of different hosts are never compared, so they may be wrong and may jump.
    """

    def __init__(self, lease_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._seen: dict[tuple[int, int], tuple[int, float]] = {}

    def find_abandoned(self, session: Session) -> list[tuple[int, int]]:
        """Return (job id, attempt) of each claimed job whose lease has run out."""
        query = select(Job.id, Job.attempt, Job.heartbeats).where(
            Job.worker_id.is_not(None),
            Job.status.in_([JobStatus.RUNNING, JobStatus.CANCELLING, JobStatus.PAUSED]),
        )
        now = self._clock()
        before, self._seen = self._seen, {}
        for job_id, attempt, heartbeats in session.execute(query):
            last, since = before.get((job_id, attempt), (heartbeats, now))
            self._seen[job_id, attempt] = (heartbeats, since if last == heartbeats else now)
        return [key for key, (_, since) in self._seen.items() if now - since > self._lease_seconds]
