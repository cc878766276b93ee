"""Which workers exist, and which of them are alive."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.clock import utc_now
from store.tables import Worker

# A worker is taken for dead when this many of its heartbeats are missing.
MISSED_HEARTBEATS = 3


def register(session: Session, worker_id: str, *, host: str, pid: int, device: str) -> None:
    session.add(Worker(id=worker_id, host=host, pid=pid, device=device))


def heartbeat(session: Session, worker_id: str) -> None:
    worker = session.get(Worker, worker_id)
    if worker is not None:
        worker.heartbeat_at = utc_now()


def retire(session: Session, worker_id: str) -> None:
    """Note that the worker has stopped on purpose."""
    worker = session.get(Worker, worker_id)
    if worker is not None:
        worker.stopped_at = utc_now()


def retire_all(session: Session) -> None:
    """Note that no worker runs: after a restore those of the backup are gone."""
    for worker in session.scalars(select(Worker).where(Worker.stopped_at.is_(None))):
        worker.stopped_at = utc_now()


def list_alive(session: Session, heartbeat_interval_seconds: float) -> list[Worker]:
    """Return the workers that were heard of lately."""
    silent_since = utc_now() - timedelta(seconds=MISSED_HEARTBEATS * heartbeat_interval_seconds)
    query = select(Worker).where(Worker.stopped_at.is_(None), Worker.heartbeat_at > silent_since)
    return list(session.scalars(query.order_by(Worker.started_at)))
