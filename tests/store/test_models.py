"""Versions and aliases of published models."""

import pytest

from store import jobs, models
from store.artifacts import ArtifactStore, open_store
from store.database import Database
from store.errors import InvalidRequestError, NotFoundError
from store.specs import JobRequest
from store.tables import Model

pytestmark = pytest.mark.usefixtures("stays_sound")

MANIFEST = {"metrics": {"accuracy": 0.55}}


def publish(database: Database, artifacts: ArtifactStore, name: str = "cats") -> Model:
    with database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes", model=name))
        claim = jobs.claim(session, "worker-1")
        assert claim is not None
        jobs.succeed(session, claim, None)
        return models.publish(session, artifacts, claim, {"model.onnx": b"bytes"}, MANIFEST)


def resolve(database: Database, reference: str | None) -> tuple[str, int]:
    with database.reading() as session:
        model = models.resolve(session, reference)
    return model.name, model.version


def test_each_job_publishes_the_next_version(database: Database, artifacts: ArtifactStore) -> None:
    versions = [publish(database, artifacts).version for _ in range(3)]
    assert versions == [1, 2, 3]


def test_a_reference_names_a_version_an_alias_or_the_newest(database: Database) -> None:
    artifacts = open_store("database:")
    for name in ("cats", "cats", "cats", "dogs"):
        publish(database, artifacts, name)
    with database.writing() as session:
        models.set_alias(session, "cats", "stable", 1)
    assert resolve(database, "cats") == ("cats", 3)
    assert resolve(database, "cats@2") == ("cats", 2)
    assert resolve(database, "cats@stable") == ("cats", 1)
    assert resolve(database, None) == ("dogs", 1)
    with database.writing() as session:
        models.set_alias(session, "cats", "production", 2)
    assert resolve(database, "cats") == ("cats", 2)


@pytest.mark.parametrize("reference", ["dogs", "cats@9", "cats@beta", "cats@", "@", "", "cats@1@1"])
def test_an_unknown_reference_is_not_found(database: Database, reference: str) -> None:
    publish(database, open_store("database:"))
    if reference == "cats@":
        assert resolve(database, reference) == ("cats", 1)
        return
    with pytest.raises(NotFoundError):
        resolve(database, reference)


def test_without_a_model_the_error_says_how_to_make_one(database: Database) -> None:
    with pytest.raises(NotFoundError, match="POST /jobs") as refusal:
        resolve(database, None)
    assert refusal.value.code == "no_model"


def test_an_alias_moves_and_can_be_removed(database: Database) -> None:
    artifacts = open_store("database:")
    for _ in range(2):
        publish(database, artifacts)
    for version in (1, 2):
        with database.writing() as session:
            models.set_alias(session, "cats", "production", version)
    with database.reading() as session:
        assert models.list_aliases(session, "cats") == {"production": 2}
    with database.writing() as session:
        models.delete_alias(session, "cats", "production")
    with database.reading() as session:
        assert models.list_aliases(session, "cats") == {}


def test_a_number_is_no_alias(database: Database) -> None:
    publish(database, open_store("database:"))
    with pytest.raises(InvalidRequestError), database.writing() as session:
        models.set_alias(session, "cats", "7", 1)


def test_deleting_a_version_takes_its_aliases_along(
    database: Database, artifacts: ArtifactStore
) -> None:
    for _ in range(2):
        publish(database, artifacts)
    with database.writing() as session:
        models.set_alias(session, "cats", "production", 1)
        models.delete_version(session, "cats", 1, artifacts)
    with database.reading() as session:
        assert [model.version for model in models.list_versions(session, "cats")] == [2]
        assert models.list_aliases(session, "cats") == {}


def test_a_model_outlives_its_job(database: Database, artifacts: ArtifactStore) -> None:
    model = publish(database, artifacts)
    assert model.job_id is not None
    with database.writing() as session:
        jobs.delete(session, model.job_id, artifacts)
    with database.reading() as session:
        kept = models.get(session, "cats")
        assert kept.job_id is None
        assert artifacts.read(session, kept.artifact_id, "model.onnx") == b"bytes"
