"""What every process does for the jobs of others: take back abandoned ones, end overdue ones.

It also ends sweeps whose trials have all ended.
"""

import logging
from pathlib import Path

from sqlalchemy.orm import Session

from store import jobs, sweeps
from store.database import Database
from store.leases import LeaseObserver, QueueObserver
from store.tables import Job

_LONGEST_LAST_WORDS = 16_000

log = logging.getLogger(__name__)


class Rescue:
    """Any number of them may watch one database: each transition happens once."""

    def __init__(self, database: Database, lease_seconds: float, crashes_folder: Path) -> None:
        self._database = database
        self._leases = LeaseObserver(lease_seconds)
        self._queue = QueueObserver()
        self._crashes_folder = crashes_folder

    def look(self) -> None:
        """Look once. Raises DatabaseError when the database refuses."""
        with self._database.reading() as session:
            abandoned = self._leases.find_abandoned(session)
            overdue = self._queue.find_overdue(session)
            due = sweeps.find_due(session)
        for job_id, attempt in abandoned:
            log.warning("Job %d: the worker of attempt %d fell silent.", job_id, attempt)
            with self._database.writing() as session:
                words = self._read_last_words(session, job_id)
                jobs.requeue_abandoned(session, job_id, attempt, words)
        for job_id, attempt in overdue:
            with self._database.writing() as session:
                jobs.fail_overdue(session, job_id, attempt)
        for sweep_id in due:
            with self._database.writing() as session:
                sweeps.settle(session, sweep_id)

    def _read_last_words(self, session: Session, job_id: int) -> str | None:
        """Return where the worker was at its last heartbeat, where it shares our data folder."""
        job = session.get(Job, job_id)
        if job is None or job.worker_id is None:
            return None
        try:
            words = locate_last_words(self._crashes_folder, job.worker_id).read_bytes()
        except OSError:
            return None
        return words[-_LONGEST_LAST_WORDS:].decode(errors="replace") or None


def locate_last_words(crashes_folder: Path, worker_id: str) -> Path:
    return crashes_folder / f"{Path(worker_id).name}.txt"
