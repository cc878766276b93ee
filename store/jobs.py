"""Every legal transition of a job. Nobody else writes `status`.

    queued     claim → running      cancel → cancelled    pause → paused   fail_overdue → failed
    running    succeed → succeeded  fail → failed         cancel → cancelling   pause → paused
               release, requeue_abandoned → queued; after three crashes in a row → failed
               prune → cancelled
    cancelling release, fail, requeue_abandoned → cancelled
    paused     resume → queued, or running while its worker has not let go; cancel → cancelled
    failed     retry → queued

Each function runs inside the caller's `Database.writing()` block, so what the caller writes
beside it (a published model, say) happens together with the transition or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import checkpoints, events, webhooks
from store.artifacts import ArtifactStore
from store.clock import utc_now
from store.errors import (
    ConflictError,
    InvalidTransitionError,
    LimitError,
    NotFoundError,
    StaleAttemptError,
)
from store.specs import JobRequest, TrainingSpec
from store.tables import Checkpoint, Job, JobStatus, Trial

CRASHES_UNTIL_POISON = 3
# What a client is told to wait where its part of the queue is full; jobs rarely end sooner.
_QUEUE_RETRY_SECONDS = 10

# While one of these holds, the worker that claimed the job may still write to it.
_OWNED = {JobStatus.RUNNING, JobStatus.CANCELLING, JobStatus.PAUSED}


@dataclass(frozen=True)
class Claim:
    """A worker's right to write to a job, until another attempt begins."""

    job_id: int
    attempt: int
    worker_id: str
    spec: TrainingSpec
    model_name: str
    # What earlier attempts have spent, and what all of them together may spend.
    run_seconds: float
    max_run_seconds: float | None


def submit(
    session: Session,
    request: JobRequest,
    *,
    idempotency_key: str | None = None,
    api_key_id: str | None = None,
    most_queued: int = 0,
) -> tuple[Job, bool]:
    """Queue a job and return it with True; with False when the key has made it before.

    Raises ConflictError (`idempotency_key_reused`) when the key came with another request, and
    LimitError when the API key has `most_queued` jobs in the queue already (0 is no limit).
    """
    asked = request.model_dump(exclude_unset=True, mode="json")
    if idempotency_key is not None:
        known = session.scalar(select(Job).where(Job.idempotency_key == idempotency_key))
        if known is not None:
            if known.request != asked:
                raise ConflictError(
                    "This Idempotency-Key came with another request before: "
                    "send a new key, or the same body.",
                    code="idempotency_key_reused",
                )
            return known, False
    _check_queued(session, api_key_id, most_queued)
    job = Job(
        status=JobStatus.QUEUED,
        priority=request.priority,
        request=asked,
        spec=request.resolve().model_dump(mode="json"),
        model_name=request.resolve_model_name(),
        idempotency_key=idempotency_key,
        api_key_id=api_key_id,
        attempt=0,
        crashes=0,
        heartbeats=0,
        run_seconds=0.0,
        max_run_seconds=request.max_run_seconds,
        max_wait_seconds=request.max_wait_seconds,
    )
    session.add(job)
    session.flush()
    events.append(session, job.id, "submitted", "The job was queued.")
    return job, True


def _check_queued(session: Session, api_key_id: str | None, most: int) -> None:
    if api_key_id is None or most == 0:
        return
    query = (
        select(func.count())
        .select_from(Job)
        .where(Job.status.in_(JobStatus.list_waiting()), Job.api_key_id == api_key_id)
    )
    waiting = session.scalar(query) or 0
    if waiting >= most:
        raise LimitError(
            f"This key has {waiting} jobs in the queue, paused ones counted, of {most} that it may "
            "have: wait until some have begun, or cancel some.",
            code="too_many_queued_jobs",
            retry_after_seconds=_QUEUE_RETRY_SECONDS,
        )


def get(session: Session, job_id: int) -> Job:
    """Return the job. Raises NotFoundError (`job_not_found`)."""
    job = session.get(Job, job_id)
    if job is None:
        raise NotFoundError(f"There is no job {job_id}.", code="job_not_found")
    return job


