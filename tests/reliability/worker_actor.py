"""Starts workers in no time: `python -m tests.reliability.worker_actor` imports the worker once.

For each line, JSON of environment variables and a log file, it forks a child that is a worker from
its first to its last statement, and prints the child's process id.
"""

import json
import os
import signal
import sys
from pathlib import Path

from worker.__main__ import main


def serve() -> None:
    # Whoever kills a child has no need to wait for it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            os._exit(work(**json.loads(line)))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def work(environment: dict[str, str], log: str) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(environment)
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    return main()


if __name__ == "__main__":
    serve()
