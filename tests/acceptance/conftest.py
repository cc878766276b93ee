"""The real API and the real worker, as processes that share nothing but a data folder."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from store.database import Database
from tests.soundness import assert_sound

ROOT = Path(__file__).parents[2]
START_SECONDS = 200
Json = dict[str, Any]
Found = TypeVar("Found")


class Stack:
    """One data folder, an API on it, and as many workers as a test starts."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = _find_free_port()
        self.environment = os.environ | {
            "TENFOLD_DATA": str(folder),
            "TENFOLD_PORT": str(self.port),
            "TENFOLD_DEVICE": "cpu",
            "PYTHONPATH": str(ROOT),
            # No test depends on whether the machine has a way out.
            "https_proxy": "http://127.0.0.1:9",
            **{f"TENFOLD_{name.upper()}": value for name, value in settings.items()},
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def start_api(self) -> subprocess.Popen[bytes]:
        process = self._start("service")
        self.wait(self._is_ready, START_SECONDS)
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        process = self._start("worker")

        def is_alive() -> bool:
            return any(worker["pid"] == process.pid for worker in self.get("/workers")["items"])

        self.wait(is_alive, START_SECONDS)
        return process

    def get(self, path: str, **parameters: Any) -> Json:
        reply = self.client.get(path, params=parameters)
        reply.raise_for_status()
        return reply.json()  # type: ignore[no-any-return]

    def list_event_kinds(self, job_id: int) -> list[str]:
        items = self.get(f"/jobs/{job_id}/events", limit=200)["items"]
        return [event["kind"] for event in items]

    def submit(self, **fields: Any) -> Json:
        reply = self.client.post("/jobs", json={"dataset": "shapes", **fields})
        assert reply.status_code == 201, reply.text
        return reply.json()  # type: ignore[no-any-return]

    def wait_for_status(self, job_id: int, *statuses: str, seconds: float = 60) -> Json:
        def has_arrived() -> Json | None:
            job = self.get(f"/jobs/{job_id}")
            return job if job["status"] in statuses else None

        return self.wait(has_arrived, seconds)

    def wait_for_step(self, job_id: int) -> None:
        """Wait until the job has reported a running loss."""
        self.wait(lambda: self.get(f"/jobs/{job_id}/metrics")["steps"], 300)

    def wait(self, condition: Callable[[], Found | None], seconds: float) -> Found:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._check_processes()
            if value := condition():
                return value
            time.sleep(0.05)
        pytest.fail(f"nothing came of it within {seconds} s\n{self._read_logs()}")

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            process.wait(300)
        self.client.close()

    def check(self) -> None:
        """Whatever the test did to the processes, the database is whole."""
        database = Database(f"sqlite:///{self.folder / 'tenfold.db'}")
        assert_sound(database)
        database.dispose()

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{module}-{len(self.processes)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def _check_processes(self) -> None:
        crashed = [process for process in self.processes if (process.poll() or 0) > 0]
        assert not crashed, self._read_logs()

    def _read_logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.log"))
        )


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]  # type: ignore[no-any-return]


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Return a function that starts an API with the given settings; all stops with the test."""
    stacks: list[Stack] = []

    def start(**settings: str) -> Stack:
        folder = tmp_path / f"stack-{len(stacks)}"
        folder.mkdir()
        stacks.append(Stack(folder, **settings))
        stacks[-1].start_api()
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.stop()
        stack.check()
