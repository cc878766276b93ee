"""Starts workers in no time: `python -m tests.reliability.worker_actor` imports the worker once.

For each line, JSON of environment variables and a log file, it forks a child that is a worker from
its first to its last statement, and prints the child's process id. A worker may be told the step
after which it kills itself, because nobody else meets a certain step.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from worker.__main__ import main
from worker.training import Training


def serve() -> None:
    # Whoever kills a child has no need to wait for it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            os._exit(work(**json.loads(line)))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def work(environment: dict[str, str], log: str, dies_after_step: int | None) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(environment)
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    if dies_after_step is not None:
        setattr(Training, "_take_step", limit_life(dies_after_step))  # noqa: B010 -- mypy
    return main()


def limit_life(last_step: int) -> Callable[[Training, Tensor, Tensor], None]:
    """Return a training step after which, at that step, there is no worker any more."""
    take_step = Training._take_step  # noqa: SLF001 -- the one place that all steps pass

    def step(training: Training, images: Tensor, labels: Tensor) -> None:
        take_step(training, images, labels)
        if training.step >= last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


if __name__ == "__main__":
    serve()
