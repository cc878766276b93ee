"""The official CIFAR-10 archive: made small, with checksums of its own, read by torchvision."""

import hashlib
import io
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from store.errors import DatasetError
from tests.worker.conftest import Events
from worker.dataset_sources import Content, LoadStoppedError, OfficialBatches

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_BATCH = 20


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def make_batch(seed: int) -> dict[str, object]:
    pixels = np.random.default_rng(seed).integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
    return {"data": pixels, "labels": [(seed + index) % 10 for index in range(PER_BATCH)]}


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive laid out as the official one; torchvision knows its checksums."""
    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
    files = {name: pickle.dumps(make_batch(seed)) for seed, name in enumerate(names)}
    files[CIFAR10.meta["filename"]] = pickle.dumps({"label_names": list(CLASSES)})
    path = tmp_path / "published" / str(CIFAR10.filename)
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(path.read_bytes()))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(files[name])] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5(files[name])] for name in names[5:]])
    meta_md5 = md5(files[CIFAR10.meta["filename"]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta_md5})
    return path


@pytest.fixture
def server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Publishes the archive where torchvision looks for it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    handler = partial(Quiet, directory=archive.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        monkeypatch.setattr(CIFAR10, "url", url)
        yield
        server.shutdown()


def check_content(content: Content) -> None:
    assert content.classes == CLASSES
    train, test = content.splits["train"], content.splits["test"]
    assert train.images.shape == (5 * PER_BATCH, 32, 32, 3)
    assert test.images.shape == (PER_BATCH, 32, 32, 3)
    # The batches hold each image as three planes, one a channel.
    planes = make_batch(1)["data"][3].reshape(3, 32, 32)  # type: ignore[index]
    assert np.array_equal(train.images[PER_BATCH + 3], planes.transpose(1, 2, 0))
    assert test.labels.tolist() == make_batch(5)["labels"]


def read(source: OfficialBatches) -> Content:
    return source.read(Events(), lambda: False)


def test_the_archive_is_unpacked_and_read(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar10"
    folder.mkdir()
    archive.rename(folder / archive.name)
    source = OfficialBatches(folder)
    assert source.state == "available"
    check_content(read(source))


def test_unpacked_batches_are_read_in_place(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar10"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    check_content(read(OfficialBatches(folder)))


def test_a_changed_batch_is_refused_before_it_is_unpickled(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar10"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    batch = folder / CIFAR10.base_folder / "data_batch_2"
    batch.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DatasetError, match="incomplete or damaged: delete"):
        read(OfficialBatches(folder))
    assert not (tmp_path / "sprung").exists()


def test_a_missing_batch_is_a_clear_error(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar10"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (folder / CIFAR10.base_folder / "test_batch").unlink()
    with pytest.raises(DatasetError, match=str(folder)):
        read(OfficialBatches(folder))


@pytest.mark.usefixtures("server")
def test_the_archive_is_downloaded_and_its_progress_told(tmp_path: Path, events: Events) -> None:
    source = OfficialBatches(tmp_path / "cifar10")
    assert source.state == "downloadable"
    check_content(source.read(events, lambda: False))
    assert OfficialBatches(source.folder).state == "available"
    assert events.kinds[-1] == "download"
    assert "downloaded 100 %" in events.messages[-1]
    assert events.data[-1]["received_bytes"] == events.data[-1]["total_bytes"]


@pytest.mark.usefixtures("server")
def test_a_download_with_a_wrong_checksum_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DatasetError, match="wrong checksum"):
        read(OfficialBatches(tmp_path / "cifar10"))
    assert list((tmp_path / "cifar10").iterdir()) == []


@pytest.mark.usefixtures("server")
def test_a_download_stops_when_it_should(tmp_path: Path) -> None:
    with pytest.raises(LoadStoppedError):
        OfficialBatches(tmp_path / "cifar10").read(Events(), lambda: True)
    assert list((tmp_path / "cifar10").iterdir()) == []


@pytest.mark.usefixtures("archive")
def test_without_a_network_one_sentence_says_where_to_put_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{port}/{CIFAR10.filename}")
    folder = tmp_path / "cifar10"
    with pytest.raises(DatasetError) as failure:
        read(OfficialBatches(folder))
    assert CIFAR10.filename in failure.value.message
    assert f"train/<class>/* and test/<class>/*, into {folder}" in failure.value.message
    assert "\n" not in failure.value.message


def test_the_fingerprint_needs_no_file(tmp_path: Path) -> None:
    first, second = OfficialBatches(tmp_path / "a"), OfficialBatches(tmp_path / "b")
    assert first.fingerprint() == second.fingerprint()