def list_page(
    session: Session,
    *,
    status: JobStatus | None = None,
    sweep_id: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Job]:
    """Return up to `limit` jobs (of a sweep), newest first, with ids below `before`."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    if sweep_id is not None:
        query = query.join(Trial, Trial.job_id == Job.id).where(Trial.sweep_id == sweep_id)
    if status is not None:
        query = query.where(Job.status == status)
    if before is not None:
        query = query.where(Job.id < before)
    return list(session.scalars(query))


def claim(session: Session, worker_id: str) -> Claim | None:
    """Take the next queued job: highest priority first, then oldest. None when the queue is empty.

    No two workers get the same attempt: the write lock (SQLite) or the row lock decides.
    """
    job = session.scalar(
        select(Job)
        .where(Job.status == JobStatus.QUEUED)
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if job is None:
        return None
    job.status = JobStatus.RUNNING
    job.attempt += 1
    job.worker_id = worker_id
    job.started_at = job.started_at or utc_now()
    events.append(
        session,
        job.id,
        "claimed",
        f"Worker {worker_id} began attempt {job.attempt}.",
        {"worker": worker_id, "attempt": job.attempt},
    )
    return Claim(
        job_id=job.id,
        attempt=job.attempt,
        worker_id=worker_id,
        spec=TrainingSpec.model_validate(job.spec),
        model_name=job.model_name,
        run_seconds=job.run_seconds,
        max_run_seconds=job.max_run_seconds,
    )


def get_owned(session: Session, claim: Claim) -> Job:
    """Return the claimed job, locked for this transaction.

    Whoever writes is alive, so this counts as a heartbeat: writes that follow each other closely
    must not keep the pulse from its turn and then be taken for silence.
    Raises StaleAttemptError when the job has ended, was given back, or has a newer attempt:
    whatever the caller was about to write must not be written.
    """
    job = session.scalar(select(Job).where(Job.id == claim.job_id).with_for_update())
    if job is None or not _is_owned(job, claim):
        raise StaleAttemptError(
            f"Attempt {claim.attempt} of job {claim.job_id} no longer owns the job."
        )
    job.heartbeats += 1
    return job


def read_owned_status(session: Session, claim: Claim) -> JobStatus | None:
    """Return the claimed job's status, or None when the claim no longer owns it."""
    job = session.get(Job, claim.job_id)
    return job.status if job is not None and _is_owned(job, claim) else None


def heartbeat(
    session: Session,
    claim: Claim,
    progress: dict[str, Any] | None,
    run_seconds: float | None = None,
) -> JobStatus:
    """Keep the lease and return the status, which tells the worker to go on or to stop.

    `run_seconds` is what all attempts have spent so far.
    Raises StaleAttemptError when the job belongs to somebody else by now.
    """
    job = get_owned(session, claim)
    job.progress = progress
    if run_seconds is not None:
        job.run_seconds = run_seconds
    return job.status


def add_checkpoint(
    session: Session,
    artifacts: ArtifactStore,
    claim: Claim,
    files: Mapping[str, bytes],
    *,
    epoch: int,
    step: int,
    test_accuracy: float | None = None,
    kept: int = checkpoints.LEAST_KEPT,
) -> Checkpoint:
    """Store a resume state of the claimed job.

    One that is farther than those before ends the row of crashes: a job that gets on is not
    poison. Raises StaleAttemptError when the job belongs to somebody else by now.
    """
    job = get_owned(session, claim)
    before = checkpoints.list_newest_first(session, job.id)
    if step > max((checkpoint.step for checkpoint in before), default=0):
        job.crashes = 0
    return checkpoints.add(
        session,
        artifacts,
        files,
        job_id=job.id,
        attempt=claim.attempt,
        epoch=epoch,
        step=step,
        test_accuracy=test_accuracy,
        kept=kept,
    )


