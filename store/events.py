"""What happened to a job, in order."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.tables import Event


def append(
    session: Session, job_id: int, kind: str, message: str, data: dict[str, Any] | None = None
) -> None:
    session.add(Event(job_id=job_id, kind=kind, message=message, data=data or {}))


def list_page(
    session: Session, job_id: int, *, after: int | None = None, limit: int = 200
) -> list[Event]:
    """Return up to `limit` events of the job, oldest first, with ids above `after`."""
    query = select(Event).where(Event.job_id == job_id).order_by(Event.id).limit(limit)
    if after is not None:
        query = query.where(Event.id > after)
    return list(session.scalars(query))


def find_newest_id(session: Session) -> int:
    """Return the highest id of all events, 0 when there are none."""
    return session.scalar(select(func.max(Event.id))) or 0


def list_changed_jobs(session: Session, *, after: int) -> tuple[set[int], int]:
    """Return the jobs that have events with ids above `after`, and the highest id of all."""
    rows = session.execute(select(Event.id, Event.job_id).where(Event.id > after)).all()
    return {row.job_id for row in rows}, max((row.id for row in rows), default=after)
