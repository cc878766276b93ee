"""Starts workers in no time: `python -m tests.reliability.worker_actor` imports the worker once.

Its argument is the folder of packed data sets that they share. For each line, JSON of environment
variables and some paths, it forks a child that is a worker from its first to its last statement,
and prints the child's process id. A worker may be told the step after which it kills itself, or
hears nothing any more, because nobody else meets a certain step.

An export imports much more and finds out much that is used again, so one is made before the first
child: a child would otherwise spend most of its life on that.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import torch
from torch import Tensor

import store.database
from store.settings import Settings
from store.specs import TrainingSpec
from tests.reliability.phases import mark_phases
from worker import datasets, networks, pulse
from worker.__main__ import main
from worker.export import export
from worker.training import Training


def serve() -> None:
    warm_up(sys.argv[1])
    # Whoever kills a child has no need to wait for it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            os._exit(work(**json.loads(line)))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def warm_up(packed_folder: str) -> None:
    """Export an untrained network; no step is taken, so no thread of torch begins."""
    spec = TrainingSpec(dataset="shapes")
    with TemporaryDirectory() as data, TemporaryDirectory() as artifact:
        (Path(data) / "packed").symlink_to(packed_folder)
        dataset = datasets.load("shapes", Settings(data=Path(data)), lambda *_: None)
        network = networks.build_for(spec, dataset)
        export(network, spec, dataset, torch.device("cpu"), Path(artifact))


def work(
    *,
    environment: dict[str, str],
    log: str,
    phases: str,
    dies_after_step: int | None,
    hangs_after_step: int | None,
    busy_timeout_seconds: float,
) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(environment)
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    mark_phases(Path(phases) / str(os.getpid()))
    store.database.BUSY_TIMEOUT_SECONDS = busy_timeout_seconds  # type: ignore[assignment]
    if dies_after_step is not None:
        end_after(dies_after_step, lambda: os.kill(os.getpid(), signal.SIGKILL))
    if hangs_after_step is not None:
        pulse.LONGEST_STOP_SECONDS = 1.0
        end_after(hangs_after_step, hang)
    return main()


def hang() -> None:
    sys.stderr.write("The worker hangs.\n")
    sys.stderr.flush()
    Event().wait()


def end_after(last_step: int, end: Callable[[], object]) -> None:
    """Let the training end so after that step."""
    take_step = Training._take_step  # noqa: SLF001 -- the one place that all steps pass

    def step(training: Training, images: Tensor, labels: Tensor) -> None:
        take_step(training, images, labels)
        if training.step >= last_step:
            end()

    setattr(Training, "_take_step", step)  # noqa: B010 -- mypy


if __name__ == "__main__":
    serve()