def succeed(session: Session, claim: Claim, progress: dict[str, Any] | None) -> None:
    """running → succeeded. Raises InvalidTransitionError when a cancel or pause came first."""
    job = get_owned(session, claim)
    if job.status is not JobStatus.RUNNING:
        raise InvalidTransitionError(f"Job {job.id} is {job.status}: it cannot succeed now.")
    job.progress = progress
    job.crashes = 0
    job.error = None
    _end(session, job, JobStatus.SUCCEEDED, "The job succeeded.")


def fail(session: Session, claim: Claim, error: dict[str, Any]) -> None:
    """running → failed, with `error` = {code, message, traceback}; cancelling → cancelled."""
    job = get_owned(session, claim)
    job.error = error
    if job.status is JobStatus.CANCELLING:
        _end(session, job, JobStatus.CANCELLED, "The job failed while it was being cancelled.")
    else:
        _end(session, job, JobStatus.FAILED, error["message"])


def release(session: Session, claim: Claim) -> None:
    """The worker has stopped before the end.

    cancelling → cancelled; running → queued, without counting as a crash; paused stays paused.
    """
    job = get_owned(session, claim)
    job.worker_id = None
    if job.status is JobStatus.CANCELLING:
        _end(session, job, JobStatus.CANCELLED, "The job was cancelled.")
    elif job.status is JobStatus.RUNNING:
        job.status = JobStatus.QUEUED
        events.append(session, job.id, "requeued", "The worker stopped; the job is queued again.")


def prune(session: Session, claim: Claim, message: str, data: dict[str, Any]) -> None:
    """running → cancelled: the worker has found that a trial of a sweep cannot become its best.

    Raises InvalidTransitionError when a cancel or pause came first.
    """
    job = get_owned(session, claim)
    if job.status is not JobStatus.RUNNING:
        raise InvalidTransitionError(f"Job {job.id} is {job.status}: it cannot be pruned now.")
    events.append(session, job.id, "pruned", message, data)
    _end(session, job, JobStatus.CANCELLED, "The job was cancelled, because it was pruned.")


def cancel(session: Session, job_id: int) -> Job:
    """Ask a job to stop: at once when nobody runs it, else running → cancelling.

    Asking twice is harmless. Raises InvalidTransitionError when the job has ended.
    """
    job = get(session, job_id)
    if job.status.is_ended:
        raise InvalidTransitionError(
            f"Job {job_id} has already {_past(job.status)}: there is nothing to cancel.",
            code="job_already_ended",
        )
    if job.worker_id is None:
        _end(session, job, JobStatus.CANCELLED, "The job was cancelled before it ran on.")
    elif job.status is not JobStatus.CANCELLING:
        job.status = JobStatus.CANCELLING
        events.append(session, job.id, "cancelling", "The worker was asked to stop.")
    return job


def pause(session: Session, job_id: int) -> Job:
    """queued or running → paused. A running worker writes a checkpoint and lets go."""
    job = get(session, job_id)
    if job.status is JobStatus.PAUSED:
        return job
    if job.status not in {JobStatus.QUEUED, JobStatus.RUNNING}:
        raise InvalidTransitionError(
            f"Job {job_id} is {job.status}: only a queued or running job can be paused."
        )
    job.status = JobStatus.PAUSED
    events.append(session, job.id, "paused", "The job was paused.")
    return job


def resume(session: Session, job_id: int) -> Job:
    """paused → queued; it continues from its last checkpoint.

    While its worker is still writing that checkpoint the job is running again, so that the worker
    may finish writing; it then gives the job back to the queue.
    """
    job = get(session, job_id)
    if job.status is not JobStatus.PAUSED:
        raise InvalidTransitionError(
            f"Job {job_id} is {job.status}: only a paused job can be resumed."
        )
    job.status = JobStatus.QUEUED if job.worker_id is None else JobStatus.RUNNING
    events.append(session, job.id, "resumed", "The job goes on.")
    return job


