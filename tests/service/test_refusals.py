"""A database that refuses is a 503 with what to do; the service stays, and goes on when it can."""

import httpx
import pytest

from store import database as database_module
from store.database import Database
from store.settings import Settings
from tests.damage import damaged_jobs


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write waits for half a minute; nobody wants to see that."""
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.1)


def test_a_database_that_is_locked_is_told_and_then_used_again(
    client: httpx.Client, settings: Settings
) -> None:
    other = Database(settings.resolved_database_url)
    with other.writing() as session:
        session.connection()  # takes the lock
        refused = client.post("/jobs", json={})
        assert refused.status_code == 503
        assert refused.json()["code"] == "database_unusable"
        assert "Another process held the database" in refused.json()["detail"]
        # Readers never wait for a writer.
        assert client.get("/jobs").json()["items"] == []
        assert client.get("/health/live").status_code == 200
    other.dispose()
    assert client.post("/jobs", json={}).status_code == 201


def test_a_damaged_page_is_told_and_the_service_goes_on_once_it_is_mended(
    client: httpx.Client, settings: Settings
) -> None:
    assert client.post("/jobs", json={}).status_code == 201
    with damaged_jobs(settings.data / "tenfold.db"):
        for method, path in (("GET", "/jobs"), ("GET", "/jobs/1"), ("POST", "/jobs")):
            refused = client.request(method, path, json={})
            assert refused.status_code == 503, refused.text
            assert refused.json()["code"] == "database_unusable"
            assert "damaged: restore it from a backup" in refused.json()["detail"]
        # What is in other pages is still served.
        assert client.get("/models").json()["items"] == []
        assert client.get("/health/live").status_code == 200
    assert len(client.get("/jobs").json()["items"]) == 1
    assert client.post("/jobs", json={}).status_code == 201


def test_a_file_that_was_overwritten_is_told_and_the_service_goes_on_once_it_is_back(
    client: httpx.Client, settings: Settings
) -> None:
    assert client.post("/jobs", json={}).status_code == 201
    path = settings.data / "tenfold.db"
    with damaged_jobs(path):
        whole = path.read_bytes()
        path.write_bytes(b"no database" * 1000)
        for reply in (
            client.get("/jobs"),
            client.post("/jobs", json={}),
            client.get("/models"),
            client.get("/health/ready"),
        ):
            assert reply.status_code == 503, reply.text
            assert "damaged" in reply.text or "no SQLite database" in reply.text
        assert client.get("/health/live").status_code == 200
        path.write_bytes(whole)
    assert len(client.get("/jobs").json()["items"]) == 1
