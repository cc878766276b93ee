"""A silent worker is noticed by a clock that nobody can set."""

from store import jobs
from store.database import Database
from store.jobs import Claim
from store.leases import LeaseObserver


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
