"""Counts over the whole database, for whoever watches it."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.clock import utc_now
from store.tables import Job, JobStatus, Worker

# A worker that was killed is shown as silent this long, and then forgotten.
SILENT_WORKER_SHOWN = timedelta(hours=1)


def count_jobs_by_status(session: Session) -> dict[JobStatus, int]:
    """Return how many jobs there are of each status that has any."""
    query = select(Job.status, func.count().label("jobs")).group_by(Job.status)
    return {row.status: row.jobs for row in session.execute(query)}


def count_waiting_jobs(session: Session) -> int:
    """Return how many jobs have a place in the queue, also paused ones."""
    waiting = Job.status.in_(JobStatus.list_waiting())
    query = select(func.count()).select_from(Job).where(waiting)
    return session.scalar(query) or 0


def read_training_speeds(session: Session) -> dict[int, float]:
    """Return the images per second of each running job that has reported, by job id."""
    query = select(Job.id, Job.progress).where(Job.status == JobStatus.RUNNING)
    return {
        job_id: float(progress["images_per_second"])
        for job_id, progress in session.execute(query)
        if progress and "images_per_second" in progress
    }


def list_heartbeat_ages(session: Session) -> dict[str, float]:
    """Return the seconds since each worker that has not stopped was last heard of, by id."""
    now = utc_now()
    query = select(Worker.id, Worker.heartbeat_at).where(
        Worker.stopped_at.is_(None), Worker.heartbeat_at > now - SILENT_WORKER_SHOWN
    )
    return {
        worker_id: (now - heartbeat_at).total_seconds()
        for worker_id, heartbeat_at in session.execute(query)
    }
