"""What a worker was doing when it was killed: a byte in a file that outlives it."""

import mmap
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from store import jobs
from worker import job_run
from worker.job_run import JobRun
from worker.loop import Worker

# In the order of a worker's life. `report` is the export with its evaluation.
PHASES = (
    "start", "idle", "claim", "resume", "train", "metrics", "checkpoint", "report", "publish",
)  # fmt: skip


def mark_phases(path: Path) -> None:
    """Let the worker of this process note in the file what it does; call it once, before it."""
    path.write_bytes(b"\0")
    with path.open("r+b") as file:
        mark = mmap.mmap(file.fileno(), 1)
    for owner, name, phase in (
        (Worker, "_run_jobs", "idle"),
        (jobs, "claim", "claim"),
        (JobRun, "execute", "train"),
        (JobRun, "_prepare", "resume"),
        (JobRun, "_flush", "metrics"),
        (JobRun, "_save_checkpoint", "checkpoint"),
        (JobRun, "_publish", "publish"),
        (job_run, "export", "report"),
    ):
        setattr(owner, name, _mark(getattr(owner, name), mark, PHASES.index(phase)))


def _mark(function: Callable[..., Any], mark: mmap.mmap, number: int) -> Callable[..., Any]:
    @wraps(function)
    def marked(*arguments: Any, **named: Any) -> Any:
        before, mark[0] = mark[0], number
        result = function(*arguments, **named)
        # A claim goes on until its transaction has ended and the job is begun.
        if PHASES[number] != "claim" or result is None:
            mark[0] = before
        return result

    return marked


def read_phase(path: Path) -> str:
    """Return what the worker does, or did when it died."""
    # The file may be on its way.
    mark = path.read_bytes() if path.exists() else b""
    return PHASES[mark[0]] if mark else "start"
