"""What a container runs, run here without one: the start script and the health checks."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


class Container:
    """The environment of a container: its settings, its search path, its data folder."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.port = _find_free_port()
        self.environment = {
            # The interpreter first, as in the image.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TENFOLD_DATA": str(self.data),
            "TENFOLD_DEVICE": "cpu",
            "TENFOLD_HOST": "0.0.0.0",  # noqa: S104 -- as in the image
            "TENFOLD_PORT": str(self.port),
            # As the Compose file has it.
            "TENFOLD_PUBLISHED": "127.0.0.1:8000",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, role: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([ROOT / "docker/entrypoint.sh", role], env=self.environment)
        self.processes.append(process)
        return process

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run the start script to its end."""
        return subprocess.run(
            [ROOT / "docker/entrypoint.sh", *command],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def check_health(self, role: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "docker/healthcheck.py", role],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def wait_until_healthy(self, role: str) -> None:
        _wait_for(lambda: self.check_health(role).returncode == 0)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    yield container
    for process in container.processes:
        process.kill()
        process.wait()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("role", ["service", "worker"])
def test_a_role_turns_healthy_and_stops_when_the_engine_asks(
    container: Container, role: str
) -> None:
    """The stop signal reaches Python itself, since the script replaces itself by it."""
    assert container.run("migrate").returncode == 0
    assert container.check_health(role).returncode == 1
    process = container.start(role)
    container.wait_until_healthy(role)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert container.check_health(role).returncode == 1


@pytest.mark.parametrize("published", ["0.0.0.0:8000", "8000", "192.168.7.7:80", None])
def test_an_api_that_is_published_beyond_its_host_needs_a_key(
    container: Container, published: str | None
) -> None:
    if published is None:
        del container.environment["TENFOLD_PUBLISHED"]
    else:
        container.environment["TENFOLD_PUBLISHED"] = published
    refused = container.run("service")
    assert refused.returncode == 1
    assert "python -m store keys create" in refused.stderr
    create = ["python", "-m", "store", "keys", "create", "first", "--scope", "admin"]
    assert container.run(*create).stdout.startswith("tenfold_")
    container.start("service")
    container.wait_until_healthy("service")


def test_a_worker_that_hangs_turns_unhealthy(container: Container) -> None:
    """A stopped process sends no heartbeat; its API-less container is all that shows it."""
    container.environment["TENFOLD_HEARTBEAT_INTERVAL_SECONDS"] = "0.5"
    process = container.start("worker")
    container.wait_until_healthy("worker")
    process.send_signal(signal.SIGSTOP)
    _wait_for(lambda: container.check_health("worker").returncode == 1)
    assert "no heartbeat" in container.check_health("worker").stderr


def test_without_a_database_the_health_check_says_so(container: Container) -> None:
    outcome = container.check_health("worker")
    assert outcome.returncode == 1
    assert "has not been migrated" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_another_command_runs_as_it_is(container: Container) -> None:
    assert container.run("echo", "two words").stdout == "two words\n"


@pytest.mark.parametrize("role", ["service", "worker", "migrate"])
def test_a_data_folder_that_cannot_be_written_is_explained(
    container: Container, tmp_path: Path, role: str
) -> None:
    """Below a file, because root, whom tests may run as, can write to every folder."""
    (tmp_path / "file").touch()
    container.environment["TENFOLD_DATA"] = str(tmp_path / "file" / "data")
    outcome = container.run(role)
    assert outcome.returncode == 1
    assert f"The data folder {tmp_path}/file/data is not writable by user" in outcome.stderr
    assert "chown" in outcome.stderr
