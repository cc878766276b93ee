"""Checkpoints: the newest two are kept."""

import pytest

from store import checkpoints, jobs
from store.artifacts import ArtifactStore
from store.database import Database
from store.errors import NotFoundError
from store.jobs import Claim


def add(database: Database, artifacts: ArtifactStore, claim: Claim, step: int) -> None:
    with database.writing() as session:
        checkpoints.add(
            session,
            artifacts,
            {"state": str(step).encode()},
            job_id=claim.job_id,
            attempt=claim.attempt,
            epoch=1,
            step=step,
        )


def test_the_newest_two_are_kept(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    for step in (10, 20, 30, 40):
        add(database, artifacts, claim, step)
    with database.reading() as session:
        kept = checkpoints.list_newest_first(session, claim.job_id)
        contents = [artifacts.read(session, item.artifact_id, "state") for item in kept]
    assert contents == [b"40", b"30"]


def test_a_checkpoint_of_another_job_is_not_found(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    add(database, artifacts, claim, 10)
    with database.reading() as session:
        known = checkpoints.list_newest_first(session, claim.job_id)[0]
        with pytest.raises(NotFoundError):
            checkpoints.get(session, claim.job_id + 1, known.id)


def test_deleting_a_job_deletes_its_checkpoints(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    add(database, artifacts, claim, 10)
    with database.writing() as session:
        jobs.cancel(session, claim.job_id)
        jobs.release(session, claim)
        jobs.delete(session, claim.job_id, artifacts)
    with database.reading() as session:
        assert checkpoints.list_newest_first(session, claim.job_id) == []
