"""What every test that breaks something checks afterwards."""

from store import invariants
from store.artifacts import ArtifactStore
from store.database import Database
from store.tables import Artifact


def assert_sound(database: Database, artifacts: ArtifactStore | None = None) -> None:
    """The file is whole and all invariants hold; with `artifacts`, so are all stored bytes."""
    assert database.check_integrity() == []
    with database.reading() as session:
        assert invariants.check(session) == []
        if artifacts is not None:
            for artifact in session.query(Artifact):
                assert artifacts.read_all(session, artifact.id)
