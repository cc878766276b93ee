"""`/sweeps` over HTTP; somebody else does what the workers do."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from store import jobs, metrics, models, sweeps
from store.reports import EpochReport
from tests.service.stand_in_worker import MANIFEST, MODEL_FILES, StandInWorker

SPACE = {"learning_rate": {"low": 0.001, "high": 1, "log": True}}
BODY: dict[str, Any] = {
    "job": {"dataset": "shapes", "epochs": 3},
    "space": SPACE,
    "trials": 3,
    "parallel_trials": 2,
}
EPOCH = EpochReport(1, 1, 1.5, 0.4, 1.25, 0.5, 0.001, 900.0, 1.0, 9.0)


def start(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    reply = client.post("/sweeps", json=BODY | fields)
    assert reply.status_code == 201, reply.text
    sweep: dict[str, Any] = reply.json()
    return sweep


def train(worker: StandInWorker, sweep_id: int, number: int, accuracy: float) -> int:
    """Do what a worker does with one trial, and return its job."""
    with worker.database.writing() as session:
        job = sweeps.submit_trial(session, sweep_id, number, {"learning_rate": 0.1 + number})
        assert job is not None
        claim = jobs.claim(session, worker.id)
        assert claim is not None
        metrics.append(session, job.id, [replace(EPOCH, validation_accuracy=accuracy)])
        better = sweeps.find_better(session, job.id)
        jobs.succeed(session, claim, None)
        if better is None:
            models.publish(session, worker.artifacts, claim, MODEL_FILES, MANIFEST)
    return job.id


def test_a_sweep_is_created_with_its_address(client: httpx.Client) -> None:
    reply = client.post("/sweeps", json=BODY)
    assert reply.status_code == 201
    sweep = reply.json()
    assert reply.headers["Location"] == f"/sweeps/{sweep['id']}"
    assert sweep["request"] == BODY
    assert sweep["status"] == "running"
    assert sweep["spec"]["validation_share"] == 0.1
    assert (sweep["trials"], sweep["submitted"], sweep["ranking"]) == (3, 0, [])
    assert client.get(reply.headers["Location"]).json() == sweep


def test_the_same_key_makes_one_sweep(client: httpx.Client) -> None:
    first, second = (
        client.post("/sweeps", json=BODY, headers={"Idempotency-Key": "monday"}) for _ in range(2)
    )
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    other = client.post("/sweeps", json=BODY | {"trials": 4}, headers={"Idempotency-Key": "monday"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"space": {"lr": {"low": 1, "high": 2}}}, "space.lr"),
        ({"space": {"epochs": {"low": 0, "high": 2}}}, "space.epochs.low"),
        ({"space": {"epochs": {"choices": []}}}, "space.epochs.choices"),
        ({"space": {}}, "space"),
        ({"space": SPACE | {"optimizer": {"choices": ["sdg"]}}}, "space.optimizer.choices.0"),
        ({"trials": 0}, "trials"),
        ({"job": {"epochs": 0}}, "job.epochs"),
        ({"job": {"loss": "mean_squared_error", "label_smoothing": 0.1}}, "job"),
        ({"sampler": "grid"}, "sampler"),
        ({"objective": "test_accuracy"}, "objective"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, fields: Any, field: str) -> None:
    reply = client.post("/sweeps", json=BODY | fields)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")
    assert [error["field"] for error in reply.json()["errors"]] == [field]


def test_a_trial_that_could_only_fail_is_refused(
    client: httpx.Client, worker: StandInWorker
) -> None:
    worker.describe_dataset("shapes", class_counts={"train": [20, 20]}, height=32, width=32)
    space = {"batch_size": {"low": 4, "high": 64}}
    reply = client.post("/sweeps", json=BODY | {"space": space})
    assert (reply.status_code, reply.json()["code"]) == (422, "dataset_too_small")


def test_trials_are_ranked_and_are_jobs(client: httpx.Client, worker: StandInWorker) -> None:
    sweep_id = start(client)["id"]
    ids = [
        train(worker, sweep_id, number, accuracy) for number, accuracy in enumerate([0.5, 0.4, 0.7])
    ]
    sweep = client.get(f"/sweeps/{sweep_id}").json()
    assert [trial["number"] for trial in sweep["ranking"]] == [2, 0, 1]
    assert [trial["job_id"] for trial in sweep["ranking"]] == [ids[2], ids[0], ids[1]]
    assert sweep["best"] == sweep["ranking"][0]
    assert sweep["best"]["params"] == {"learning_rate": 2.1}
    assert sweep["best"]["validation_accuracy"] == 0.7
    assert sweep["best"]["model"] == {"name": "shapes-tutorial", "version": 2, "accuracy": 0.6}
    assert sweep["ranking"][2]["model"] is None
    assert sweep["statuses"] == {"succeeded": 3}

    listed = client.get("/jobs", params={"sweep": sweep_id}).json()["items"]
    assert [job["id"] for job in listed] == ids[::-1]
    job = client.get(f"/jobs/{ids[1]}").json()
    assert job["trial"] == {"sweep": sweep_id, "number": 1, "pruned_after_epoch": None}
    assert client.get("/jobs", params={"sweep": sweep_id + 1}).json()["items"] == []


def test_a_trial_without_a_model_says_why(client: httpx.Client, worker: StandInWorker) -> None:
    sweep_id = start(client)["id"]
    best, beaten = (train(worker, sweep_id, number, 0.5) for number in range(2))
    assert client.get(f"/jobs/{best}/report").status_code == 200
    problem = client.get(f"/jobs/{beaten}/report")
    assert (problem.status_code, problem.json()["code"]) == (404, "trial_not_published")
    assert f"trial 1 of sweep {sweep_id}" in problem.json()["detail"]


def test_sweeps_are_listed_newest_first_page_by_page(
    client: httpx.Client, worker: StandInWorker
) -> None:
    ids = [start(client)["id"] for _ in range(3)]
    train(worker, ids[1], 0, 0.5)
    page = client.get("/sweeps", params={"limit": 2}).json()
    assert [sweep["id"] for sweep in page["items"]] == ids[:0:-1]
    assert [sweep["best"] and sweep["best"]["number"] for sweep in page["items"]] == [None, 0]
    rest = client.get("/sweeps", params={"cursor": page["next_cursor"]}).json()
    assert [sweep["id"] for sweep in rest["items"]] == ids[:1]
    assert rest["next_cursor"] is None
    assert client.get("/sweeps", params={"status": "failed"}).json()["items"] == []


def test_a_sweep_is_cancelled_at_once_where_no_trial_runs(client: httpx.Client) -> None:
    sweep_id = start(client)["id"]
    reply = client.post(f"/sweeps/{sweep_id}/cancel")
    assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
    again = client.post(f"/sweeps/{sweep_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "sweep_already_ended")


def test_a_sweep_with_a_running_trial_is_cancelled_when_that_has_stopped(
    client: httpx.Client, worker: StandInWorker
) -> None:
    sweep_id = start(client)["id"]
    with worker.database.writing() as session:
        sweeps.submit_trial(session, sweep_id, 0, {"learning_rate": 0.1})
    worker.claim()
    reply = client.post(f"/sweeps/{sweep_id}/cancel")
    assert (reply.status_code, reply.json()["status"]) == (202, "cancelling")
    refused = client.delete(f"/sweeps/{sweep_id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "sweep_not_ended")


def test_an_ended_sweep_is_deleted_with_its_jobs_and_its_model_stays(
    client: httpx.Client, worker: StandInWorker
) -> None:
    sweep_id = start(client)["id"]
    job_id = train(worker, sweep_id, 0, 0.5)
    client.post(f"/sweeps/{sweep_id}/cancel")
    assert client.delete(f"/sweeps/{sweep_id}").status_code == 204
    assert client.get(f"/sweeps/{sweep_id}").json()["code"] == "sweep_not_found"
    assert client.get(f"/jobs/{job_id}").status_code == 404
    assert client.get("/models/shapes-tutorial").status_code == 200
