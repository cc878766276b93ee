"""`/jobs/{id}/report` and `/predictions` over HTTP, on both artifact stores."""

from pathlib import Path

import httpx
import pytest

from tests.service.stand_in_worker import PREDICTIONS, REPORT, StandInWorker


@pytest.fixture(params=["database", "folder"])
def artifacts_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "database:" if request.param == "database" else f"file://{tmp_path / 'artifacts'}"


@pytest.fixture
def job_id(client: httpx.Client, worker: StandInWorker) -> int:
    client.post("/jobs", json={})
    claim = worker.claim()
    worker.succeed(claim)
    return claim.job_id


def test_the_report_is_the_one_in_the_artifact(client: httpx.Client, job_id: int) -> None:
    assert client.get(f"/jobs/{job_id}/report").json() == REPORT


def test_an_unchanged_report_is_not_sent_again(client: httpx.Client, job_id: int) -> None:
    etag = client.get(f"/jobs/{job_id}/report").headers["ETag"]
    again = client.get(f"/jobs/{job_id}/report", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)


def test_predictions_are_filtered_by_true_and_predicted_class(
    client: httpx.Client, job_id: int
) -> None:
    path = f"/jobs/{job_id}/predictions"
    everything = client.get(path).json()
    assert [item["index"] for item in everything["items"]] == [0, 1, 2, 3, 4]
    assert [item["confidence"] for item in everything["items"]] == PREDICTIONS["confidence"]
    dogs = client.get(path, params={"predicted": "dog"}).json()
    assert ([item["index"] for item in dogs["items"]], dogs["total"]) == ([1, 2, 3], 3)
    mistakes = client.get(path, params={"label": "cat", "predicted": "dog"}).json()
    assert mistakes["items"] == [
        {"index": 1, "label": "cat", "predicted": "dog", "confidence": 0.875}
    ]


def test_predictions_are_paged(client: httpx.Client, job_id: int) -> None:
    path = f"/jobs/{job_id}/predictions"
    first = client.get(path, params={"predicted": "dog", "limit": 2}).json()
    assert [item["index"] for item in first["items"]] == [1, 2]
    query = {"predicted": "dog", "limit": 2, "cursor": first["next_cursor"]}
    last = client.get(path, params=query).json()
    assert [item["index"] for item in last["items"]] == [3]
    assert (last["total"], last["next_cursor"]) == (3, None)


def test_a_class_that_the_model_does_not_have_is_refused(client: httpx.Client, job_id: int) -> None:
    problem = client.get(f"/jobs/{job_id}/predictions", params={"label": "cow"}).json()
    assert (problem["status"], problem["code"]) == (422, "unknown_class")
    assert "cat, dog, owl" in problem["detail"]


@pytest.mark.parametrize("path", ["report", "predictions"])
def test_before_the_job_has_succeeded_it_says_what_to_do(
    client: httpx.Client, worker: StandInWorker, path: str
) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    waiting = client.get(f"/jobs/{claim.job_id}/{path}").json()
    assert (waiting["status"], waiting["code"]) == (409, "report_not_ready")
    assert "wait" in waiting["detail"]
    worker.fail(claim, {"code": "x", "message": "Failed.", "traceback": None})
    ended = client.get(f"/jobs/{claim.job_id}/{path}").json()
    assert (ended["status"], ended["code"]) == (409, "report_not_ready")
    assert "Post it again" in ended["detail"]


def test_a_report_whose_model_was_deleted_is_gone(client: httpx.Client, job_id: int) -> None:
    client.delete("/models/cifar10-tutorial/versions/1")
    problem = client.get(f"/jobs/{job_id}/report").json()
    assert (problem["status"], problem["code"]) == (404, "report_gone")


def test_a_paused_job_has_no_report_yet(client: httpx.Client) -> None:
    job_id = client.post("/jobs", json={}).json()["id"]
    client.post(f"/jobs/{job_id}/pause")
    assert "resume" in client.get(f"/jobs/{job_id}/report").json()["detail"]
