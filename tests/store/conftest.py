"""A real, migrated database for each test: an SQLite file, or one of a PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import jobs, migrations
from store.artifacts import ArtifactStore, open_store
from store.database import Database
from store.jobs import Claim
from store.specs import JobRequest
from tests.databases import make_empty_database
from tests.soundness import assert_sound


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with make_empty_database(tmp_path) as url:
        database = Database(url)
        migrations.upgrade(database)
        yield database
        database.dispose()


@pytest.fixture
def stays_sound(database: Database) -> Iterator[None]:
    """Whatever the test did, the file is whole and all invariants hold."""
    yield
    assert_sound(database)


@pytest.fixture(params=["database", "folder"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    url = "database:" if request.param == "database" else f"file://{tmp_path / 'artifacts'}"
    return open_store(url)


@pytest.fixture
def claim(database: Database) -> Claim:
    """The right to write to a running job."""
    with database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes"))
        claim = jobs.claim(session, "worker-1")
    assert claim is not None
    return claim
