"""Files of checkpoints and models over HTTP, on both artifact stores."""

import hashlib
import io
import zipfile
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from store.settings import Settings
from tests.service.stand_in_worker import LARGE_FILE, MODEL_FILES, StandInWorker

CHECKPOINT_FILES = {"state.json": b'{"step": 4}', "state.safetensors": LARGE_FILE, "empty": b""}
VERSION = "/models/cifar10-tutorial/versions/1"


@pytest.fixture(params=["database", "folder"])
def artifacts_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "database:" if request.param == "database" else f"file://{tmp_path / 'artifacts'}"


@pytest.fixture
def checkpoint(client: httpx.Client, worker: StandInWorker) -> str:
    """The address of a checkpoint of a running job."""
    client.post("/jobs", json={})
    claim = worker.claim()
    checkpoint_id = worker.save_checkpoint(claim, CHECKPOINT_FILES, step=4)
    return f"/jobs/{claim.job_id}/checkpoints/{checkpoint_id}"


@pytest.fixture
def version(client: httpx.Client, worker: StandInWorker) -> str:
    """The address of a published model version."""
    client.post("/jobs", json={})
    worker.succeed(worker.claim())
    return VERSION


def test_the_newest_two_checkpoints_are_listed(client: httpx.Client, worker: StandInWorker) -> None:
    client.post("/jobs", json={})
    claim = worker.claim()
    for step in (10, 20, 30):
        worker.save_checkpoint(claim, {"state": bytes(step)}, step=step)
    items = client.get(f"/jobs/{claim.job_id}/checkpoints").json()["items"]
    assert [(item["step"], item["size_bytes"]) for item in items] == [(30, 30), (20, 20)]


def test_a_checkpoint_lists_its_files_with_sizes_and_checksums(
    client: httpx.Client, checkpoint: str
) -> None:
    reply = client.get(checkpoint).json()
    assert (reply["step"], reply["epoch"], reply["attempt"]) == (4, 1, 1)
    assert {file["name"]: (file["size_bytes"], file["sha256"]) for file in reply["files"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in CHECKPOINT_FILES.items()
    }


def test_every_file_of_a_checkpoint_arrives_byte_for_byte(
    client: httpx.Client, checkpoint: str
) -> None:
    for name, content in CHECKPOINT_FILES.items():
        reply = client.get(f"{checkpoint}/files/{name}")
        assert reply.content == content
        assert reply.headers["Content-Length"] == str(len(content))
        assert reply.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'


@pytest.mark.parametrize("files", ["checkpoint", "version"])
def test_a_zip_holds_every_file(
    client: httpx.Client, request: pytest.FixtureRequest, files: str
) -> None:
    address: str = request.getfixturevalue(files)
    expected = CHECKPOINT_FILES if files == "checkpoint" else MODEL_FILES
    reply = client.get(f"{address}/download")
    assert reply.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == expected


def test_an_unchanged_model_file_is_not_sent_again(client: httpx.Client, version: str) -> None:
    path = f"{version}/files/model.onnx"
    etag = client.get(path).headers["ETag"]
    for condition in (etag, f'"other", W/{etag}', "*"):
        again = client.get(path, headers={"If-None-Match": condition})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == LARGE_FILE


@pytest.mark.parametrize(
    "name", ["nope", "%2e%2e", "%2e%2e%2fmanifest.json", "a%00b", "-", "x" * 200]
)
def test_a_file_that_is_not_listed_cannot_be_read(
    client: httpx.Client, version: str, name: str
) -> None:
    reply = client.get(f"{version}/files/{name}")
    assert reply.status_code in (404, 422)
    assert reply.headers["Content-Type"] == "application/problem+json"


def test_a_damaged_file_is_refused_rather_than_sent_half(
    client: httpx.Client, worker: StandInWorker, settings: Settings, version: str
) -> None:
    if settings.artifacts_url == "database:":
        with worker.database.writing() as session:
            session.execute(text("UPDATE artifact_chunks SET data = x'00' WHERE number = 1"))
    else:
        (path,) = settings.data.glob("artifacts/*/model.onnx")
        path.unlink()
    for path_of in ("files/model.onnx", "download"):
        reply = client.get(f"{version}/{path_of}")
        assert (reply.status_code, reply.json()["code"]) == (500, "artifact_damaged")
        assert "Restore it from a backup" in reply.json()["detail"]


def test_a_model_version_can_be_deleted_with_its_bytes(
    client: httpx.Client, worker: StandInWorker, settings: Settings, version: str
) -> None:
    assert client.delete(version).status_code == 204
    assert client.get(version).json()["code"] == "model_not_found"
    assert client.get(f"{version}/files/model.onnx").json()["code"] == "model_not_found"
    with worker.database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM artifact_files")) == 0
        assert session.scalar(text("SELECT count(*) FROM artifact_chunks")) == 0
    assert not list(settings.data.glob("artifacts/*/*"))
