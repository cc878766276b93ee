"""`/storage` over HTTP."""

import httpx
import pytest

from store.settings import Settings
from tests.service.stand_in_worker import MODEL_FILES, StandInWorker


@pytest.fixture(params=["database", "folder"])
def artifacts_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("artifacts")
    return "database:" if request.param == "database" else f"file://{folder}"


def test_what_is_stored_is_shown(
    client: httpx.Client, worker: StandInWorker, settings: Settings
) -> None:
    empty = client.get("/storage").json()
    assert (empty["checkpoints_bytes"], empty["models_bytes"]) == (0, 0)
    assert empty["database_max_bytes"] is None
    assert empty["free_bytes"] > 0
    assert empty["artifacts_free_bytes"] > 0

    client.post("/jobs", json={})
    claim = worker.claim()
    worker.save_checkpoint(claim, {"state": b"x" * 3_000_000})
    worker.succeed(claim)
    full = client.get("/storage").json()
    model_bytes = sum(map(len, MODEL_FILES.values()))
    assert (full["checkpoints_bytes"], full["models_bytes"]) == (3_000_000, model_bytes)
    is_in_database = settings.artifacts_folder is None
    assert (full["database_bytes"] - empty["database_bytes"] > 3_000_000) == is_in_database


def test_what_was_deleted_is_shown_until_it_is_given_back(
    client: httpx.Client, worker: StandInWorker, settings: Settings
) -> None:
    job_id = client.post("/jobs", json={}).json()["id"]
    claim = worker.claim()
    worker.save_checkpoint(claim, {"state": b"x" * 3_000_000})
    worker.fail(claim, {"code": "x", "message": "y", "traceback": None})
    assert client.delete(f"/jobs/{job_id}").status_code == 204
    deleted = client.get("/storage").json()
    assert deleted["checkpoints_bytes"] == 0
    assert (deleted["unused_bytes"] > 3_000_000) == (settings.artifacts_folder is None)
    while worker.database.reclaim_space():
        pass
    assert client.get("/storage").json()["unused_bytes"] == 0
