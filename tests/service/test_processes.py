"""`python -m service --workers N`: real processes on one port."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from store.settings import Settings
from tests.service.serving import encode, make_pixels, make_settings, publish

ROOT = Path(__file__).parents[2]
PICTURE = encode(make_pixels(1))
WORKERS = 2
START_SECONDS = 60.0


class Service:
    """`python -m service --workers 2` and its processes."""

    def __init__(self, settings: Settings) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "TENFOLD_DATA": str(settings.data),
            "TENFOLD_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "--workers", str(WORKERS)],
            env=self.environment,
            cwd=settings.data,
        )

    def children(self) -> set[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(map(int, path.read_text().split()))

    def get(self, path: str) -> httpx.Response | None:
        """Ask on a new connection, so that any process may answer; None when none does."""
        try:
            return httpx.get(self.url + path, timeout=10)
        except httpx.TransportError:
            return None

    def predict(self) -> int:
        return httpx.post(self.url + "/predict", content=PICTURE, timeout=10).status_code

    def count(self, name: str) -> float:
        reply = self.get("/metrics")
        assert reply is not None
        values = re.findall(rf"^{name}(?:{{.*}})? ([\d.e+]+)$", reply.text, re.MULTILINE)
        return sum(map(float, values))

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            assert self.process.poll() is None, "the service ended"
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def is_whole(self) -> bool:
        """Tell whether every process has started: each loads the one model for itself."""
        reply = self.get("/metrics")
        return reply is not None and self.count("tenfold_models_loaded") == WORKERS


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = make_settings(tmp_path)
    publish(settings)
    service = Service(settings)
    try:
        service.wait(service.is_whole)
        yield service
    finally:
        service.process.terminate()
        service.process.wait(30)


@pytest.mark.timeout(180)
def test_processes_share_the_port_and_their_numbers(service: Service) -> None:
    assert len(service.children()) == WORKERS
    assert {service.predict() for _ in range(20)} == {200}
    # The processes write what they counted four times a second.
    service.wait(lambda: service.count("tenfold_predict_images_total") == 20)
    assert service.count("tenfold_predict_batch_images_sum") == 20


@pytest.mark.timeout(180)
def test_connections_are_spread_among_the_processes(service: Service) -> None:
    # Each falls to either with the same chance: of 64, less than 8 to one in 10^9 runs.
    connections = [
        socket.create_connection(("127.0.0.1", service.port), timeout=10) for _ in range(64)
    ]
    try:
        for connection in connections:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(16).startswith(b"HTTP/1.1 200")
        shares = [_count_connections(pid, service.port) for pid in service.children()]
    finally:
        for connection in connections:
            connection.close()
    assert min(shares) >= 8, shares
    assert sum(shares) == 64


@pytest.mark.timeout(180)
def test_a_port_that_another_service_of_several_processes_uses_is_busy(service: Service) -> None:
    other = subprocess.run(
        [sys.executable, "-m", "service", "--workers", str(WORKERS)],
        env=service.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 1
    assert "stop what uses that port, or choose another with TENFOLD_PORT" in other.stderr


@pytest.mark.timeout(180)
def test_a_process_that_is_killed_is_replaced(service: Service) -> None:
    before = service.children()
    # One that ends right after its start would only end again, so that is not replaced.
    service.wait(lambda: min(map(_read_age_seconds, before)) > 6)
    os.kill(min(before), signal.SIGKILL)
    service.wait(lambda: min(before) not in service.children())
    service.wait(service.is_whole)
    assert len(service.children()) == WORKERS
    assert service.predict() == 200


@pytest.mark.timeout(180)
def test_all_processes_stop_together(service: Service) -> None:
    children = service.children()
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


@pytest.mark.timeout(180)
def test_processes_stop_when_their_parent_is_killed(service: Service) -> None:
    children = service.children()
    service.process.kill()
    deadline = time.monotonic() + 30
    while any(_is_running(pid) for pid in children):
        assert time.monotonic() < deadline, "they outlived their parent"
        time.sleep(0.05)


@pytest.mark.parametrize("count", ["0", "-1", "many", "100000"])
def test_a_number_of_processes_that_makes_no_sense_is_refused(count: str) -> None:
    command = [sys.executable, "-m", "service", "--workers", count]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "number from 1 to 256" in done.stderr


def _count_connections(pid: int, port: int) -> int:
    """Return how many accepted connections to `port` the process has."""
    local = f"0100007F:{port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = {f"socket:[{row[9]}]" for row in rows if row[1] == local and row[3] == "01"}
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += str(link.readlink()) in established
    return count


def _read_age_seconds(pid: int) -> float:
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    up_seconds = float(Path("/proc/uptime").read_text().split()[0])
    return up_seconds - ticks / os.sysconf("SC_CLK_TCK")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
