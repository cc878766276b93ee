"""A row that cannot be right is found: each invariant is broken once."""

import re

import pytest
from sqlalchemy import text

from store import invariants, jobs, models, sweeps
from store.artifacts import open_store
from store.database import Database
from store.jobs import Claim
from store.sweep_requests import SweepRequest

MANIFEST = {"metrics": {"accuracy": 0.5}}


@pytest.fixture
def finished(database: Database, claim: Claim) -> Claim:
    """A job with checkpoints that succeeded, and its model."""
    artifacts = open_store("database:")
    with database.writing() as session:
        for step in (1, 2):
            jobs.add_checkpoint(session, artifacts, claim, {"state": b"12345"}, epoch=0, step=step)
        jobs.succeed(session, claim, None)
        models.publish(session, artifacts, claim, {"model.onnx": b"123"}, MANIFEST)
    return claim


def check(database: Database) -> list[str]:
    with database.reading() as session:
        return invariants.check(session)


@pytest.mark.usefixtures("finished")
def test_what_the_life_cycle_leaves_is_sound(database: Database) -> None:
    assert check(database) == []


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE jobs SET status = 'running'", "has no worker"),
        ("UPDATE jobs SET status = 'queued', started_at = NULL", "do not agree"),
        ("UPDATE jobs SET worker_id = 'w'", "still belongs to worker w"),
        ("UPDATE jobs SET finished_at = NULL", "do not agree"),
        ("UPDATE jobs SET status = 'failed'", "without a code"),
        ('UPDATE jobs SET error = \'{"code": "x", "message": "y"}\'', "has not failed"),
        ("DELETE FROM events WHERE kind = 'submitted'", "submitted 0 times"),
        ("UPDATE jobs SET attempt = 2", "claimed 1 times"),
        ("DELETE FROM events WHERE kind = 'succeeded'", "succeeded 0 times"),
        ("UPDATE jobs SET crashes = 2", "crashed 2 times"),
        ('UPDATE jobs SET spec = \'{"network": "none"}\'', "spec is none"),
        ("UPDATE checkpoints SET attempt = 9", "never made"),
        ("UPDATE checkpoints SET size_bytes = 9", "not as large"),
        ("UPDATE checkpoints SET step = 9 WHERE step = 1", "behind the older"),
        ("UPDATE models SET size_bytes = 9", "not as large"),
        ("DELETE FROM models", "has 0 owners"),
        ("UPDATE artifact_chunks SET data = ''", "bytes of"),
        ("UPDATE artifact_files SET size_bytes = 9", "not as large"),
    ],
)
@pytest.mark.usefixtures("finished")
def test_a_row_that_cannot_be_right_is_found(database: Database, damage: str, fault: str) -> None:
    with database.writing() as session:
        session.execute(text(damage))
    assert any(fault in sentence for sentence in check(database)), check(database)


@pytest.mark.usefixtures("claim")
def test_two_jobs_of_one_worker_are_found(database: Database) -> None:
    with database.writing() as session:
        columns = "status, priority, request, spec, model_name, attempt, crashes, worker_id"
        columns += ", heartbeats, run_seconds, created_at, started_at"
        session.execute(text(f"INSERT INTO jobs ({columns}) SELECT {columns} FROM jobs"))  # noqa: S608
    assert any("runs 2 jobs" in sentence for sentence in check(database))


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE sweeps SET status = 'succeeded'", "Sweep 1 .* do not agree"),
        ("UPDATE sweeps SET submitted = 0", "Trial 0 of sweep 1 was never submitted"),
        (
            "UPDATE trials SET pruned_after_epoch = 1, job_id = 1",
            "Trial 0 of sweep 1 was pruned and succeeded",
        ),
    ],
)
@pytest.mark.usefixtures("finished")
def test_a_sweep_that_cannot_be_right_is_found(database: Database, damage: str, fault: str) -> None:
    space = {"learning_rate": {"low": 0.001, "high": 0.1}}
    request = SweepRequest.model_validate(
        {"job": {"recipe": "tutorial", "dataset": "shapes"}, "space": space, "trials": 2}
    )
    with database.writing() as session:
        sweep, _ = sweeps.submit(session, request)
        sweeps.submit_trial(session, sweep.id, 0, {"learning_rate": 0.01})
    assert check(database) == []
    with database.writing() as session:
        session.execute(text(damage))
    assert re.search(fault, " ".join(check(database)))
