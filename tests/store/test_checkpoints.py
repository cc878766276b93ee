"""Checkpoints: the newest few are kept, and the best."""

from pathlib import Path

import pytest

from store import checkpoints, jobs
from store.artifacts import ArtifactStore
from store.database import Database
from store.errors import NotFoundError
from store.jobs import Claim
from store.tables import Artifact, ArtifactChunk

pytestmark = pytest.mark.usefixtures("stays_sound")


def add(
    database: Database,
    artifacts: ArtifactStore,
    claim: Claim,
    step: int,
    test_accuracy: float | None = None,
    **options: int,
) -> None:
    with database.writing() as session:
        checkpoints.add(
            session,
            artifacts,
            {"state": str(step).encode()},
            job_id=claim.job_id,
            attempt=claim.attempt,
            epoch=1,
            step=step,
            test_accuracy=test_accuracy,
            **options,
        )


def list_kept(database: Database, claim: Claim) -> list[int]:
    with database.reading() as session:
        known = checkpoints.list_newest_first(session, claim.job_id)
    return [checkpoint.step for checkpoint in known]


def test_the_best_is_kept_beside_the_newest(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    for step, accuracy in [(1, 0.5), (2, None), (3, 0.7), (4, 0.6), (5, None), (6, 0.65)]:
        add(database, artifacts, claim, step, accuracy)
    assert list_kept(database, claim) == [6, 5, 3]
    add(database, artifacts, claim, 7, 0.7)
    assert list_kept(database, claim) == [7, 6]


def test_more_are_kept_where_the_setting_says_so(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    for step in range(1, 8):
        add(database, artifacts, claim, step, kept=4)
    assert list_kept(database, claim) == [7, 6, 5, 4]


def test_dropped_checkpoints_leave_no_bytes(
    database: Database, artifacts: ArtifactStore, claim: Claim, tmp_path: Path
) -> None:
    for step in range(1, 8):
        add(database, artifacts, claim, step)
    with database.reading() as session:
        assert session.query(Artifact).count() == 2
        assert session.query(ArtifactChunk).count() in {0, 2}
    assert len(list(tmp_path.glob("artifacts/*"))) in {0, 2}


def test_the_bytes_of_a_jobs_checkpoints_are_counted(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    for step in (10, 200):
        add(database, artifacts, claim, step)
    with database.reading() as session:
        assert checkpoints.measure_bytes(session, [claim.job_id, 99]) == {claim.job_id: 5}


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
