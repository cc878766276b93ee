"""`python -m service` as a process: how it starts, and how it stops."""

import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.downloads import LARGEST_IN_MEMORY_BYTES
from store.settings import Settings
from tests.service.api_process import Api
from tests.service.stand_in_worker import StandInWorker


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    started: list[Api] = []

    def start_one(**settings: str) -> Api:
        started.append(Api(tmp_path, **settings))
        return started[-1]

    yield start_one
    for api in started:
        api.process.kill()
        api.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_good_order_on_a_signal(
    start: Callable[..., Api], number: signal.Signals
) -> None:
    api = start()
    api.wait_until_ready()
    api.process.send_signal(number)
    output = api.read_output()
    assert api.process.returncode == 0, output
    assert "Traceback" not in output


def test_an_open_event_stream_does_not_keep_it_from_stopping(start: Callable[..., Api]) -> None:
    api = start()
    api.wait_until_ready()
    with httpx.Client(base_url=api.url, timeout=30) as client:
        job_id = client.post("/jobs", json={}).json()["id"]
        headers = {"Accept": "text/event-stream"}
        with client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as reply:
            lines = reply.iter_lines()
            assert next(lines) == "event: submitted"
            began = time.monotonic()
            api.process.terminate()
            list(lines)  # ends without an error
    assert api.process.wait(10) == 0
    assert time.monotonic() - began < 5


def test_a_busy_port_is_explained_in_one_sentence(start: Callable[..., Api]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        api = start(TENFOLD_PORT=str(port))
        output = api.read_output()
    assert api.process.returncode == 1
    assert f"127.0.0.1:{port}" in output
    assert "TENFOLD_PORT" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"TENFOLD_HEARTBEAT_INTERVAL_SECONDS": "0"}, "heartbeat_interval_seconds"),
        ({"TENFOLD_DATABASE_URL": "sqlite:////proc/none/tenfold.db"}, "database"),
        ({"TENFOLD_HOST": "no.such.host.invalid"}, "TENFOLD_HOST"),
    ],
)
def test_a_wrong_setting_is_explained(
    start: Callable[..., Api], settings: dict[str, str], hint: str
) -> None:
    api = start(**settings)
    output = api.read_output()
    assert api.process.returncode == 1
    assert hint in output
    assert "Traceback" not in output


def test_a_database_of_a_newer_version_is_explained(
    start: Callable[..., Api], tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "tenfold.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    output = start().read_output()
    assert "start the newer version" in output
    assert "Traceback" not in output


def test_replies_do_not_name_the_server_software(start: Callable[..., Api]) -> None:
    api = start()
    api.wait_until_ready()
    assert "Server" not in httpx.get(f"{api.url}/health/live").headers


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
@pytest.mark.parametrize("store", ["database", "folder"])
def test_a_large_download_leaves_the_memory_flat(
    start: Callable[..., Api], tmp_path: Path, store: str
) -> None:
    artifacts_url = "database:" if store == "database" else f"file://{tmp_path / 'artifacts'}"
    api = start(TENFOLD_ARTIFACTS_URL=artifacts_url)
    api.wait_until_ready()
    job_id = httpx.post(f"{api.url}/jobs", json={}).json()["id"]
    size = 16 * LARGEST_IN_MEMORY_BYTES
    worker = StandInWorker(Settings(_env_file=None, data=tmp_path, artifacts_url=artifacts_url))
    checkpoint_id = worker.save_checkpoint(worker.claim(), {"large": bytes(size)})
    worker.close()
    before = api.read_peak_memory()
    for path in ("files/large", "download"):
        address = f"{api.url}/jobs/{job_id}/checkpoints/{checkpoint_id}/{path}"
        with httpx.stream("GET", address, timeout=60) as reply:
            assert sum(len(part) for part in reply.iter_bytes()) >= size
    assert api.read_peak_memory() - before < size / 4
