"""The launcher and the demo as a user starts them, and what they leave behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Script:
    """A Python program of this project, running on a data folder of its own."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.data = folder / "data"
        self.log = folder / "script.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "TENFOLD_DATA": str(self.data),
                    "TENFOLD_DEVICE": "cpu",
                    # No test depends on whether the machine has a way out.
                    "https_proxy": "http://127.0.0.1:9",
                    **variables,
                },
                stdout=log,
                stderr=log,
                # With its children, so that a test that fails leaves nothing either.
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], bool], seconds: float = 45) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.output}"
            assert self.process.poll() is None, f"ended too early:\n{self.output}"
            time.sleep(0.05)

    def wait(self, seconds: float = 45) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {seconds} s:\n{self.output}")

    def list_processes(self) -> dict[int, str]:
        """Return the command line, by process id, of all that this script has started."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
                if session == self.process.pid:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(entry.name)] = command.strip()
        return {pid: command for pid, command in found.items() if command}

    def find_process(self, module: str) -> int:
        (pid,) = (
            pid
            for pid, command in self.list_processes().items()
            if command.endswith(f"-m {module}")
        )
        return pid

    def kill(self) -> None:
        for pid in self.list_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def start_script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Return a function that runs `python` with its arguments in the project's folder.

    Whatever still runs is killed with the test.
    """
    scripts: list[Script] = []

    def start(*arguments: str, **variables: str) -> Script:
        scripts.append(Script(tmp_path, *arguments, **variables))
        return scripts[-1]

    yield start
    for script in scripts:
        script.kill()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
