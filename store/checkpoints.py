"""The resume states of a job: the newest few are kept, and the best."""

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.artifacts import ArtifactStore
from store.errors import NotFoundError
from store.tables import Checkpoint

# So that one that turns out to be damaged has another behind it.
LEAST_KEPT = 2


def add(
    session: Session,
    artifacts: ArtifactStore,
    files: Mapping[str, bytes],
    *,
    job_id: int,
    attempt: int,
    epoch: int,
    step: int,
    test_accuracy: float | None = None,
    kept: int = LEAST_KEPT,
) -> Checkpoint:
    """Store a checkpoint, then drop all but the newest `kept` and the best.

    The best is the one with the highest test accuracy; only those of an epoch's end have one.
    """
    stored = artifacts.put(session, files)
    checkpoint = Checkpoint(
        job_id=job_id,
        artifact_id=stored.id,
        attempt=attempt,
        epoch=epoch,
        step=step,
        test_accuracy=test_accuracy,
        size_bytes=stored.size_bytes,
    )
    session.add(checkpoint)
    session.flush()
    prune(session, job_id, artifacts, kept=kept)
    return checkpoint


def prune(session: Session, job_id: int, artifacts: ArtifactStore, *, kept: int) -> None:
    """Drop all checkpoints of the job but the newest `kept` and the best."""
    known = list_newest_first(session, job_id)
    best = find_best(known)
    for old in known[kept:]:
        if old is not best:
            _delete(session, old, artifacts)


def find_best(known: Sequence[Checkpoint]) -> Checkpoint | None:
    """Return the one with the highest test accuracy, None where none has one.

    Of equals it is the first in `known`.
    """
    return max(
        (checkpoint for checkpoint in known if checkpoint.test_accuracy is not None),
        key=lambda checkpoint: checkpoint.test_accuracy or 0.0,
        default=None,
    )


def get(session: Session, job_id: int, checkpoint_id: int) -> Checkpoint:
    """Return the checkpoint. Raises NotFoundError (`checkpoint_not_found`)."""
    checkpoint = session.get(Checkpoint, checkpoint_id)
    if checkpoint is None or checkpoint.job_id != job_id:
        raise NotFoundError(
            f"Job {job_id} has no checkpoint {checkpoint_id}.", code="checkpoint_not_found"
        )
    return checkpoint


def list_newest_first(session: Session, job_id: int) -> list[Checkpoint]:
    query = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.id.desc())
    return list(session.scalars(query))


def measure_bytes(session: Session, job_ids: Sequence[int]) -> dict[int, int]:
    """Return how many bytes the checkpoints of each of the jobs take; those without have none."""
    query = (
        select(Checkpoint.job_id, func.sum(Checkpoint.size_bytes))
        .where(Checkpoint.job_id.in_(job_ids))
        .group_by(Checkpoint.job_id)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def discard(session: Session, artifacts: ArtifactStore, checkpoint_id: int) -> None:
    """Drop one checkpoint, a damaged one say, so that it does not count among those kept."""
    checkpoint = session.get(Checkpoint, checkpoint_id)
    if checkpoint is not None:
        _delete(session, checkpoint, artifacts)


def delete_all(session: Session, job_id: int, artifacts: ArtifactStore) -> None:
    for checkpoint in list_newest_first(session, job_id):
        _delete(session, checkpoint, artifacts)


def _delete(session: Session, checkpoint: Checkpoint, artifacts: ArtifactStore) -> None:
    session.delete(checkpoint)
    session.flush()
    artifacts.delete(session, checkpoint.artifact_id)
