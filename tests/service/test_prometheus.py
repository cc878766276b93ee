"""`/metrics`, read as Prometheus reads it."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from store.settings import Settings
from tests.service.serving import encode, make_pixels, publish
from tests.service.stand_in_worker import StandInWorker

PICTURE = encode(make_pixels(1))
DASHBOARD = Path(__file__).parents[2] / "docker" / "grafana-dashboard.json"


def scrape(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def read(client: httpx.Client, name: str, **labels: str) -> float:
    return scrape(client).get((name, frozenset(labels.items())), 0.0)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_requests_are_counted_and_timed_by_route_and_status(client: httpx.Client) -> None:
    for job_id in (1, 2, 3):
        client.get(f"/jobs/{job_id}")
    client.post("/predict", content=PICTURE)
    client.get("/no/such/place")
    client.get("/v2/models/x")
    counts = scrape(client)

    def count(method: str, route: str, status: str) -> float:
        labels = frozenset({"method": method, "route": route, "status": status}.items())
        seconds = counts["tenfold_http_request_duration_seconds_count", labels]
        assert counts["tenfold_http_requests_total", labels] == seconds
        return seconds

    assert count("GET", "/jobs/{job_id}", "404") == 3
    assert count("POST", "/predict", "409") == 1
    assert count("GET", "unmatched", "404") == 1
    assert count("GET", "/v2/models/{model}", "404") == 1


def test_methods_that_clients_make_up_share_a_label(client: httpx.Client) -> None:
    for method in ("FROB", "GRAB"):
        client.request(method, "/jobs")
    routes = [dict(labels) for name, labels in scrape(client) if name.endswith("requests_total")]
    assert {labels["method"] for labels in routes} <= {"other", "GET"}


def test_batches_and_loads_are_counted_by_model(client: httpx.Client, settings: Settings) -> None:
    publish(settings, "animals")
    for _ in range(3):
        files = [("file", PICTURE), ("file", PICTURE)]
        assert client.post("/predict?model=animals", files=files).status_code == 200
    assert read(client, "tenfold_predict_images_total", model="animals") == 6
    assert read(client, "tenfold_predict_batch_images_sum", model="animals") == 6
    assert read(client, "tenfold_predict_waiting_seconds_count", model="animals") == 3
    assert read(client, "tenfold_predict_batch_duration_seconds_count", model="animals") == 3
    assert read(client, "tenfold_model_loads_total", model="animals") == 1
    wait_for(lambda: read(client, "tenfold_models_loaded") == 1)
    assert read(client, "tenfold_models_loaded_bytes") > 0
    assert ("tenfold_predict_queue_images", frozenset({("model", "animals")})) in scrape(client)
    assert ("tenfold_predict_queue_age_seconds", frozenset({("model", "animals")})) in scrape(
        client
    )


def test_jobs_and_workers_are_read_from_the_database(
    client: httpx.Client, worker: StandInWorker
) -> None:
    assert read(client, "tenfold_database_up") == 1
    assert read(client, "tenfold_jobs", status="queued") == 0
    worker.register()
    client.post("/jobs", json={"dataset": "shapes"}).raise_for_status()
    assert read(client, "tenfold_jobs", status="queued") == 1
    ages = [value for (name, _), value in scrape(client).items() if "heartbeat_age" in name]
    assert len(ages) == 1
    assert 0 <= ages[0] < 60


def test_the_grafana_dashboard_asks_for_numbers_that_exist(
    client: httpx.Client, settings: Settings
) -> None:
    publish(settings, "animals")
    assert client.post("/predict?model=animals", content=PICTURE).status_code == 200
    known = set(re.findall(r"^# TYPE (\w+) ", client.get("/metrics").text, re.MULTILINE))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"tenfold_\w+", target["expr"])
    }
    assert len({panel["id"] for panel in panels}) == len(panels)
    unknown = {name for name in asked if re.sub(r"_(bucket|sum|count)$", "", name) not in known}
    assert not unknown
    unasked = known - {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert {name for name in unasked if not name.endswith("_created")} == set()


def test_every_number_is_in_the_documentation(client: httpx.Client, settings: Settings) -> None:
    publish(settings, "animals")
    assert client.post("/predict?model=animals", content=PICTURE).status_code == 200
    known = set(re.findall(r"^# TYPE (\w+) ", client.get("/metrics").text, re.MULTILINE))
    text = (DASHBOARD.parents[1] / "docs" / "serving.md").read_text()
    assert {name for name in known if f"`{name}`" not in text} <= {
        name for name in known if name.endswith("_created")
    }
