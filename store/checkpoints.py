"""The resume states of a job: the newest few are kept."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.artifacts import ArtifactStore
from store.errors import NotFoundError
from store.tables import Checkpoint

# Two, so that one that turns out to be damaged has another behind it.
KEPT = 2


def add(
    session: Session,
    artifacts: ArtifactStore,
    files: Mapping[str, bytes],
    *,
    job_id: int,
    attempt: int,
    epoch: int,
    step: int,
) -> Checkpoint:
    """Store a checkpoint, then drop the oldest beyond those that are kept."""
    stored = artifacts.put(session, files)
    checkpoint = Checkpoint(
        job_id=job_id,
        artifact_id=stored.id,
        attempt=attempt,
        epoch=epoch,
        step=step,
        size_bytes=stored.size_bytes,
    )
    session.add(checkpoint)
    session.flush()
    for old in list_newest_first(session, job_id)[KEPT:]:
        _delete(session, old, artifacts)
    return checkpoint


def get(session: Session, job_id: int, checkpoint_id: int) -> Checkpoint:
    """Return the checkpoint. Raises NotFoundError (`checkpoint_not_found`)."""
    checkpoint = session.get(Checkpoint, checkpoint_id)
    if checkpoint is None or checkpoint.job_id != job_id:
        raise NotFoundError(
            f"Job {job_id} has no checkpoint {checkpoint_id}.", code="checkpoint_not_found"
        )
    return checkpoint


def list_newest_first(session: Session, job_id: int) -> list[Checkpoint]:
    query = (
        select(Checkpoint)
        .where(Checkpoint.job_id == job_id)
        .order_by(Checkpoint.step.desc(), Checkpoint.id.desc())
    )
    return list(session.scalars(query))


def delete_all(session: Session, job_id: int, artifacts: ArtifactStore) -> None:
    for checkpoint in list_newest_first(session, job_id):
        _delete(session, checkpoint, artifacts)


def _delete(session: Session, checkpoint: Checkpoint, artifacts: ArtifactStore) -> None:
    session.delete(checkpoint)
    session.flush()
    artifacts.delete(session, checkpoint.artifact_id)
