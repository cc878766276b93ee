"""`/jobs/{id}/events` over HTTP: pages, and the stream."""

import json
import threading
from typing import Any

import httpx
import pytest

from store import jobs
from tests.service.stand_in_worker import StandInWorker
from tests.service.streams import STREAM, read_stream


@pytest.fixture
def job_id(client: httpx.Client) -> int:
    job: dict[str, Any] = client.post("/jobs", json={}).json()
    return int(job["id"])


def test_events_are_paged_in_order(
    client: httpx.Client, worker: StandInWorker, job_id: int
) -> None:
    worker.notify(worker.claim(), "packed", "Packed.", images=3)
    first = client.get(f"/jobs/{job_id}/events", params={"limit": 2}).json()
    assert [event["kind"] for event in first["items"]] == ["submitted", "claimed"]
    assert first["has_more"] is True
    query = {"cursor": first["next_cursor"]}
    (event,) = client.get(f"/jobs/{job_id}/events", params=query).json()["items"]
    assert (event["kind"], event["message"], event["data"]) == ("packed", "Packed.", {"images": 3})


def test_the_stream_tells_what_happens_and_ends_with_the_job(
    client: httpx.Client, worker: StandInWorker, job_id: int
) -> None:
    with client.stream("GET", f"/jobs/{job_id}/events", headers=STREAM) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        received = read_stream(reply)
        assert next(received)["event"] == "submitted"
        claim = worker.claim()
        assert next(received)["event"] == "claimed"
        worker.notify(claim, "note", "Two\nlines and “quotes”.")
        note = next(received)
        assert json.loads(note["data"])["message"] == "Two\nlines and “quotes”."
        assert json.loads(note["data"])["id"] == int(note["id"])
        worker.succeed(claim)
        assert [event["event"] for event in received] == ["succeeded"]


def test_the_stream_of_one_job_tells_nothing_of_another(
    client: httpx.Client, worker: StandInWorker, job_id: int
) -> None:
    other = client.post("/jobs", json={}).json()["id"]
    with client.stream("GET", f"/jobs/{other}/events", headers=STREAM) as reply:
        received = read_stream(reply)
        assert next(received)["event"] == "submitted"
        assert worker.claim().job_id == job_id
        client.post(f"/jobs/{other}/cancel")
        assert [event["event"] for event in received] == ["cancelled"]


def test_a_stream_goes_on_after_the_last_event_that_was_seen(
    client: httpx.Client, worker: StandInWorker, job_id: int
) -> None:
    worker.succeed(worker.claim())
    path = f"/jobs/{job_id}/events"
    with client.stream("GET", path, headers=STREAM) as reply:
        everything = list(read_stream(reply))
    headers = STREAM | {"Last-Event-ID": everything[0]["id"]}
    with client.stream("GET", path, headers=headers) as reply:
        assert list(read_stream(reply)) == everything[1:]


def test_a_browser_that_reconnects_after_the_end_is_told_to_stop(
    client: httpx.Client, job_id: int
) -> None:
    client.post(f"/jobs/{job_id}/cancel")
    path = f"/jobs/{job_id}/events"
    last = client.get(path).json()["items"][-1]["id"]
    reply = client.get(path, headers=STREAM | {"Last-Event-ID": str(last)})
    assert (reply.status_code, reply.content) == (204, b"")


@pytest.mark.parametrize("last_event_id", ["x", "-1", "1.5", "9" * 5000])
def test_a_last_event_id_that_is_none_is_refused(
    client: httpx.Client, job_id: int, last_event_id: str
) -> None:
    headers = STREAM | {"Last-Event-ID": last_event_id}
    reply = client.get(f"/jobs/{job_id}/events", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_cursor")


def test_a_stream_longer_than_one_read_is_complete(
    client: httpx.Client, worker: StandInWorker, job_id: int
) -> None:
    claim = worker.claim()
    for number in range(450):
        worker.notify(claim, f"note-{number}")
    client.post(f"/jobs/{job_id}/cancel")
    with worker.database.writing() as session:
        jobs.release(session, claim)
    with client.stream("GET", f"/jobs/{job_id}/events", headers=STREAM) as reply:
        kinds = [event["event"] for event in read_stream(reply)]
    assert kinds[2:452] == [f"note-{number}" for number in range(450)]
    assert kinds[-1] == "cancelled"


def test_many_streams_of_one_job_all_get_everything(
    client: httpx.Client, worker: StandInWorker, job_id: int
) -> None:
    kinds: dict[int, list[str]] = {}

    def follow(number: int) -> None:
        with client.stream("GET", f"/jobs/{job_id}/events", headers=STREAM) as reply:
            kinds[number] = [event["event"] for event in read_stream(reply)]

    threads = [threading.Thread(target=follow, args=[number]) for number in range(30)]
    for thread in threads:
        thread.start()
    worker.succeed(worker.claim())
    for thread in threads:
        thread.join(30)
    assert list(kinds.values()) == [["submitted", "claimed", "succeeded"]] * 30
