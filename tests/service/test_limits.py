"""How much one request, one picture, one batch and the queue may be: each limit is a setting."""

import base64
import contextlib
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.http_protocol import LINGER_BYTES
from tests.service.serving import encode, make_pixels, make_settings, publish, serve
from tests.service.stand_in_worker import StandInWorker

MEBIBYTE = 1 << 20
PNG = {"Content-Type": "image/png"}
SPACE = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a service with low limits."""
    settings = make_settings(
        tmp_path_factory.mktemp("data"),
        limit_body_bytes=2_000,
        limit_predict_body_bytes=4 * MEBIBYTE,
        limit_request_images=3,
        limit_image_pixels=2_000,
        limit_batch_bytes=16 * MEBIBYTE,
    )
    publish(settings)
    worker = StandInWorker(settings)
    worker.describe_dataset("photos", height=128, width=128)
    worker.close()
    with serve(settings) as client:
        yield client


def check_problem(reply: httpx.Response, status: int, code: str, *limits: str) -> None:
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (status, code)
    for limit in limits:
        assert limit in problem["detail"]


@pytest.mark.parametrize(
    ("path", "limit"), [("/jobs", 2_000), ("/predict", 4 * MEBIBYTE), ("/explain", 4 * MEBIBYTE)]
)
def test_a_body_may_be_as_large_as_is_set(client: httpx.Client, path: str, limit: int) -> None:
    too_large = client.post(path, content=bytes(limit + 1), headers=PNG)
    check_problem(too_large, 413, "body_too_large", f"{limit:,}")
    at_limit = client.post(path, content=bytes(limit), headers=PNG)
    assert at_limit.json()["code"] != "body_too_large"


def test_an_endless_body_is_cut_off_and_at_most_a_mebibyte_beyond_the_limit_is_held(
    client: httpx.Client,
) -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    address = (client.base_url.host, client.base_url.port or 80)
    sent = 0
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            with pytest.raises(ConnectionError):
                while sent < 4 * LINGER_BYTES:
                    connection.sendall(chunk)
                    sent += 65_536
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent > 4 * MEBIBYTE
    assert peak - before < (4 + 1) * MEBIBYTE


def test_a_request_may_have_so_many_pictures(client: httpx.Client) -> None:
    picture = encode(make_pixels(1))
    text = base64.b64encode(picture).decode()
    for count, status in ((3, 200), (4, 413)):
        form = client.post("/predict", files=[("file", picture)] * count)
        listed = client.post("/predict", json={"images": [text] * count})
        assert (form.status_code, listed.status_code) == (status, status)
    check_problem(form, 413, "too_many_images", "at most 3")
    check_problem(listed, 413, "too_many_images", "at most 3")


def test_a_tensor_may_have_so_many_pictures(client: httpx.Client) -> None:
    for count, status in ((3, 200), (4, 413)):
        pixels = np.zeros((count, 32, 32, 3), np.uint8)
        tensor = {
            "name": "images",
            "shape": list(pixels.shape),
            "datatype": "UINT8",
            "data": pixels.ravel().tolist(),
        }
        reply = client.post("/v2/models/animals/infer", json={"inputs": [tensor]})
        assert reply.status_code == status, reply.text


def test_a_picture_may_have_so_many_pixels(client: httpx.Client) -> None:
    fits, too_large = encode(make_pixels(1, 40, 50)), encode(make_pixels(1, 40, 51))
    assert client.post("/predict", content=fits, headers=PNG).status_code == 200
    reply = client.post("/predict", content=too_large, headers=PNG)
    check_problem(reply, 413, "image_too_large", "40", "51", "2,000")


@pytest.mark.parametrize(("color", "largest"), [("rgb", 42), ("grey", 128)])
def test_a_batch_must_fit_into_memory(client: httpx.Client, color: str, largest: int) -> None:
    def post(batch_size: int) -> httpx.Response:
        body = {"dataset": "photos", "color": color, "batch_size": batch_size}
        return client.post("/jobs", json=body)

    reply = post(largest + 1)
    check_problem(reply, 422, "batch_too_large", f"{largest} or less", "16,777,216")
    accepted = post(largest)
    assert accepted.status_code == 201
    client.post(accepted.headers["Location"] + "/cancel")


def test_the_batches_of_a_sweep_must_fit_into_memory(client: httpx.Client) -> None:
    body = {"job": {"dataset": "photos"}, "space": {"batch_size": {"choices": [4, 1_000]}}}
    reply = client.post("/sweeps", json=body | {"trials": 2})
    check_problem(reply, 422, "batch_too_large", "42 or less")


def test_the_queue_may_be_so_long(tmp_path: Path) -> None:
    sweep = {"space": SPACE, "trials": 2}
    with serve(make_settings(tmp_path, limit_queued_jobs=2)) as client:

        def post(key: str) -> httpx.Response:
            return client.post("/jobs", json={}, headers={"Idempotency-Key": key})

        made = [post(key) for key in ("first", "second")]
        assert [reply.status_code for reply in made] == [201, 201]
        refused = post("third")
        check_problem(refused, 429, "queue_full", "2 jobs")
        assert int(refused.headers["Retry-After"]) > 0
        check_problem(client.post("/sweeps", json=sweep), 429, "queue_full", "2 jobs")
        assert client.get("/sweeps").json()["items"] == []
        # The same job again is no further one.
        assert post("first").json()["id"] == made[0].json()["id"]
        assert len(client.get("/jobs").json()["items"]) == 2
        # A paused job keeps its place.
        client.post(made[1].headers["Location"] + "/pause").raise_for_status()
        check_problem(post("third"), 429, "queue_full", "2 jobs")
        client.post(made[0].headers["Location"] + "/cancel")
        assert client.post("/sweeps", json=sweep).status_code == 201
        assert post("third").status_code == 201


def test_a_failed_job_is_tried_again_where_the_queue_has_room(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, limit_queued_jobs=1)
    with serve(settings) as client, contextlib.closing(StandInWorker(settings)) as worker:
        failed = client.post("/jobs", json={}).headers["Location"]
        worker.fail(worker.claim(), {"code": "poison", "message": "It died.", "traceback": None})
        waiting = client.post("/jobs", json={}).headers["Location"]
        check_problem(client.post(failed + "/retry"), 429, "queue_full", "1 jobs")
        assert client.get(failed).json()["status"] == "failed"
        client.post(waiting + "/cancel").raise_for_status()
        assert client.post(failed + "/retry").json()["status"] == "queued"
