"""A silent worker is noticed by a clock that nobody can set."""

from datetime import datetime, timedelta, tzinfo
from typing import Self

import pytest

import store.clock
from store import events, jobs
from store.artifacts import ArtifactStore
from store.database import Database
from store.jobs import Claim
from store.leases import LeaseObserver, QueueObserver
from store.specs import JobRequest
from store.tables import JobStatus
from tests.soundness import assert_sound


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_job_is_abandoned_once_its_heartbeat_stood_still_for_a_lease(
    database: Database, claim: Claim
) -> None:
    clock = Clock()
    observer = LeaseObserver(30, clock)
    found = []
    for clock.seconds in (0, 10, 20, 30, 31):
        with database.reading() as session:
            found.append(observer.find_abandoned(session))
    assert found == [[], [], [], [], [(claim.job_id, claim.attempt)]]


def test_a_heartbeat_renews_the_lease(database: Database, claim: Claim) -> None:
    clock = Clock()
    observer = LeaseObserver(30, clock)
    for clock.seconds in range(0, 200, 5):
        with database.writing() as session:
            jobs.heartbeat(session, claim, None)
        with database.reading() as session:
            assert observer.find_abandoned(session) == []


def test_a_write_of_the_worker_renews_the_lease(
    database: Database, artifacts: ArtifactStore, claim: Claim
) -> None:
    clock = Clock()
    observer = LeaseObserver(30, clock)
    for clock.seconds in range(0, 200, 20):
        with database.writing() as session:
            state = {"state": b"x"}
            jobs.add_checkpoint(session, artifacts, claim, state, epoch=0, step=1)
        with database.reading() as session:
            assert observer.find_abandoned(session) == []


def test_a_new_attempt_gets_a_lease_of_its_own(database: Database, claim: Claim) -> None:
    clock = Clock()
    observer = LeaseObserver(30, clock)
    with database.reading() as session:
        observer.find_abandoned(session)
    clock.seconds = 29
    with database.writing() as session:
        jobs.release(session, claim)
        jobs.claim(session, "worker-2")
    with database.reading() as session:
        observer.find_abandoned(session)
    clock.seconds = 31
    with database.reading() as session:
        assert observer.find_abandoned(session) == []


def test_a_watcher_that_was_frozen_itself_declares_nobody_dead(
    database: Database, claim: Claim
) -> None:
    clock = Clock()
    observer = LeaseObserver(30, clock)
    found = []
    for clock.seconds in (0, 10, 500, 510, 531, 541):
        with database.reading() as session:
            found.append(observer.find_abandoned(session))
    abandoned = [(claim.job_id, claim.attempt)]
    assert found == [[], [], [], [], abandoned, abandoned]


def test_a_job_is_overdue_once_it_was_queued_for_longer_than_it_may(database: Database) -> None:
    with database.writing() as session:
        patient, _ = jobs.submit(session, JobRequest(dataset="shapes"))
        hasty, _ = jobs.submit(session, JobRequest(dataset="shapes", max_wait_seconds=60))
    clock = Clock()
    observer = QueueObserver(clock)
    found = []
    for clock.seconds in (0, 60, 61):
        with database.reading() as session:
            found.append(observer.find_overdue(session))
    assert found == [[], [], [(hasty.id, 0)]]
    assert patient.max_wait_seconds is None


def test_a_job_that_was_begun_and_given_back_waits_anew(database: Database) -> None:
    with database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes", max_wait_seconds=60))
    clock = Clock()
    observer = QueueObserver(clock)
    found = []
    for clock.seconds in (0, 50, 100):
        with database.reading() as session:
            found.append(observer.find_overdue(session))
        with database.writing() as session:
            claim = jobs.claim(session, "worker-1")
            assert claim is not None
            jobs.release(session, claim)
    assert found == [[], [], []]


def test_a_wall_clock_that_jumps_does_no_harm(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days on, four back: nobody is declared dead, and what happened stays in its order."""
    jump = timedelta()

    class JumpingDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + jump

    monkeypatch.setattr(store.clock, "datetime", JumpingDatetime)
    clock = Clock()
    leases, queue = LeaseObserver(30, clock), QueueObserver(clock)
    with database.writing() as session:
        for _ in range(2):
            jobs.submit(session, JobRequest(dataset="shapes", max_wait_seconds=60))
        claim = jobs.claim(session, "worker-1")
    assert claim is not None
    for days in (2, -2):
        jump = timedelta(days=days)
        clock.seconds += 1
        with database.writing() as session:
            assert jobs.heartbeat(session, claim, None) is JobStatus.RUNNING
            assert leases.find_abandoned(session) == []
            assert queue.find_overdue(session) == []
    with database.writing() as session:
        jobs.succeed(session, claim, None)
        kinds = [event.kind for event in events.list_page(session, claim.job_id)]
        assert kinds == ["submitted", "claimed", "succeeded"]
        second = jobs.claim(session, "worker-1")
        assert second is not None
        assert second.job_id > claim.job_id
    assert_sound(database)
