"""The life cycle of a job, on a real database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete as sql_delete
from sqlalchemy.orm import Session

from store import checkpoints, events, jobs
from store.artifacts import ArtifactStore, open_store
from store.database import Database
from store.errors import (
    ConflictError,
    InvalidTransitionError,
    NotFoundError,
    StaleAttemptError,
    TenfoldError,
)
from store.jobs import Claim
from store.specs import JobRequest
from store.tables import Event, Job, JobStatus

pytestmark = pytest.mark.usefixtures("stays_sound")

ERROR = {"code": "training_failed", "message": "The loss is not finite.", "traceback": None}


def submit(database: Database, **fields: object) -> Job:
    with database.writing() as session:
        return jobs.submit(session, JobRequest(dataset="shapes", **fields))[0]


def read(database: Database, job_id: int) -> Job:
    with database.reading() as session:
        return jobs.get(session, job_id)


def claim_next(database: Database, worker_id: str = "worker-1") -> Claim | None:
    with database.writing() as session:
        return jobs.claim(session, worker_id)


def test_a_submitted_job_keeps_what_was_asked_and_what_it_resolved_to(database: Database) -> None:
    job = submit(database, epochs=7)
    assert job.status is JobStatus.QUEUED
    assert job.request == {"dataset": "shapes", "epochs": 7}
    assert job.spec["epochs"] == 7
    assert job.spec["learning_rate"] == 0.001
    assert job.model_name == "shapes-tutorial"


def test_the_same_idempotency_key_makes_one_job(database: Database) -> None:
    request = JobRequest(dataset="shapes")

    def post(_: int) -> tuple[int, bool]:
        with database.writing() as session:
            job, is_new = jobs.submit(session, request, idempotency_key="key")
            return job.id, is_new

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(post, range(40)))
    assert {job_id for job_id, _ in outcomes} == {1}
    assert sum(is_new for _, is_new in outcomes) == 1


def test_an_idempotency_key_with_another_request_is_refused(database: Database) -> None:
    with database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes"), idempotency_key="key")
    with pytest.raises(ConflictError) as refusal, database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes", epochs=3), idempotency_key="key")
    assert refusal.value.code == "idempotency_key_reused"


def test_jobs_are_claimed_by_priority_then_by_age(database: Database) -> None:
    ids = [submit(database, priority=priority).id for priority in (0, 5, 0, 5)]
    claims = [claim_next(database, f"worker-{number}") for number in range(5)]
    assert [claim and claim.job_id for claim in claims] == [ids[1], ids[3], ids[0], ids[2], None]


def test_two_workers_never_claim_the_same_job(database: Database) -> None:
    for _ in range(20):
        submit(database)
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: claim_next(database, f"worker-{n}"), range(40)))
    claimed = [claim.job_id for claim in claims if claim is not None]
    assert sorted(claimed) == list(range(1, 21))


def test_cancelling_a_queued_job_ends_it_at_once(database: Database) -> None:
    job = submit(database)
    with database.writing() as session:
        jobs.cancel(session, job.id)
    assert read(database, job.id).status is JobStatus.CANCELLED
    assert claim_next(database) is None


def test_cancelling_a_running_job_waits_for_its_worker(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        jobs.cancel(session, claim.job_id)
        jobs.cancel(session, claim.job_id)
    with database.writing() as session:
        assert jobs.heartbeat(session, claim, None) is JobStatus.CANCELLING
        jobs.release(session, claim)
    job = read(database, claim.job_id)
    assert job.status is JobStatus.CANCELLED
    assert job.finished_at is not None


def test_a_job_that_was_asked_to_stop_cannot_succeed(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        jobs.cancel(session, claim.job_id)
    with pytest.raises(InvalidTransitionError), database.writing() as session:
        jobs.succeed(session, claim, None)
    assert read(database, claim.job_id).status is JobStatus.CANCELLING


@pytest.mark.parametrize("end", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_an_ended_job_allows_no_transition_but_delete(
    database: Database, claim: Claim, end: JobStatus
) -> None:
    with database.writing() as session:
        if end is JobStatus.SUCCEEDED:
            jobs.succeed(session, claim, None)
        elif end is JobStatus.FAILED:
            jobs.fail(session, claim, ERROR)
        else:
            jobs.cancel(session, claim.job_id)
            jobs.release(session, claim)
    transitions: list[Callable[[Session], object]] = [
        lambda session: jobs.cancel(session, claim.job_id),
        lambda session: jobs.pause(session, claim.job_id),
        lambda session: jobs.resume(session, claim.job_id),
        lambda session: jobs.succeed(session, claim, None),
        lambda session: jobs.fail(session, claim, ERROR),
        lambda session: jobs.release(session, claim),
        lambda session: jobs.heartbeat(session, claim, None),
    ]
    for transition in transitions:
        with pytest.raises(TenfoldError), database.writing() as session:
            transition(session)
    assert read(database, claim.job_id).status is end
    with database.writing() as session:
        jobs.delete(session, claim.job_id, open_store("database:"))
    with pytest.raises(NotFoundError):
        read(database, claim.job_id)


def test_a_failed_job_keeps_its_error(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        jobs.fail(session, claim, ERROR)
    assert read(database, claim.job_id).error == ERROR


def test_a_released_job_is_queued_again_and_its_old_worker_is_refused(
    database: Database, claim: Claim
) -> None:
    with database.writing() as session:
        jobs.release(session, claim)
    again = claim_next(database, "worker-2")
    assert again is not None
    assert again.attempt == claim.attempt + 1
    with pytest.raises(StaleAttemptError), database.writing() as session:
        jobs.heartbeat(session, claim, None)


def test_a_paused_job_stays_out_of_the_queue_until_it_is_resumed(
    database: Database, claim: Claim
) -> None:
    with database.writing() as session:
        jobs.pause(session, claim.job_id)
    with database.writing() as session:
        assert jobs.heartbeat(session, claim, None) is JobStatus.PAUSED
        jobs.release(session, claim)
    assert claim_next(database) is None
    with database.writing() as session:
        jobs.resume(session, claim.job_id)
    again = claim_next(database)
    assert again is not None
    assert again.job_id == claim.job_id


def test_three_crashes_in_a_row_fail_the_job_as_poison(database: Database) -> None:
    job = submit(database)
    for crash in range(1, 4):
        claim = claim_next(database)
        assert claim is not None
        with database.writing() as session:
            jobs.requeue_abandoned(session, job.id, claim.attempt)
        assert read(database, job.id).crashes == crash
    failed = read(database, job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "poison"


def test_a_poisoned_job_tells_where_its_worker_was(database: Database) -> None:
    job = submit(database)
    for crash in range(3):
        claim = claim_next(database)
        assert claim is not None
        with database.writing() as session:
            jobs.requeue_abandoned(session, job.id, claim.attempt, f"stack {crash}")
    error = read(database, job.id).error
    assert error is not None
    assert error["traceback"] == "stack 2"
    assert "memory" in error["message"]


def test_crashes_count_only_while_the_job_gets_no_farther(
    database: Database, artifacts: ArtifactStore
) -> None:
    job = submit(database)
    for step in (1, 2, 2, 3, 3, 3):
        claim = claim_next(database)
        assert claim is not None
        with database.writing() as session:
            state = {"state": b"x"}
            jobs.add_checkpoint(session, artifacts, claim, state, epoch=0, step=step)
            jobs.requeue_abandoned(session, job.id, claim.attempt)
    assert read(database, job.id).status is JobStatus.FAILED
    assert read(database, job.id).attempt == 6


def test_a_failed_job_can_be_tried_again_from_its_checkpoint(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    with database.writing() as session:
        jobs.heartbeat(session, claim, None, run_seconds=7.0)
        jobs.add_checkpoint(session, artifacts, claim, {"state": b"x"}, epoch=0, step=5)
        jobs.fail(session, claim, ERROR)
        jobs.retry(session, claim.job_id)
    again = claim_next(database)
    assert again is not None
    assert (again.job_id, again.attempt, again.run_seconds) == (claim.job_id, 2, 0.0)
    job = read(database, claim.job_id)
    assert (job.error, job.finished_at, job.crashes) == (None, None, 0)
    with database.reading() as session:
        assert len(checkpoints.list_newest_first(session, claim.job_id)) == 1
        (retried,) = [e for e in events.list_page(session, claim.job_id) if e.kind == "retried"]
    assert retried.data["error"] == ERROR


@pytest.mark.parametrize("status", ["queued", "running", "succeeded", "cancelled"])
def test_only_a_failed_job_can_be_tried_again(database: Database, status: str) -> None:
    job = submit(database)
    with database.writing() as session:
        if status == "cancelled":
            jobs.cancel(session, job.id)
        elif status != "queued":
            claim = jobs.claim(session, "worker-1")
            assert claim is not None
            if status == "succeeded":
                jobs.succeed(session, claim, None)
    with pytest.raises(InvalidTransitionError), database.writing() as session:
        jobs.retry(session, job.id)


def test_a_job_that_waited_too_long_fails_and_says_what_to_do(database: Database) -> None:
    job = submit(database, max_wait_seconds=60)
    with database.writing() as session:
        jobs.fail_overdue(session, job.id, attempt=0)
        jobs.fail_overdue(session, job.id, attempt=0)
    failed = read(database, job.id)
    assert failed.error is not None
    assert failed.error["code"] == "wait_time_exceeded"
    assert "another worker" in failed.error["message"]


def test_a_job_that_was_begun_in_time_is_not_overdue(database: Database) -> None:
    job = submit(database, max_wait_seconds=60)
    claim_next(database)
    with database.writing() as session:
        jobs.fail_overdue(session, job.id, attempt=0)
        jobs.fail_overdue(session, job.id, attempt=1)
    assert read(database, job.id).status is JobStatus.RUNNING


def test_a_job_resumed_before_its_worker_let_go_keeps_the_workers_checkpoint(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    with database.writing() as session:
        jobs.pause(session, claim.job_id)
    with database.writing() as session:
        jobs.resume(session, claim.job_id)
    assert claim_next(database, "worker-2") is None
    with database.writing() as session:
        jobs.add_checkpoint(session, artifacts, claim, {"state": b"x"}, epoch=0, step=5)
        jobs.release(session, claim)
    again = claim_next(database, "worker-2")
    assert again is not None
    assert again.job_id == claim.job_id


def test_a_worker_from_before_a_restore_is_refused(database: Database, claim: Claim) -> None:
    """The restored database counts the attempt once more, with another worker."""
    with database.writing() as session:
        jobs.requeue_restored(session)
    job = read(database, claim.job_id)
    assert (job.status, job.crashes) == (JobStatus.QUEUED, 0)
    with database.writing() as session:
        session.get_one(Job, claim.job_id).attempt -= 1
        session.execute(sql_delete(Event).where(Event.kind == "claimed"))
    again = claim_next(database, "worker-2")
    assert again is not None
    assert again.attempt == claim.attempt
    with pytest.raises(StaleAttemptError), database.writing() as session:
        jobs.heartbeat(session, claim, None)


def test_an_old_attempt_cannot_be_abandoned_twice(database: Database, claim: Claim) -> None:
    for _ in range(2):
        with database.writing() as session:
            jobs.requeue_abandoned(session, claim.job_id, claim.attempt)
    assert read(database, claim.job_id).crashes == 1


def test_a_running_job_cannot_be_deleted(
    database: Database, claim: Claim, artifacts: ArtifactStore
) -> None:
    with pytest.raises(InvalidTransitionError) as refusal, database.writing() as session:
        jobs.delete(session, claim.job_id, artifacts)
    assert refusal.value.code == "job_not_ended"


def test_every_transition_leaves_an_event(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        jobs.cancel(session, claim.job_id)
        jobs.release(session, claim)
    with database.reading() as session:
        kinds = [event.kind for event in events.list_page(session, claim.job_id)]
    assert kinds == ["submitted", "claimed", "cancelling", "cancelled"]


def test_pages_of_jobs_neither_repeat_nor_skip(database: Database) -> None:
    for _ in range(7):
        submit(database)
    seen: list[int] = []
    before = None
    while True:
        with database.reading() as session:
            page = jobs.list_page(session, before=before, limit=3)
        if not page:
            break
        seen += [job.id for job in page]
        before = page[-1].id
    assert seen == [7, 6, 5, 4, 3, 2, 1]
