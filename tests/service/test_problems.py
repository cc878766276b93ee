"""What a client can send wrong, and the problem that it gets."""

import json
import re
import socket
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.problems import PROBLEM_TYPES
from tests.service.serving import make_settings, serve

ROOT = Path(__file__).parents[2]
JSON = {"Content-Type": "application/json"}
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One server for all: nothing here leaves anything behind."""
    with serve(make_settings(tmp_path_factory.mktemp("data"))) as client:
        yield client


def make_cursor(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def check_problem(reply: httpx.Response, status: int, code: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["title"] == PROBLEM_TYPES[code].title
    assert problem["type"] == f"/problems/{code}"
    assert problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_request"),
        (b"{", 400, "malformed_body"),
        (b"\xff\xfe{}", 400, "malformed_body"),
        (b"[]", 422, "invalid_request"),
        (b"null", 422, "invalid_request"),
        (b'"text"', 422, "invalid_request"),
        (b"[" * 100_000, 400, "malformed_body"),
        (b'{"a":' * 100_000, 400, "malformed_body"),
        (b'{"epochs": ' + b"9" * 5_000 + b"}", 400, "malformed_body"),
        (b'{"epochs": 99999999999999999999}', 422, "invalid_request"),
        (b'{"learning_rate": NaN}', 422, "invalid_request"),
        (b'{"learning_rate": Infinity}', 422, "invalid_request"),
        (b'{"weight_decay": NaN}', 422, "invalid_request"),
        (b'{"model": "a\\u0000b"}', 422, "invalid_request"),
        (b'{"model": "\\ud800"}', 422, "invalid_request"),
        (b'{"\\ud800": 1}', 422, "invalid_request"),
        (b'{"model": "pets\\n"}', 422, "invalid_request"),
    ],
    ids=range(17),
)
def test_a_body_that_cannot_be_a_job_is_the_clients_fault(
    client: httpx.Client, body: bytes, status: int, code: str
) -> None:
    check_problem(client.post("/jobs", content=body, headers=JSON), status, code)


def test_a_body_without_the_json_content_type_is_told_so(client: httpx.Client) -> None:
    reply = client.post("/jobs", content=b"{}")
    check_problem(reply, 422, "invalid_request")
    assert "Content-Type: application/json" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nope", 404, "not_found"),
        ("/jobs/", 404, "not_found"),
        ("/%ff%00", 404, "not_found"),
        ("/jobs/x", 422, "invalid_request"),
        ("/jobs/0", 422, "invalid_request"),
        ("/jobs/9007199254740991", 404, "job_not_found"),
        ("/jobs/9223372036854775808", 422, "invalid_request"),
        (f"/jobs/{'9' * 5000}", 422, "invalid_request"),
        ("/jobs/%00", 422, "invalid_request"),
        ("/jobs/1/checkpoints/9223372036854775808", 422, "invalid_request"),
        ("/jobs?limit=0", 422, "invalid_request"),
        ("/jobs?limit=201", 422, "invalid_request"),
        ("/jobs?status=%ff", 422, "invalid_request"),
        ("/jobs?cursor=", 400, "invalid_cursor"),
        ("/jobs?cursor=%00", 400, "invalid_cursor"),
        ("/jobs?cursor=%C3%A9", 400, "invalid_cursor"),
        ("/jobs?cursor=W1tbW1tb", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor(['jobs', -1])}", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor(['jobs', 2**63])}", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor(['jobs', 1.5])}", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor(['jobs', True])}", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor(['jobs', 1, 2])}", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor(['events', 1])}", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor({'jobs': 1})}", 400, "invalid_cursor"),
        (f"/jobs?cursor={make_cursor([])}", 400, "invalid_cursor"),
        (f"/models?cursor={make_cursor(['models', 1])}", 400, "invalid_cursor"),
        (f"/jobs?cursor={'W' * 501}", 422, "invalid_request"),
        ("/models/UPPER", 422, "invalid_request"),
        ("/models/pets%0A", 422, "invalid_request"),
        ("/models/pets/versions/9223372036854775808", 422, "invalid_request"),
        ("/datasets/%2e%2e", 422, "invalid_request"),
        ("/networks/a%00b", 422, "invalid_request"),
        ("/problems/%ed%a0%80", 422, "invalid_request"),
        ("/problems/nope", 404, "not_found"),
    ],
)
def test_an_address_that_cannot_be_is_the_clients_fault(
    client: httpx.Client, path: str, status: int, code: str
) -> None:
    check_problem(client.get(path), status, code)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/jobs", {"GET", "POST"}),
        ("/jobs/1", {"GET", "DELETE"}),
        ("/jobs/1/cancel", {"POST"}),
        ("/models/pets/aliases/production", {"PUT", "DELETE"}),
        ("/docs", {"GET"}),
    ],
)
def test_a_wrong_method_is_told_every_right_one(
    client: httpx.Client, path: str, methods: set[str]
) -> None:
    reply = client.patch(path)
    check_problem(reply, 405, "method_not_allowed")
    assert set(reply.headers["Allow"].split(", ")) == methods


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "caf\xe9"])
def test_an_idempotency_key_that_cannot_be_is_refused(client: httpx.Client, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    reply = client.post("/jobs", json={}, headers=headers)
    check_problem(reply, 422, "invalid_request")
    assert reply.json()["errors"][0]["in"] == "header"


def test_a_body_beyond_the_limit_is_refused_by_its_announced_length(client: httpx.Client) -> None:
    reply = client.post("/jobs", content=b" " * (MEGABYTE + 1), headers=JSON)
    check_problem(reply, 413, "body_too_large")
    assert "1,048,576" in reply.json()["detail"]


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(client: httpx.Client) -> None:
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(
            b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_beyond_the_limit_is_refused_in_chunks_too(client: httpx.Client) -> None:
    chunks = (b" " * 65_536 for _ in range(17))
    check_problem(client.post("/jobs", content=chunks, headers=JSON), 413, "body_too_large")


def test_a_body_at_the_limit_is_read(client: httpx.Client) -> None:
    body = b" " * (MEGABYTE - 10) + b'{"seed":-1}'[1:-1]
    assert len(body) < MEGABYTE
    check_problem(client.post("/jobs", content=body, headers=JSON), 400, "malformed_body")


def test_every_code_that_is_raised_has_a_status() -> None:
    sources = [*ROOT.glob("store/*.py"), *ROOT.glob("service/*.py")]
    raised = {
        code
        for path in sources
        for code in re.findall(r'\bcode(?: = |=)"(\w+)"', path.read_text())
        # The base class's own, and what ends a job or a command rather than a request.
        if code not in {"error", "poison", "restore_refused", "database_missing"}
    }
    assert raised
    assert raised <= PROBLEM_TYPES.keys()


def test_problem_codes_are_stable() -> None:
    """Programs depend on them: one may be added here, but none may change or go."""
    statuses = {code: kind.status for code, kind in PROBLEM_TYPES.items()}
    assert statuses == {
        "alias_not_found": 404,
        "artifact_damaged": 500,
        "artifact_not_read": 503,
        "artifact_not_written": 503,
        "batch_too_large": 422,
        "body_too_large": 413,
        "checkpoint_not_found": 404,
        "conflict": 409,
        "damaged_image": 422,
        "database_unusable": 503,
        "dataset_not_found": 404,
        "dataset_not_ready": 409,
        "dataset_too_small": 422,
        "dataset_unavailable": 409,
        "dataset_unusable": 422,
        "deadline_exceeded": 503,
        "explain_not_installed": 409,
        "file_not_found": 404,
        "header_too_large": 431,
        "header_too_slow": 408,
        "host_not_allowed": 403,
        "idempotency_key_reused": 422,
        "image_not_found": 404,
        "image_too_large": 413,
        "images_too_small": 422,
        "initial_model_unusable": 422,
        "internal_error": 500,
        "invalid_cursor": 400,
        "invalid_request": 422,
        "invalid_transition": 409,
        "job_already_ended": 409,
        "job_not_ended": 409,
        "job_not_found": 404,
        "key_invalid": 401,
        "key_missing": 401,
        "key_not_found": 404,
        "malformed_body": 400,
        "malformed_request": 400,
        "method_not_allowed": 405,
        "model_not_found": 404,
        "network_not_found": 404,
        "no_model": 409,
        "not_an_image": 415,
        "not_found": 404,
        "origin_not_allowed": 403,
        "overloaded": 503,
        "queue_full": 429,
        "recipe_not_found": 404,
        "report_gone": 404,
        "report_not_ready": 409,
        "scope_missing": 403,
        "stale_attempt": 409,
        "sweep_already_ended": 409,
        "sweep_not_ended": 409,
        "sweep_not_found": 404,
        "system_refused": 503,
        "too_many_connections": 503,
        "too_many_images": 413,
        "too_many_queued_jobs": 429,
        "too_many_requests": 429,
        "training_failed": 500,
        "trial_not_published": 404,
        "unknown_class": 422,
        "unknown_dataset": 422,
        "unsupported_media_type": 415,
        "upload_too_slow": 408,
    }


def test_every_problem_is_explained_at_its_type(client: httpx.Client) -> None:
    for item in client.get("/problems").json()["items"]:
        assert client.get(f"/problems/{item['code']}").json() == item
        assert item["remedy"]
    problem = client.get("/jobs/1").json()
    assert client.get(problem["type"]).json()["code"] == "job_not_found"


def test_every_problem_is_in_the_documentation() -> None:
    documentation = (ROOT / "docs" / "api.md").read_text()
    for code, kind in PROBLEM_TYPES.items():
        assert f"| `{code}` | {kind.status} |" in documentation
