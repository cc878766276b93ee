"""The end of a job is written down to be told, and told by one process at a time."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from store import events, jobs, webhooks
from store.artifacts import open_store
from store.clock import utc_now
from store.database import Database
from store.jobs import Claim
from store.specs import JobRequest
from store.tables import WebhookDelivery
from store.webhooks import RETRY_DELAYS_SECONDS, Delivery, DeliveryObserver

ERROR = {"code": "training_failed", "message": "no", "traceback": "secret"}


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def observer(database: Database) -> DeliveryObserver:
    """Of a service that has just been started with a webhook."""
    with database.writing() as session:
        webhooks.configure(session, is_on=True)
    return DeliveryObserver(30)


def end_job(database: Database) -> int:
    with database.writing() as session:
        job = jobs.submit(session, JobRequest(dataset="shapes"))[0]
        jobs.cancel(session, job.id)
    return job.id


def read_rows(database: Database) -> list[WebhookDelivery]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookDelivery)))


def claim_next(database: Database, observer: DeliveryObserver) -> Delivery:
    with database.writing() as session:
        session.execute(update(WebhookDelivery).values(due_at=utc_now()))
        [(delivery_id, attempt)] = observer.find_due(session)
        delivery = webhooks.claim(session, delivery_id, attempt)
    assert delivery is not None
    return delivery


def test_nothing_is_written_down_until_somebody_wants_to_know(database: Database) -> None:
    end_job(database)
    assert read_rows(database) == []


@pytest.mark.usefixtures("observer")
def test_nothing_more_is_written_down_once_nobody_wants_to_know(database: Database) -> None:
    end_job(database)
    with database.writing() as session:
        webhooks.configure(session, is_on=False)
    end_job(database)
    assert len(read_rows(database)) == 1


@pytest.mark.usefixtures("observer")
@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (lambda session, claim: jobs.succeed(session, claim, None), "succeeded", None),
        (lambda session, claim: jobs.fail(session, claim, ERROR), "failed", "training_failed"),
        (lambda session, claim: jobs.prune(session, claim, "", {}), "cancelled", None),
    ],
)
def test_the_payload_tells_how_the_job_ended_and_no_more(
    database: Database,
    claim: Claim,
    end: Callable[[Session, Claim], None],
    status: str,
    code: str | None,
) -> None:
    with database.writing() as session:
        end(session, claim)
        finished_at = jobs.get(session, claim.job_id).finished_at
    [row] = read_rows(database)
    assert finished_at is not None
    expected: dict[str, Any] = {
        "type": f"job.{status}",
        "timestamp": finished_at.isoformat(),
        "data": {
            "id": claim.job_id,
            "status": status,
            "model_name": claim.model_name,
            "error_code": code,
        },
    }
    assert json.loads(row.payload) == expected


@pytest.mark.usefixtures("observer")
def test_an_end_that_was_rolled_back_is_not_told(database: Database, claim: Claim) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        jobs.succeed(session, claim, None)
        session.flush()
        raise ZeroDivisionError
    assert read_rows(database) == []


def test_of_two_processes_one_sends_it(database: Database, observer: DeliveryObserver) -> None:
    end_job(database)
    with database.writing() as session:
        [due] = observer.find_due(session)
        assert webhooks.claim(session, *due) is not None
        assert webhooks.claim(session, *due) is None
        assert observer.find_due(session) == []


def test_a_message_of_a_process_that_died_is_taken_over_after_a_lease(
    database: Database, observer: DeliveryObserver
) -> None:
    end_job(database)
    first = claim_next(database, observer)
    clock = Clock()
    other = DeliveryObserver(30, clock)
    found = []
    with database.writing() as session:
        for clock.seconds in (0, 15, 30, 31):
            found.append(other.find_due(session))
        assert found == [[], [], [], [(first.id, 1)]]
        second = webhooks.claim(session, first.id, 1)
        assert second is not None
        assert second.message_id == first.message_id
        # It was not dead: what it finds out too late changes nothing.
        webhooks.postpone(session, first, "Late.")
        webhooks.finish(session, first, 200)
    assert [row.attempt for row in read_rows(database)] == [2]


def test_a_message_waits_longer_after_each_attempt_and_is_given_up_after_the_last(
    database: Database, observer: DeliveryObserver
) -> None:
    job_id = end_job(database)
    for delay_seconds in RETRY_DELAYS_SECONDS:
        delivery = claim_next(database, observer)
        before = utc_now()
        with database.writing() as session:
            webhooks.postpone(session, delivery, "It answered 500.")
            assert observer.find_due(session) == []
        [row] = read_rows(database)
        assert row.due_at - before >= timedelta(seconds=delay_seconds)
    with database.writing() as session:
        session.execute(update(WebhookDelivery).values(due_at=utc_now()))
    last = claim_next(database, observer)
    with database.writing() as session:
        webhooks.postpone(session, last, "It answered 500.")
        told = [event for event in events.list_page(session, job_id) if "webhook" in event.kind]
    assert read_rows(database) == []
    assert [event.data["attempt"] for event in told] == [1, 2, 3, 4, 5, 6]
    assert {event.kind for event in told} == {"webhook_failed"}
    assert told[0].message == "It answered 500. It is sent again in 5 s."
    assert told[-1].message == "It answered 500. It is not sent again."


def test_the_end_of_a_deleted_job_is_still_told(
    database: Database, observer: DeliveryObserver
) -> None:
    job_id = end_job(database)
    with database.writing() as session:
        jobs.delete(session, job_id, open_store("database:"))
    delivery = claim_next(database, observer)
    with database.writing() as session:
        webhooks.finish(session, delivery, 204)
    assert read_rows(database) == []
