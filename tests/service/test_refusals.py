"""A database that refuses is a 503 with what to do; the service stays, and goes on when it can."""

import httpx
import pytest

from store import database as database_module
from store.database import Database
from store.settings import Settings


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
