"""The worker's pulse: a thread that keeps the lease alive and hears what users ask of the job."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Self

from sqlalchemy.orm import Session

from store import jobs, workers
from store.database import Database
from store.errors import DatabaseError, StaleAttemptError
from store.jobs import Claim
from store.refusals import explain_refusal
from store.rescue import Rescue
from store.tables import JobStatus
from worker.last_words import LastWords

# How soon a cancel or a pause is heard; two seconds are promised.
WATCH_INTERVAL_SECONDS = 0.5
# A worker that was told to stop has ten seconds, of which this leaves some to the database.
LONGEST_STOP_SECONDS = 8.0

log = logging.getLogger(__name__)


class StopReason(StrEnum):
    CANCELLED = "cancelled"
    PAUSED = "paused"
    OUT_OF_TIME = "out_of_time"
    PRUNED = "pruned"
    LOST = "lost"
    SHUTDOWN = "shutdown"


class Lease:
    """One claim while it is worked on, and the reason to stop once there is one."""

    def __init__(
        self, claim: Claim, shutdown: Event, read_progress: Callable[[], dict[str, Any] | None]
    ) -> None:
        self.claim = claim
        self.read_progress = read_progress
        self._shutdown = shutdown
        self._began = monotonic()
        self._reason: StopReason | None = None

    @property
    def run_seconds(self) -> float:
        """What all attempts at the job have spent so far."""
        return self.claim.run_seconds + monotonic() - self._began

    @property
    def stop_reason(self) -> StopReason | None:
        if self._reason is not None:
            return self._reason
        if self._shutdown.is_set():
            return StopReason.SHUTDOWN
        limit = self.claim.max_run_seconds
        if limit is not None and self.run_seconds > limit:
            return StopReason.OUT_OF_TIME
        return None

    def should_stop(self) -> bool:
        return self.stop_reason is not None

    def prune(self) -> None:
        """Stop a trial that cannot become the best of its sweep, unless it is to stop anyway."""
        self._reason = self._reason or StopReason.PRUNED

    def hear(self, status: JobStatus | None) -> None:
        """Take in the job's status; None when the job belongs to somebody else."""
        if status is None:
            self._reason = StopReason.LOST
        elif status is JobStatus.CANCELLING:
            self._reason = StopReason.CANCELLED
        elif status is JobStatus.PAUSED:
            self._reason = StopReason.PAUSED


class Pulse:
    """Beats for the worker, and for the job it works on, until the `with` block ends.

    It also does what every process does for the jobs of others (`store.rescue`), and ends the
    process where what it runs does not end soon after `shutdown`: a compilation, the writing of an
    ONNX program, or one step of a large network on few cores.
    """

    def __init__(
        self,
        database: Database,
        worker_id: str,
        shutdown: Event,
        *,
        rescue: Rescue,
        last_words: LastWords,
        heartbeat_interval_seconds: float,
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._shutdown = shutdown
        self._heartbeat_interval_seconds = heartbeat_interval_seconds
        self._rescue = rescue
        self._last_words = last_words
        self._lease: Lease | None = None
        self._ended = Event()
        self._latest_end: float | None = None
        self._thread = Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def follow(
        self, claim: Claim, read_progress: Callable[[], dict[str, Any] | None]
    ) -> Iterator[Lease]:
        """Keep the claim's lease alive during the block."""
        self._lease = Lease(claim, self._shutdown, read_progress)
        try:
            yield self._lease
        finally:
            self._lease = None

    def _run(self) -> None:
        next_heartbeat = monotonic()
        while True:
            try:
                self._watch()
                if monotonic() >= next_heartbeat:
                    next_heartbeat = monotonic() + self._heartbeat_interval_seconds
                    self._last_words.note()
                    self._beat()
                    self._rescue.look()
                self._end_in_time()
            except DatabaseError as error:
                # The lease may run out meanwhile; the fencing token keeps that harmless.
                log.warning("No heartbeat: %s", error)
            except OSError as error:
                log.warning("No heartbeat: %s", explain_refusal(error) or error)
            if self._ended.wait(min(WATCH_INTERVAL_SECONDS, self._heartbeat_interval_seconds)):
                return

    def _watch(self) -> None:
        lease = self._lease
        if lease is None or lease.should_stop():
            return
        with self._database.reading() as session:
            lease.hear(jobs.read_owned_status(session, lease.claim))

    def _beat(self) -> None:
        lease = self._lease
        with self._database.writing() as session:
            workers.heartbeat(session, self._worker_id)
            if lease is None:
                return
            try:
                lease.hear(
                    jobs.heartbeat(session, lease.claim, lease.read_progress(), lease.run_seconds)
                )
            except StaleAttemptError:
                lease.hear(None)

    def _end_in_time(self) -> None:
        """Some time after the shutdown, give the job back as of its last checkpoint, and end."""
        if not self._shutdown.is_set():
            return
        if self._latest_end is None:
            self._latest_end = monotonic() + LONGEST_STOP_SECONDS
        if monotonic() < self._latest_end:
            return
        with self._database.writing() as session:
            self._give_back(session)
            workers.retire(session, self._worker_id)
        self._last_words.remove()
        # No other way ends a thread that does not listen. Whatever it would write is refused.
        os._exit(0)

    def _give_back(self, session: Session) -> None:
        lease = self._lease
        if lease is None:
            return
        with suppress(StaleAttemptError):
            jobs.release(session, lease.claim)
            log.warning(
                "Job %d is given back as of its last checkpoint: what ran did not end within %g s.",
                lease.claim.job_id,
                LONGEST_STOP_SECONDS,
            )