def retry(session: Session, job_id: int, *, most_queued: int = 0) -> Job:
    """failed → queued; it continues from its last checkpoint, with its crashes and time forgotten.

    Raises InvalidTransitionError when the job has not failed, and LimitError as `submit` does.
    """
    job = get(session, job_id)
    if job.status is not JobStatus.FAILED:
        raise InvalidTransitionError(
            f"Job {job_id} is {job.status}: only a failed job can be tried again."
        )
    _check_queued(session, job.api_key_id, most_queued)
    events.append(session, job.id, "retried", "The job was queued again.", {"error": job.error})
    job.status = JobStatus.QUEUED
    job.error = None
    job.finished_at = None
    job.crashes = 0
    job.run_seconds = 0.0
    return job


def requeue_abandoned(
    session: Session, job_id: int, attempt: int, last_words: str | None = None
) -> None:
    """Take the job of a silent worker back; after three crashes in a row it fails as poison.

    `last_words` is where the worker was when it was last heard of.
    """
    job = session.get(Job, job_id, with_for_update=True)
    if job is None or job.attempt != attempt or job.status not in _OWNED or job.worker_id is None:
        return
    job.crashes += 1
    job.worker_id = None
    events.append(
        session,
        job.id,
        "abandoned",
        f"The worker of attempt {attempt} fell silent.",
        {"attempt": attempt, "crashes": job.crashes, "traceback": last_words},
    )
    if job.status is JobStatus.CANCELLING:
        _end(session, job, JobStatus.CANCELLED, "The job was cancelled.")
    elif job.crashes >= CRASHES_UNTIL_POISON:
        message = (
            f"The worker died {job.crashes} times in a row while it ran this job. Where it left "
            "no reason, the system may have ended it for want of memory: look into the system's "
            "log, try a smaller batch_size, then retry the job."
        )
        job.error = {"code": "poison", "message": message, "traceback": last_words}
        _end(session, job, JobStatus.FAILED, message)
    elif job.status is JobStatus.RUNNING:
        job.status = JobStatus.QUEUED


def fail_overdue(session: Session, job_id: int, attempt: int) -> None:
    """queued → failed, because nobody began the job within its `max_wait_seconds`."""
    job = session.get(Job, job_id, with_for_update=True)
    if job is None or job.attempt != attempt or job.status is not JobStatus.QUEUED:
        return
    message = (
        f"No worker was free within the max_wait_seconds of {job.max_wait_seconds:g}: start "
        "another worker, then retry the job."
    )
    job.error = {"code": "wait_time_exceeded", "message": message, "traceback": None}
    _end(session, job, JobStatus.FAILED, message)


def requeue_restored(session: Session) -> None:
    """After a backup was restored: the workers that ran jobs when it was made have no part in it.

    Their jobs are queued again without counting a crash.
    """
    for job in session.scalars(select(Job).where(Job.worker_id.is_not(None))):
        job.worker_id = None
        events.append(session, job.id, "restored", "The job was restored from a backup.")
        if job.status is JobStatus.CANCELLING:
            _end(session, job, JobStatus.CANCELLED, "The job was cancelled.")
        elif job.status is JobStatus.RUNNING:
            job.status = JobStatus.QUEUED


def delete(session: Session, job_id: int, artifacts: ArtifactStore) -> None:
    """Delete an ended job with its metrics, events and checkpoints; its model stays.

    Raises InvalidTransitionError (`job_not_ended`) while the job is queued, paused or running.
    """
    job = get(session, job_id)
    if not job.status.is_ended:
        raise InvalidTransitionError(
            f"Job {job_id} is {job.status}: cancel it first, then delete it.", code="job_not_ended"
        )
    checkpoints.delete_all(session, job_id, artifacts)
    session.delete(job)


def _is_owned(job: Job, claim: Claim) -> bool:
    """The worker is compared too: a restored backup may count the same attempts once more."""
    return (
        job.attempt == claim.attempt and job.worker_id == claim.worker_id and job.status in _OWNED
    )


def _end(session: Session, job: Job, status: JobStatus, message: str) -> None:
    job.status = status
    job.worker_id = None
    job.finished_at = utc_now()
    events.append(session, job.id, str(status), message)
    webhooks.record_end(session, job)


def _past(status: JobStatus) -> str:
    return "been cancelled" if status is JobStatus.CANCELLED else str(status)
