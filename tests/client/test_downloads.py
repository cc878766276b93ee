"""Files that are downloaded: whole and checked, or not at all."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from client import (
    AsyncTenfold,
    ChecksumError,
    Job,
    NotFoundError,
    RetryPolicy,
    Tenfold,
    UnexpectedReplyError,
)
from tests.client.conftest import TRAINED_MODEL
from tests.client.unreliable_proxy import UnreliableProxy

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("trained_job")]


def check_files(client: Tenfold, folder: Path) -> None:
    """The folder has the files of the model, and nothing else."""
    files = client.get_model_version(TRAINED_MODEL, 1).files
    assert {path.name for path in folder.iterdir()} == {file.name for file in files}
    for file in files:
        content = (folder / file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_a_model_arrives_as_published(client: Tenfold, tmp_path: Path) -> None:
    paths = client.download_model(TRAINED_MODEL, 1, tmp_path / "new" / "folder")
    assert tmp_path / "new" / "folder" / "model.onnx" in paths
    check_files(client, tmp_path / "new" / "folder")


def test_a_broken_download_begins_anew(
    proxy: UnreliableProxy, client: Tenfold, tmp_path: Path
) -> None:
    with Tenfold(proxy.url, retries=RetryPolicy(first_wait_seconds=0.01)) as unlucky:
        # The listing of the files passes; each file is cut once.
        proxy.faults.extend([None, *["cut", None] * 5])
        unlucky.download_model(TRAINED_MODEL, 1, tmp_path)
    assert len(proxy.requests) == 11
    check_files(client, tmp_path)


def test_a_damaged_download_leaves_nothing(proxy: UnreliableProxy, tmp_path: Path) -> None:
    with Tenfold(proxy.url) as unlucky:
        proxy.faults.extend([None, lambda body: body[:-1] + bytes([body[-1] ^ 1])])
        with pytest.raises(ChecksumError, match="download it again"):
            unlucky.download_model(TRAINED_MODEL, 1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_leads_out_of_the_folder_is_refused(
    proxy: UnreliableProxy, tmp_path: Path
) -> None:
    with Tenfold(proxy.url) as misled:
        proxy.faults.append(lambda body: body.replace(b'"model.onnx"', b'"../model.onnx"'))
        with pytest.raises(UnexpectedReplyError, match="no name of a file"):
            misled.download_model(TRAINED_MODEL, 1, tmp_path / "folder")
    assert not (tmp_path / "model.onnx").exists()


def test_files_that_are_there_are_not_fetched_again(
    proxy: UnreliableProxy, client: Tenfold, tmp_path: Path
) -> None:
    with Tenfold(proxy.url) as careful:
        careful.download_model(TRAINED_MODEL, 1, tmp_path)
        (tmp_path / "model.onnx").write_bytes(b"an older version")
        proxy.requests.clear()
        careful.download_model(TRAINED_MODEL, 1, tmp_path)
    assert proxy.requests == [
        f"GET /models/{TRAINED_MODEL}/versions/1",
        f"GET /models/{TRAINED_MODEL}/versions/1/files/model.onnx",
    ]
    check_files(client, tmp_path)


def test_a_model_and_a_checkpoint_are_downloaded_asynchronously(
    url: str, client: Tenfold, endless_job: Job, tmp_path: Path
) -> None:
    endless_job.cancel()
    for _ in endless_job.follow_events():
        """Until it has stopped and its checkpoint is written."""

    async def use() -> None:
        async with AsyncTenfold(url) as asynchronous:
            await asynchronous.download_model(TRAINED_MODEL, 1, tmp_path / "model")
            job = await asynchronous.get_job(endless_job.id)
            for checkpoint in await job.list_checkpoints():
                paths = await job.download_checkpoint(checkpoint.id, tmp_path / "checkpoint")
                assert sum(path.stat().st_size for path in paths) == checkpoint.size_bytes

    asyncio.run(use())
    check_files(client, tmp_path / "model")


def test_a_model_is_found_by_number_alias_and_name(client: Tenfold) -> None:
    client.set_model_alias(TRAINED_MODEL, "reviewed", 1)
    for reference in (TRAINED_MODEL, f"{TRAINED_MODEL}@1", f"{TRAINED_MODEL}@reviewed"):
        assert client.find_model_version(reference).version == 1
    client.delete_model_alias(TRAINED_MODEL, "reviewed")
    with pytest.raises(NotFoundError) as caught:
        client.find_model_version(f"{TRAINED_MODEL}@reviewed")
    assert caught.value.code == "alias_not_found"
