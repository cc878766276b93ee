"""`/jobs/{id}/metrics` over HTTP: pages, and the stream."""

import json

import httpx
import pytest

from tests.service.stand_in_worker import StandInWorker
from tests.service.streams import STREAM, read_stream


def test_metrics_come_in_order_with_all_their_numbers(
    client: httpx.Client, worker: StandInWorker
) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    worker.report_steps(claim, 2000, 4000)
    worker.report_epoch(claim, 1, 5000)
    page = client.get(f"/jobs/{claim.job_id}/metrics").json()
    assert [metric["step"] for metric in page["steps"]] == [2000, 4000]
    assert page["steps"][0] == {
        "step": 2000,
        "epoch": 1,
        "loss": 2.0,
        "learning_rate": 0.001,
        "images_per_second": 900.0,
        "elapsed_seconds": 1.0,
        "seconds_left": 9.0,
    }
    (epoch,) = page["epochs"]
    assert (epoch["train_accuracy"], epoch["test_accuracy"]) == (0.4, 0.5)
    assert page["has_more"] is False


def test_a_cursor_gives_only_what_came_since(client: httpx.Client, worker: StandInWorker) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    path = f"/jobs/{claim.job_id}/metrics"
    worker.report_steps(claim, 10, 20)
    first = client.get(path).json()
    query = {"cursor": first["next_cursor"]}
    assert client.get(path, params=query).json() == {**first, "steps": [], "epochs": []}
    worker.report_steps(claim, 30)
    worker.report_epoch(claim, 1, 30)
    second = client.get(path, params=query).json()
    assert [metric["step"] for metric in second["steps"]] == [30]
    assert [metric["epoch"] for metric in second["epochs"]] == [1]


def test_pages_give_every_metric_once(client: httpx.Client, worker: StandInWorker) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    worker.report_steps(claim, *range(1, 8))
    for epoch in range(1, 4):
        worker.report_epoch(claim, epoch, epoch)
    steps: list[int] = []
    epochs: list[int] = []
    query = {"limit": "3"}
    while True:
        page = client.get(f"/jobs/{claim.job_id}/metrics", params=query).json()
        steps += [metric["step"] for metric in page["steps"]]
        epochs += [metric["epoch"] for metric in page["epochs"]]
        query["cursor"] = page["next_cursor"]
        if not page["has_more"]:
            break
    assert steps == list(range(1, 8))
    assert epochs == [1, 2, 3]


def follow(client: httpx.Client, job_id: int, **headers: str) -> list[dict[str, str]]:
    """Return the whole stream of an ended job."""
    with client.stream("GET", f"/jobs/{job_id}/metrics", headers=STREAM | headers) as reply:
        assert reply.status_code == 200
        return list(read_stream(reply))


def test_the_stream_tells_metrics_as_they_come_and_ends_with_the_job(
    client: httpx.Client, worker: StandInWorker
) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    path = f"/jobs/{claim.job_id}/metrics"
    with client.stream("GET", path, headers=STREAM) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        received = read_stream(reply)
        worker.report_steps(claim, 10)
        first = next(received)
        worker.report_steps(claim, 20)
        worker.report_epoch(claim, 1, 20)
        rest = [next(received), next(received)]
        worker.succeed(claim)
        assert list(received) == []
    page = client.get(path).json()
    assert [event["event"] for event in [first, *rest]] == ["step", "step", "epoch"]
    assert json.loads(first["data"]) == page["steps"][0]
    assert json.loads(rest[0]["data"]) == page["steps"][1]
    assert json.loads(rest[1]["data"]) == page["epochs"][0]
    assert rest[1]["id"] == page["next_cursor"]


def test_a_stream_of_metrics_goes_on_after_the_last_that_was_seen(
    client: httpx.Client, worker: StandInWorker
) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    for epoch in (1, 2, 3):
        worker.report_steps(claim, 10 * epoch - 5, 10 * epoch, epoch=epoch)
        worker.report_epoch(claim, epoch, 10 * epoch)
    worker.succeed(claim)
    everything = follow(client, claim.job_id)
    assert [event["event"] for event in everything] == ["step", "step", "epoch"] * 3
    for count in range(1, 9):
        seen = {"Last-Event-ID": everything[count - 1]["id"]}
        assert follow(client, claim.job_id, **seen) == everything[count:]
    path = f"/jobs/{claim.job_id}/metrics"
    reply = client.get(path, headers=STREAM | {"Last-Event-ID": everything[-1]["id"]})
    assert (reply.status_code, reply.content) == (204, b"")


def test_a_job_that_ended_without_metrics_has_no_stream(client: httpx.Client) -> None:
    job_id = client.post("/jobs", json={}).json()["id"]
    client.post(f"/jobs/{job_id}/cancel")
    assert client.get(f"/jobs/{job_id}/metrics", headers=STREAM).status_code == 204


def test_a_stream_of_metrics_longer_than_one_read_is_complete_and_in_order(
    client: httpx.Client, worker: StandInWorker
) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    worker.report_steps(claim, *range(1, 451))
    for epoch in range(1, 16):
        worker.report_epoch(claim, epoch, 30 * epoch)
    worker.succeed(claim)
    found = [(event["event"], json.loads(event["data"])) for event in follow(client, claim.job_id)]
    steps = [metric["step"] for kind, metric in found if kind == "step"]
    assert steps == list(range(1, 451))
    assert [metric["epoch"] for kind, metric in found if kind == "epoch"] == list(range(1, 16))
    assert [metric["step"] for _, metric in found] == sorted(metric["step"] for _, metric in found)


@pytest.mark.parametrize("last_event_id", ["x", "12", "WyJldmVudHMiLDEyXQ", "9" * 5000])
def test_a_last_event_id_of_no_metric_is_refused(client: httpx.Client, last_event_id: str) -> None:
    job_id = client.post("/jobs", json={}).json()["id"]
    headers = STREAM | {"Last-Event-ID": last_event_id}
    reply = client.get(f"/jobs/{job_id}/metrics", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_cursor")
