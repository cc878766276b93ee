"""What must hold of the rows at every moment, whatever died in between: one function."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.jobs import CRASHES_UNTIL_POISON
from store.specs import TrainingSpec
from store.tables import (
    Artifact,
    ArtifactChunk,
    ArtifactFile,
    Checkpoint,
    Event,
    Job,
    JobStatus,
    Model,
    Sweep,
    Trial,
)

_CLAIMED = {JobStatus.RUNNING, JobStatus.CANCELLING}


def check(session: Session) -> list[str]:
    """Return a sentence for each broken invariant, in one snapshot; [] is good."""
    return [
        *_check_jobs(session),
        *_check_checkpoints(session),
        *_check_models(session),
        *_check_artifacts(session),
        *_check_sweeps(session),
    ]


def _check_jobs(session: Session) -> Iterator[str]:
    kinds: dict[int, Counter[str]] = {}
    query = select(Event.job_id, Event.kind, func.count()).group_by(Event.job_id, Event.kind)
    for job_id, kind, count in session.execute(query):
        kinds.setdefault(job_id, Counter())[kind] = count
    busy: Counter[str] = Counter()
    for job in session.scalars(select(Job).order_by(Job.id)):
        for fault in (*_check_status(job), *_check_counts(job, kinds.get(job.id, Counter()))):
            yield f"Job {job.id} ({job.status}): {fault}."
        if job.worker_id is not None and job.status is JobStatus.RUNNING:
            busy[job.worker_id] += 1
    for worker_id, count in busy.items():
        if count > 1:
            yield f"Worker {worker_id} runs {count} jobs at once."


def _check_status(job: Job) -> Iterator[str]:
    if job.status in _CLAIMED and job.worker_id is None:
        yield "it has no worker"
    if job.status in _CLAIMED and (job.attempt < 1 or job.started_at is None):
        yield "it runs and was never begun"
    if (job.status is JobStatus.QUEUED or job.status.is_ended) and job.worker_id is not None:
        yield f"it still belongs to worker {job.worker_id}"
    if job.status.is_ended != (job.finished_at is not None):
        yield "its end and its time of ending do not agree"
    if job.status is JobStatus.FAILED and not _is_error(job.error):
        yield "it failed without a code and a message"
    if job.error is not None and job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
        yield "it has an error and has not failed"


def _check_counts(job: Job, kinds: Counter[str]) -> Iterator[str]:
    if kinds["submitted"] != 1:
        yield f"it was submitted {kinds['submitted']} times"
    if kinds["claimed"] != job.attempt:
        yield f"it is at attempt {job.attempt} and was claimed {kinds['claimed']} times"
    if kinds["succeeded"] > 1 or (job.status is JobStatus.SUCCEEDED) != (kinds["succeeded"] == 1):
        yield f"it succeeded {kinds['succeeded']} times"
    if not 0 <= job.crashes <= min(job.attempt, CRASHES_UNTIL_POISON):
        yield f"it crashed {job.crashes} times in a row in {job.attempt} attempts"
    if job.crashes == CRASHES_UNTIL_POISON and job.status not in {
        JobStatus.FAILED,
        JobStatus.CANCELLED,
    }:
        yield f"it goes on after {job.crashes} crashes in a row"
    try:
        TrainingSpec.model_validate(job.spec)
    except ValueError as error:
        yield f"its spec is none ({error})"


def _is_error(error: dict[str, Any] | None) -> bool:
    return error is not None and bool(error.get("code")) and bool(error.get("message"))


def _check_checkpoints(session: Session) -> Iterator[str]:
    query = (
        select(Checkpoint, Job.attempt, Artifact.size_bytes)
        .join(Job, Job.id == Checkpoint.job_id)
        .outerjoin(Artifact, Artifact.id == Checkpoint.artifact_id)
        .order_by(Checkpoint.job_id, Checkpoint.id)
    )
    last: Checkpoint | None = None
    for checkpoint, attempt, size_bytes in session.execute(query):
        if checkpoint.attempt > attempt:
            yield f"Checkpoint {checkpoint.id} is of an attempt that was never made."
        if checkpoint.size_bytes != size_bytes:
            yield f"Checkpoint {checkpoint.id} is not as large as its artifact."
        if last and last.job_id == checkpoint.job_id and last.step > checkpoint.step:
            yield f"Checkpoint {checkpoint.id} is behind the older checkpoint {last.id}."
        last = checkpoint


def _check_models(session: Session) -> Iterator[str]:
    query = (
        select(Model, Job.status, Artifact.size_bytes)
        .outerjoin(Job, Job.id == Model.job_id)
        .outerjoin(Artifact, Artifact.id == Model.artifact_id)
    )
    for model, status, size_bytes in session.execute(query):
        name = f"Model {model.name}@{model.version}"
        if model.job_id is not None and status is not JobStatus.SUCCEEDED:
            yield f"{name} is of job {model.job_id}, which is {status}."
        if model.size_bytes != size_bytes:
            yield f"{name} is not as large as its artifact."


def _check_artifacts(session: Session) -> Iterator[str]:
    owners: Counter[str] = Counter()
    for table in (Checkpoint, Model):
        owners.update(session.scalars(select(table.artifact_id)))
    sizes = select(ArtifactFile.artifact_id, func.sum(ArtifactFile.size_bytes)).group_by(
        ArtifactFile.artifact_id
    )
    files = {row[0]: row[1] for row in session.execute(sizes)}
    for artifact in session.scalars(select(Artifact)):
        if owners[artifact.id] != 1:
            yield f"Artifact {artifact.id} has {owners[artifact.id]} owners."
        if files.get(artifact.id) != artifact.size_bytes:
            yield f"The files of artifact {artifact.id} are not as large as it is."
    yield from _check_chunks(session)


def _check_chunks(session: Session) -> Iterator[str]:
    """Of artifacts in the database: every chunk is there. Their checksums are `doctor`'s."""
    key = (ArtifactChunk.artifact_id, ArtifactChunk.name)
    query = (
        select(*key, func.sum(func.length(ArtifactChunk.data)), ArtifactFile.size_bytes)
        .join(
            ArtifactFile,
            (ArtifactFile.artifact_id == ArtifactChunk.artifact_id)
            & (ArtifactFile.name == ArtifactChunk.name),
        )
        .group_by(*key, ArtifactFile.size_bytes)
    )
    for artifact_id, name, stored, announced in session.execute(query):
        if stored != announced:
            yield f"{name} of artifact {artifact_id} has {stored} bytes of {announced}."


def _check_sweeps(session: Session) -> Iterator[str]:
    for sweep in session.scalars(select(Sweep)):
        if sweep.status.is_ended != (sweep.finished_at is not None):
            yield f"Sweep {sweep.id} ({sweep.status}): its end and its time of ending do not agree."
    query = (
        select(Trial, Sweep.submitted, Job.status)
        .join(Sweep, Sweep.id == Trial.sweep_id)
        .join(Job, Job.id == Trial.job_id)
    )
    for trial, submitted, status in session.execute(query):
        name = f"Trial {trial.number} of sweep {trial.sweep_id}"
        if not 0 <= trial.number < submitted:
            yield f"{name} was never submitted: the sweep has submitted {submitted}."
        if trial.pruned_after_epoch is not None and status is JobStatus.SUCCEEDED:
            yield f"{name} was pruned and succeeded."
