"""`make serve`: the API and a worker run together and end together."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest

from tests.scripts.conftest import Script

Start = Callable[..., Script]

LAUNCHER = ("-m", "client", "up")


def start_serving(start_script: Start, port: int) -> Script:
    """Return the launcher once the API answers and knows a living worker."""
    script = start_script(*LAUNCHER, TENFOLD_PORT=str(port))

    def is_ready() -> bool:
        with suppress(httpx.TransportError):
            reply = httpx.get(f"http://127.0.0.1:{port}/health/ready")
            return reply.is_success and reply.json()["workers_alive"] == 1
        return False

    script.wait_for(is_ready)
    return script


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_both_processes_and_is_no_failure(
    start_script: Start, free_port: int, signal_number: signal.Signals
) -> None:
    script = start_serving(start_script, free_port)
    assert len(script.list_processes()) == 3
    script.process.send_signal(signal_number)
    assert script.wait(15) == 0, script.output
    assert script.list_processes() == {}
    assert "Traceback" not in script.output


@pytest.mark.parametrize("module", ["service", "worker"])
def test_when_one_process_dies_the_other_is_stopped(
    start_script: Start, free_port: int, module: str
) -> None:
    """The exit code is the one that a shell gives to a process killed by that signal."""
    script = start_serving(start_script, free_port)
    os.kill(script.find_process(module), signal.SIGKILL)
    assert script.wait(15) == 128 + signal.SIGKILL
    assert script.list_processes() == {}
    assert f"The {module} ended by itself (exit code -9)" in script.output


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of such a death")
def test_a_launcher_that_is_killed_takes_both_processes_with_it(
    start_script: Start, free_port: int
) -> None:
    script = start_serving(start_script, free_port)
    script.process.kill()
    script.wait()
    deadline = time.monotonic() + 60
    while script.list_processes():
        assert time.monotonic() < deadline, script.list_processes()
        time.sleep(0.05)
    assert "has stopped" in script.output


def test_a_busy_port_is_explained_in_a_sentence(start_script: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        script = start_script(*LAUNCHER, TENFOLD_PORT=str(port))
        assert script.wait() == 1
    assert f"cannot listen on 127.0.0.1:{port}" in script.output
    assert "TENFOLD_PORT" in script.output
    assert "Traceback" not in script.output
    assert script.list_processes() == {}


def test_a_signal_during_the_start_leaves_no_process(start_script: Start, free_port: int) -> None:
    script = start_script(*LAUNCHER, TENFOLD_PORT=str(free_port))
    script.wait_for(lambda: len(script.list_processes()) == 3)
    script.process.send_signal(signal.SIGTERM)
    assert script.wait(20) == 0, script.output
    assert script.list_processes() == {}
