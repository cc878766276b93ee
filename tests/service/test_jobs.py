"""`/jobs` over HTTP."""

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from store import jobs
from store.settings import Settings
from tests.service.serving import make_settings, serve
from tests.service.stand_in_worker import StandInWorker


def submit(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    reply = client.post("/jobs", json=fields)
    assert reply.status_code == 201, reply.text
    job: dict[str, Any] = reply.json()
    return job


def test_a_job_is_created_with_the_whole_spec_and_its_address(client: httpx.Client) -> None:
    reply = client.post("/jobs", json={"recipe": "tutorial", "epochs": 5})
    assert reply.status_code == 201
    job = reply.json()
    assert reply.headers["Location"] == f"/jobs/{job['id']}"
    assert job["request"] == {"recipe": "tutorial", "epochs": 5}
    assert job["spec"]["epochs"] == 5
    assert job["spec"]["network"] == "lenet"
    assert job["spec"]["batch_size"] == 4
    assert job["model_name"] == "cifar10-tutorial"
    assert client.get(reply.headers["Location"]).json() == job


def test_a_job_without_a_living_worker_says_so_and_what_to_do(
    client: httpx.Client, worker: StandInWorker
) -> None:
    job = submit(client)
    assert job["status"] == "queued"
    assert "python -m worker" in job["waiting_reason"]
    worker.register()
    assert client.get(f"/jobs/{job['id']}").json()["waiting_reason"] is None
    worker.retire()
    (listed,) = client.get("/jobs").json()["items"]
    assert "python -m worker" in listed["waiting_reason"]


def test_jobs_are_listed_newest_first_page_by_page(client: httpx.Client) -> None:
    ids = [submit(client, seed=seed)["id"] for seed in range(5)]
    seen: list[int] = []
    cursor = None
    for expected in (2, 2, 1):
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/jobs", params=query).json()
        assert len(page["items"]) == expected
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == ids[::-1]


def test_a_job_that_comes_while_one_pages_shifts_nothing(client: httpx.Client) -> None:
    ids = [submit(client)["id"] for _ in range(3)]
    first = client.get("/jobs", params={"limit": 2}).json()
    submit(client)
    second = client.get("/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["items"] + second["items"]] == ids[::-1]


def test_jobs_are_filtered_by_status(client: httpx.Client) -> None:
    waiting, stopped = submit(client)["id"], submit(client)["id"]
    client.post(f"/jobs/{stopped}/cancel")
    found = client.get("/jobs", params={"status": "queued"}).json()["items"]
    assert [job["id"] for job in found] == [waiting]
    assert client.get("/jobs", params={"status": "done"}).status_code == 422


def test_one_idempotency_key_makes_one_job_for_a_hundred_connections_at_once(
    client: httpx.Client,
) -> None:
    body = b'{"epochs": 3}'
    request = (
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Idempotency-Key: once\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    address = (client.base_url.host, client.base_url.port or 80)
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(100)
        ]
        # All but the last byte first, so that none can be answered before all are there.
        for connection in connections:
            connection.sendall(request[:-1])
        for connection in connections:
            connection.sendall(request[-1:])
        answers = [connection.makefile("rb").read() for connection in connections]
    heads = [answer.partition(b"\r\n\r\n")[0].lower() for answer in answers]
    assert {head.split(b"\r\n")[0] for head in heads} == {b"http/1.1 201 created"}
    assert sum(b"idempotent-replayed: true" in head for head in heads) == 99
    assert len({json.loads(answer.partition(b"\r\n\r\n")[2])["id"] for answer in answers}) == 1
    assert len(client.get("/jobs").json()["items"]) == 1


def test_an_idempotency_key_with_another_body_is_refused(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "once"}
    client.post("/jobs", json={"epochs": 3}, headers=headers)
    reply = client.post("/jobs", json={"epochs": 4}, headers=headers)
    assert reply.status_code == 422
    assert reply.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({"epochs": 0}, "epochs", "greater than or equal to 1"),
        ({"epoch": 3}, "epoch", "epochs"),
        ({"optimizer": "sdg"}, "optimizer", "'adamw' or 'muon'"),
        ({"recipe": "nope"}, "recipe", "'tutorial'"),
        ({"dataset": "../etc"}, "dataset", "pattern"),
        ({"model": "a@b"}, "model", "pattern"),
        (
            {"loss": "mean_squared_error", "label_smoothing": 0.1},
            "body",
            "set label_smoothing to 0",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_would_be_right(
    client: httpx.Client, body: dict[str, Any], field: str, hint: str
) -> None:
    reply = client.post("/jobs", json=body)
    assert reply.status_code == 422
    problem = reply.json()
    assert problem["code"] == "invalid_request"
    (error,) = problem["errors"]
    assert error["in"] == "body"
    assert error["field"] == field
    assert hint in error["message"]


def test_several_wrong_fields_are_all_named(client: httpx.Client) -> None:
    problem = client.post("/jobs", json={"epochs": 0, "seed": -1}).json()
    assert {error["field"] for error in problem["errors"]} == {"epochs", "seed"}


def test_an_unknown_data_set_is_refused_with_those_that_are_known(
    client: httpx.Client, worker: StandInWorker
) -> None:
    worker.describe_dataset("shapes")
    problem = client.post("/jobs", json={"dataset": "flowers"}).json()
    assert (problem["status"], problem["code"]) == (422, "unknown_dataset")
    assert problem["known"] == ["shapes"]
    assert "datasets/flowers/train/<class>/" in problem["detail"]


def test_a_data_set_folder_that_no_worker_has_seen_yet_is_accepted(
    client: httpx.Client, worker: StandInWorker, settings: Settings
) -> None:
    worker.describe_dataset("shapes")
    (settings.datasets_folder / "flowers").mkdir(parents=True)
    assert submit(client, dataset="flowers")["spec"]["dataset"] == "flowers"


def test_a_faulty_data_set_is_refused_with_its_fault(
    client: httpx.Client, worker: StandInWorker
) -> None:
    worker.describe_dataset("flowers", state="unusable", problem="class rose is empty")
    problem = client.post("/jobs", json={"dataset": "flowers"}).json()
    assert (problem["status"], problem["code"]) == (422, "dataset_unusable")
    assert "class rose is empty" in problem["detail"]


def test_a_batch_beyond_the_training_images_is_refused(
    client: httpx.Client, worker: StandInWorker
) -> None:
    worker.describe_dataset("tiny", class_counts={"train": [3, 4], "test": [1, 1]})
    problem = client.post("/jobs", json={"dataset": "tiny", "batch_size": 8}).json()
    assert (problem["status"], problem["code"]) == (422, "dataset_too_small")
    assert "7 or less" in problem["detail"]
    submit(client, dataset="tiny", batch_size=7)


def test_a_job_begins_with_a_published_model_of_its_own_network_only(
    client: httpx.Client, worker: StandInWorker
) -> None:
    problem = client.post("/jobs", json={"init_from": "nowhere"}).json()
    assert (problem["status"], problem["code"]) == (422, "initial_model_unusable")
    assert "nowhere" in problem["detail"]

    submit(client, model="first")
    model = worker.succeed(worker.claim())
    wrong = {"init_from": model.name, "network": "whitened_small"}
    problem = client.post("/jobs", json=wrong).json()
    assert (problem["status"], problem["code"]) == (422, "initial_model_unusable")
    assert "set network to lenet" in problem["detail"]
    assert submit(client, init_from=f"{model.name}@1")["spec"]["init_from"] == "first@1"


def test_images_that_are_too_small_for_the_network_are_refused(
    client: httpx.Client, worker: StandInWorker
) -> None:
    worker.describe_network("lenet", "<svg/>", smallest_side=16)
    worker.describe_dataset("dots", height=8, width=32)
    worker.describe_dataset("fits", height=16, width=16)
    problem = client.post("/jobs", json={"dataset": "dots"}).json()
    assert (problem["status"], problem["code"]) == (422, "images_too_small")
    assert "16 by 16" in problem["detail"]
    submit(client, dataset="fits")


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_soon(
    client: httpx.Client, worker: StandInWorker
) -> None:
    running = submit(client)["id"]
    claim = worker.claim()
    waiting = submit(client)["id"]
    at_once = client.post(f"/jobs/{waiting}/cancel")
    assert (at_once.status_code, at_once.json()["status"]) == (200, "cancelled")
    for _ in range(2):  # asking twice is harmless
        soon = client.post(f"/jobs/{running}/cancel")
        assert (soon.status_code, soon.json()["status"]) == (202, "cancelling")
    with worker.database.writing() as session:
        jobs.release(session, claim)
    again = client.post(f"/jobs/{running}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_already_ended")


def test_a_paused_job_is_queued_again_by_resume(client: httpx.Client) -> None:
    job_id = submit(client)["id"]
    assert client.post(f"/jobs/{job_id}/resume").json()["code"] == "invalid_transition"
    assert client.post(f"/jobs/{job_id}/pause").json()["status"] == "paused"
    assert client.post(f"/jobs/{job_id}/resume").json()["status"] == "queued"


def test_only_an_ended_job_can_be_deleted(client: httpx.Client, worker: StandInWorker) -> None:
    job_id = submit(client)["id"]
    refused = client.delete(f"/jobs/{job_id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_ended")
    model = worker.succeed(worker.claim())
    assert client.delete(f"/jobs/{job_id}").status_code == 204
    for path in ("", "/metrics", "/events", "/report", "/predictions", "/checkpoints"):
        assert client.get(f"/jobs/{job_id}{path}").json()["code"] == "job_not_found"
    version = client.get(f"/models/{model.name}/versions/{model.version}").json()
    assert version["job_id"] is None


def test_a_failed_job_shows_its_traceback(client: httpx.Client, worker: StandInWorker) -> None:
    job_id = submit(client)["id"]
    error = {"code": "training_failed", "message": "The loss is not finite.", "traceback": "at …"}
    worker.fail(worker.claim(), error)
    job = client.get(f"/jobs/{job_id}").json()
    assert job["status"] == "failed"
    assert job["error"] == error
    assert job["finished_at"] is not None


def test_a_failed_job_is_queued_again(client: httpx.Client, worker: StandInWorker) -> None:
    job_id = submit(client)["id"]
    assert client.post(f"/jobs/{job_id}/retry").json()["code"] == "invalid_transition"
    worker.fail(worker.claim(), {"code": "x", "message": "y", "traceback": None})
    job = client.post(f"/jobs/{job_id}/retry").json()
    assert (job["status"], job["error"], job["finished_at"]) == ("queued", None, None)
    assert client.post("/jobs/99/retry").json()["code"] == "job_not_found"


def test_a_job_that_nobody_begins_in_time_fails(client: httpx.Client) -> None:
    """No worker is there to notice it: the service does."""
    job_id = submit(client, max_wait_seconds=0.1)["id"]
    patient_id = submit(client, max_wait_seconds=1000)["id"]
    deadline = time.monotonic() + 20
    while (job := client.get(f"/jobs/{job_id}").json())["status"] == "queued":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (job["status"], job["error"]["code"]) == ("failed", "wait_time_exceeded")
    assert client.get(f"/jobs/{patient_id}").json()["status"] == "queued"


def test_the_job_of_a_silent_worker_is_queued_again_though_no_other_worker_is_there(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path, lease_seconds=0.5, heartbeat_interval_seconds=0.1)
    worker = StandInWorker(settings)
    with serve(settings) as client:
        job_id = submit(client)["id"]
        worker.claim()
        deadline = time.monotonic() + 20
        while (job := client.get(f"/jobs/{job_id}").json())["status"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    worker.close()
    assert (job["status"], job["crashes"], job["worker_id"]) == ("queued", 1, None)
    assert "python -m worker" in job["waiting_reason"]


def test_a_job_tells_how_large_its_checkpoints_are(
    client: httpx.Client, worker: StandInWorker
) -> None:
    job_id = submit(client)["id"]
    claim = worker.claim()
    for step in (1, 2, 3):
        worker.save_checkpoint(claim, {"state": b"12345"}, step)
    assert client.get(f"/jobs/{job_id}").json()["checkpoint_bytes"] == 10
    assert client.get("/jobs").json()["items"][0]["checkpoint_bytes"] == 10


def test_a_job_that_succeeded_names_its_model(client: httpx.Client, worker: StandInWorker) -> None:
    job_id = submit(client, model="pets")["id"]
    worker.succeed(worker.claim())
    expected = {"name": "pets", "version": 1, "accuracy": 0.6}
    assert client.get(f"/jobs/{job_id}").json()["model"] == expected
    assert client.get("/jobs").json()["items"][0]["model"] == expected


def test_jobs_survive_a_restart_of_the_service(settings: Settings) -> None:
    with serve(settings) as client:
        job = submit(client, epochs=3)
    with serve(make_settings(settings.data)) as client:
        assert client.get(f"/jobs/{job['id']}").json() == job
