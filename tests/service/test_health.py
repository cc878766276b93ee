"""`/health` and `/` over HTTP."""

import re

import httpx
from sqlalchemy import text

from tests.service.stand_in_worker import StandInWorker


def test_it_is_ready_with_the_schema_it_needs(client: httpx.Client, worker: StandInWorker) -> None:
    worker.register()
    reply = client.get("/health/ready")
    assert reply.status_code == 200
    assert reply.json()["workers_alive"] == 1
    assert reply.json()["schema_revision"]


def test_it_is_ready_without_a_worker(client: httpx.Client) -> None:
    reply = client.get("/health/ready")
    assert (reply.status_code, reply.json()["workers_alive"]) == (200, 0)


def test_it_is_live_but_not_ready_with_another_schema(
    client: httpx.Client, worker: StandInWorker
) -> None:
    with worker.database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    reply = client.get("/health/ready")
    assert (reply.status_code, reply.json()["code"]) == (503, "database_unusable")
    assert client.get("/health/live").json() == {"status": "live"}


def test_it_is_not_ready_when_the_tables_are_gone(
    client: httpx.Client, worker: StandInWorker
) -> None:
    with worker.database.writing() as session:
        session.execute(text("DROP TABLE workers"))
    for path in ("/health/ready", "/workers", "/jobs"):
        problem = client.get(path).json()
        assert (problem["status"], problem["code"]) == (503, "database_unusable")
        assert "make migrate" in problem["detail"]


def test_a_browser_at_the_root_finds_the_documentation(client: httpx.Client) -> None:
    assert 'href="/docs"' in client.get("/").text
    page = client.get("/docs").text
    own = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert own
    for address in own:
        assert address.startswith("/"), "it must not need the internet"
        assert client.get(address).status_code == 200
    assert client.get("/openapi.json").json()["info"]["title"] == "Tenfold"
