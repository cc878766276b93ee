"""Starts workers in no time: `python -m tests.reliability.worker_actor` imports the worker once.

For each line it reads it forks a child that is a worker from its first to its last statement, and
prints the child's process id. The settings are those of its environment.
"""

import os
import signal
import sys

from worker.__main__ import main


def serve() -> None:
    # Whoever kills a child has no need to wait for it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(main())
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
