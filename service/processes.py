"""`--workers N`: several server processes on one port, replaced when one dies.

Each has a listening socket of its own (SO_REUSEPORT), among which the kernel spreads new
connections by a hash. On one socket the process that wakes up first takes all that have come. The
sockets belong to the parent: what came for a process that died waits for the one in its place.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from prometheus_client.multiprocess import mark_process_dead

from service.shared_numbers import SHARED_FOLDER_VARIABLE

_logger = logging.getLogger(__name__)

# A process that ends sooner than this after its start would only end again.
_SHORTEST_LIFE_SECONDS = 5.0
_STOP_SECONDS = 15.0


def serve_in_processes(listeners: Sequence[socket.socket]) -> int:
    """Run a process for each listener until SIGTERM or Ctrl-C; return the exit status.

    The caller's handlers of these signals must raise SystemExit.
    """
    with tempfile.TemporaryDirectory(prefix="tenfold-metrics-") as folder:
        environment = os.environ | {SHARED_FOLDER_VARIABLE: folder}
        with _lifeline() as lifeline:
            family = _Family(lifeline, environment)
            try:
                for listener in listeners:
                    family.start_one(listener.fileno())
                return family.replace_the_dead(folder)
            finally:
                family.stop()


@dataclass(frozen=True)
class _Member:
    """A process that serves."""

    process: subprocess.Popen[bytes]
    listener: int  # the file descriptor
    started_at: float


class _Family:
    """The processes that serve."""

    def __init__(self, lifeline: int, environment: dict[str, str]) -> None:
        self._lifeline = lifeline
        self._environment = environment
        self._members: dict[int, _Member] = {}  # by the number of the process

    def start_one(self, listener: int) -> None:
        options = ["--listener", str(listener), "--lifeline", str(self._lifeline)]
        process = subprocess.Popen(  # noqa: S603 -- this very program
            [sys.executable, "-m", "service", *options],
            env=self._environment,
            pass_fds=(listener, self._lifeline),
        )
        self._members[process.pid] = _Member(process, listener, monotonic())

    def replace_the_dead(self, metrics_folder: str) -> int:
        """Start a process for each that ends; return 1 when one cannot even start."""
        while True:
            pid, status = os.waitpid(-1, 0)
            member = self._members.pop(pid, None)
            if member is None:
                continue
            code = member.process.returncode = os.waitstatus_to_exitcode(status)
            mark_process_dead(pid, metrics_folder)  # type: ignore[no-untyped-call]
            if monotonic() - member.started_at < _SHORTEST_LIFE_SECONDS:
                _logger.error("A server process ended at its start: see the log above.")
                return 1
            _logger.error("Server process %d ended (%d); starting another", pid, code)
            self.start_one(member.listener)

    def stop(self) -> None:
        processes = [member.process for member in self._members.values()]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = monotonic() + _STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _lifeline() -> Iterator[int]:
    """Yield the end of a pipe that closes when this process ends, however it ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def stop_with_parent(lifeline: int) -> None:
    """Stop this process in good order when its parent is gone."""

    def watch() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="lifeline").start()
