"""Sweeps on a real database: every trial once, and an end whatever becomes of the trials."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from store import events, jobs, metrics, sweeps
from store.artifacts import open_store
from store.database import Database
from store.errors import ConflictError, InvalidTransitionError, NotFoundError
from store.jobs import Claim
from store.reports import EpochReport
from store.sweep_requests import SweepRequest
from store.tables import Job, JobStatus, Sweep, SweepStatus

pytestmark = pytest.mark.usefixtures("stays_sound")

ERROR = {"code": "training_failed", "message": "The loss is not finite.", "traceback": None}
EPOCH = EpochReport(1, 1, 1.5, 0.4, 1.25, 0.5, 0.001, 900.0, 1.0, 9.0)


def start(database: Database, trials: int = 3, key: str | None = None, **fields: Any) -> int:
    request = SweepRequest.model_validate(
        {
            "job": {"dataset": "shapes", "epochs": 5, **fields},
            "space": {"learning_rate": {"low": 0.1, "high": 0.5}},
            "trials": trials,
        }
    )
    with database.writing() as session:
        return sweeps.submit(session, request, idempotency_key=key)[0].id


def submit(database: Database, sweep_id: int, number: int) -> Job | None:
    with database.writing() as session:
        params = {"learning_rate": 0.1 + number / 100}
        return sweeps.submit_trial(session, sweep_id, number, params)


def begin(database: Database, sweep_id: int, number: int, *accuracies: float) -> Claim:
    """Submit a trial and train it for as many epochs."""
    assert submit(database, sweep_id, number) is not None
    with database.writing() as session:
        claim = jobs.claim(session, "worker")
        assert claim is not None
        for epoch, accuracy in enumerate(accuracies, start=1):
            report = replace(EPOCH, epoch=epoch, validation_accuracy=accuracy)
            metrics.append(session, claim.job_id, [report])
    return claim


def succeed(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        jobs.succeed(session, claim, None)


def settle(database: Database) -> None:
    with database.reading() as session:
        due = sweeps.find_due(session)
    for sweep_id in due:
        with database.writing() as session:
            sweeps.settle(session, sweep_id)


def read(database: Database, sweep_id: int) -> Sweep:
    with database.reading() as session:
        return sweeps.get(session, sweep_id)


def rank(database: Database, sweep_id: int) -> list[int]:
    with database.reading() as session:
        return [trial.number for trial in sweeps.list_trials(session, [sweep_id])]


def test_a_trial_is_a_job_with_the_common_fields_and_its_own(database: Database) -> None:
    sweep_id = start(database, model="winner", momentum=0.5)
    job = submit(database, sweep_id, 0)
    assert job is not None
    assert job.spec["learning_rate"] == 0.1
    assert (job.spec["momentum"], job.spec["validation_share"]) == (0.5, 0.1)
    assert job.model_name == "winner"
    with database.reading() as session:
        assert [found.id for found in jobs.list_page(session, sweep_id=sweep_id)] == [job.id]
        assert jobs.list_page(session, sweep_id=sweep_id + 1) == []


def test_a_number_is_given_away_once(database: Database) -> None:
    sweep_id = start(database)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: submit(database, sweep_id, 0), range(8)))
    assert sum(job is not None for job in made) == 1
    assert read(database, sweep_id).submitted == 1
    assert submit(database, sweep_id, 2) is None


def test_the_same_idempotency_key_makes_one_sweep(database: Database) -> None:
    assert start(database, key="monday") == start(database, key="monday")
    with pytest.raises(ConflictError, match="another request"):
        start(database, trials=4, key="monday")


def test_trials_are_ranked_by_what_they_reach_on_held_out_images(database: Database) -> None:
    sweep_id = start(database)
    claims = [
        begin(database, sweep_id, number, *accuracies)
        for number, accuracies in enumerate([(0.9, 0.5), (0.2, 0.6), (0.95,)])
    ]
    for claim in claims[:2]:
        succeed(database, claim)
    # The last epoch counts; one that still runs comes after those that succeeded.
    assert rank(database, sweep_id) == [1, 0, 2]


def test_with_early_stopping_the_best_epoch_counts(database: Database) -> None:
    sweep_id = start(database, patience_epochs=2, validation_share=0.2)
    for number, accuracies in enumerate([(0.9, 0.5), (0.2, 0.6)]):
        succeed(database, begin(database, sweep_id, number, *accuracies))
    assert rank(database, sweep_id) == [0, 1]


def test_only_the_best_so_far_has_none_that_is_better(database: Database) -> None:
    sweep_id = start(database)
    found = []
    for number, accuracy in enumerate([0.5, 0.4, 0.5]):
        claim = begin(database, sweep_id, number, accuracy)
        with database.writing() as session:
            better = sweeps.find_better(session, claim.job_id)
            jobs.succeed(session, claim, None)
        found.append(None if better is None else better.number)
    assert found == [None, 0, 0]


def test_a_sweep_ends_when_its_last_trial_has(database: Database) -> None:
    sweep_id = start(database, trials=2)
    succeed(database, begin(database, sweep_id, 0, 0.5))
    settle(database)
    assert read(database, sweep_id).status is SweepStatus.RUNNING
    claim = begin(database, sweep_id, 1, 0.4)
    settle(database)
    assert read(database, sweep_id).status is SweepStatus.RUNNING
    with database.writing() as session:
        jobs.fail(session, claim, ERROR)
    settle(database)
    sweep = read(database, sweep_id)
    assert sweep.status is SweepStatus.SUCCEEDED
    assert sweep.finished_at is not None


def test_a_sweep_whose_first_trials_all_fail_does_not_try_on(database: Database) -> None:
    sweep_id = start(database, trials=100)
    for number in range(sweeps.FAILURES_UNTIL_END):
        assert read(database, sweep_id).status is SweepStatus.RUNNING
        claim = begin(database, sweep_id, number)
        with database.writing() as session:
            jobs.fail(session, claim, ERROR)
        settle(database)
    sweep = read(database, sweep_id)
    assert sweep.status is SweepStatus.FAILED
    assert sweep.error is not None
    assert "The loss is not finite." in sweep.error["message"]
    assert submit(database, sweep_id, sweeps.FAILURES_UNTIL_END) is None


def test_a_pruned_trial_is_a_cancelled_job_that_says_why(database: Database) -> None:
    sweep_id = start(database)
    claim = begin(database, sweep_id, 0, 0.5, 0.5)
    with database.writing() as session:
        sweeps.prune(session, claim, 2)
    with database.reading() as session:
        (trial,) = sweeps.list_trials(session, [sweep_id])
        kinds = [event.kind for event in events.list_page(session, claim.job_id)]
    assert trial.status is JobStatus.CANCELLED
    assert trial.pruned_after_epoch == 2
    assert kinds[-2:] == ["pruned", "cancelled"]


def test_a_cancel_of_the_user_comes_before_pruning(database: Database) -> None:
    sweep_id = start(database)
    claim = begin(database, sweep_id, 0, 0.5)
    with database.writing() as session:
        jobs.cancel(session, claim.job_id)
    with database.writing() as session, pytest.raises(InvalidTransitionError):
        sweeps.prune(session, claim, 1)


def test_a_cancelled_sweep_waits_for_its_running_trials(database: Database) -> None:
    sweep_id = start(database)
    claim = begin(database, sweep_id, 0)
    queued = submit(database, sweep_id, 1)
    assert queued is not None
    for _ in range(2):
        with database.writing() as session:
            sweeps.cancel(session, sweep_id)
        assert read(database, sweep_id).status is SweepStatus.CANCELLING
    assert submit(database, sweep_id, 2) is None
    with database.writing() as session:
        assert jobs.get(session, queued.id).status is JobStatus.CANCELLED
        jobs.release(session, claim)
    settle(database)
    assert read(database, sweep_id).status is SweepStatus.CANCELLED
    with database.writing() as session, pytest.raises(InvalidTransitionError, match="ended"):
        sweeps.cancel(session, sweep_id)


def test_a_paused_trial_gives_its_place_to_another(database: Database) -> None:
    sweep_id = start(database)
    job = submit(database, sweep_id, 0)
    assert job is not None

    def count_places() -> int:
        with database.reading() as session:
            sweep = sweeps.get(session, sweep_id)
            request = SweepRequest.model_validate(sweep.request)
            trials = sweeps.list_trials(session, [sweep_id])
        return sweeps.count_free_places(request, sweep.submitted, trials)

    assert count_places() == 0
    with database.writing() as session:
        jobs.pause(session, job.id)
    assert count_places() == 1


def test_a_deleted_sweep_takes_its_jobs_along(database: Database) -> None:
    artifacts = open_store("database:")
    sweep_id = start(database, trials=1)
    claim = begin(database, sweep_id, 0, 0.5)
    with database.writing() as session, pytest.raises(InvalidTransitionError, match="cancel it"):
        sweeps.delete(session, sweep_id, artifacts)
    succeed(database, claim)
    settle(database)
    with database.writing() as session:
        sweeps.delete(session, sweep_id, artifacts)
    with database.reading() as session:
        with pytest.raises(NotFoundError):
            jobs.get(session, claim.job_id)
        with pytest.raises(NotFoundError):
            sweeps.get(session, sweep_id)


def test_a_sweep_goes_on_without_a_trial_whose_job_was_deleted(database: Database) -> None:
    sweep_id = start(database, trials=2)
    claim = begin(database, sweep_id, 0, 0.5)
    succeed(database, claim)
    with database.writing() as session:
        jobs.delete(session, claim.job_id, open_store("database:"))
    assert rank(database, sweep_id) == []
    succeed(database, begin(database, sweep_id, 1, 0.5))
    settle(database)
    assert read(database, sweep_id).status is SweepStatus.SUCCEEDED
