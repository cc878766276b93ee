"""What happened to a job, in order."""

from typing import Any

from sqlalchemy import select
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
