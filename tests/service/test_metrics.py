"""`/jobs/{id}/metrics` over HTTP."""

import httpx

from tests.service.stand_in_worker import StandInWorker


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
