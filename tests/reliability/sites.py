"""Data folders with real workers that start at once, to be killed or stopped at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from store import checkpoints, events, jobs, metrics, migrations, models
from store.artifacts import open_store
from store.database import BUSY_TIMEOUT_SECONDS, Database
from store.rescue import Rescue
from store.settings import Settings
from store.specs import JobRequest
from store.tables import Checkpoint, Job, JobStatus
from tests.reliability.phases import read_phase
from tests.soundness import assert_sound

ROOT = Path(__file__).parents[2]

# How long a condition may take on a machine that has much else to do.
PATIENCE_SECONDS = 300.0
# Short, yet long enough for a worker on a machine that has much else to do.
LEASE_SECONDS = 3.0
# Half a second of training each, with one thread (worker/threads.py); the seeds tell them apart.
SMALL: dict[str, Any] = {
    "dataset": "shapes",
    "epochs": 2,
    "batch_size": 48,
    "report_every_steps": 7,
}


class Actor:
    """The process of `worker_actor.py`."""

    def __init__(self, packed_folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.worker_actor", str(packed_folder)],
            cwd=ROOT,
            # Several workers run at once, on machines with few cores.
            env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start_worker(
        self,
        site: "Site",
        *,
        dies_after_step: int | None = None,
        hangs_after_step: int | None = None,
    ) -> int:
        """Start a worker and return its process id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        about = {
            "environment": site.environment,
            "log": str(site.log),
            "phases": str(site.phases),
            "dies_after_step": dies_after_step,
            "hangs_after_step": hangs_after_step,
            "busy_timeout_seconds": site.busy_timeout_seconds,
        }
        self.process.stdin.write(f"{json.dumps(about)}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=PATIENCE_SECONDS)


class Site:
    """One data folder, its database, and workers that start as soon as they are asked for."""

    def __init__(self, folder: Path, artifacts: str, actor: Actor, **settings: float) -> None:
        url = "database:" if artifacts == "database" else f"file://{folder}/artifacts"
        self.settings = Settings.model_validate(
            {
                "data": folder,
                "device": "cpu",
                "artifacts_url": url,
                "lease_seconds": LEASE_SECONDS,
                "heartbeat_interval_seconds": 0.3,
                "checkpoint_interval_seconds": 0.1,
                **settings,
            }
        )
        self.actor = actor
        self.log = folder / "workers.log"
        # Of its workers.
        self.busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS
        self.phases = folder / "phases"
        self.phases.mkdir()
        self.log.touch()
        self.database = Database(self.settings.resolved_database_url)
        migrations.upgrade(self.database)
        # In the place of a service, which does the same.
        self.rescue = Rescue(self.database, LEASE_SECONDS, self.settings.crashes_folder)

    @property
    def environment(self) -> dict[str, str]:
        fields = self.settings.model_dump(mode="json", exclude_unset=True)
        return {f"TENFOLD_{name.upper()}": str(value) for name, value in fields.items()}

    @contextmanager
    def worker(self, signal_number: int, *, hangs_after_step: int | None = None) -> Iterator[int]:
        """Run a worker during the block, and send it the signal at its end."""
        pid = self.actor.start_worker(self, hangs_after_step=hangs_after_step)
        try:
            yield pid
        finally:
            os.kill(pid, signal_number)
            self.wait(lambda: not Path(f"/proc/{pid}").exists())

    @contextmanager
    def command(self, signal_number: int) -> Iterator[int]:
        """The same with the command that users start, and its imports."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                cwd=ROOT,
                env=os.environ | self.environment,
                stderr=log,
            )
        try:
            yield process.pid
        finally:
            process.send_signal(signal_number)
            process.wait(PATIENCE_SECONDS)

    def read_phase(self, pid: int) -> str:
        """Return what the worker of that process does, or did when it died."""
        return read_phase(self.phases / str(pid))

    def run_until(self, step: int) -> None:
        """Run a worker that is killed right after that step of its job; queue the job again."""
        pid = self.actor.start_worker(self, dies_after_step=step)
        self.wait(lambda: not Path(f"/proc/{pid}").exists())
        self.requeue_at_once(pid)

    def requeue_at_once(self, pid: int) -> None:
        """Do for the job of a dead worker what others do once its lease has run out."""
        with self.database.writing() as session:
            for job in session.scalars(select(Job).where(Job.worker_id.is_not(None))):
                if f"-{pid}-" in (job.worker_id or ""):
                    jobs.requeue_abandoned(session, job.id, job.attempt)

    def submit(self, **fields: Any) -> int:
        with self.database.writing() as session:
            return jobs.submit(session, JobRequest(**(SMALL | fields)))[0].id

    def read(self, job_id: int) -> Job:
        with self.database.reading() as session:
            return jobs.get(session, job_id)

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            self.rescue.look()
            time.sleep(0.02)

    def is_working(self, pid: int) -> bool:
        """Tell whether the worker of that process runs a job."""
        with self.database.reading() as session:
            owners = session.scalars(select(Job.worker_id).where(Job.worker_id.is_not(None)))
            return any(owner is not None and f"-{pid}-" in owner for owner in owners)

    def watch(self, seconds: float) -> None:
        """Do for a while what a service does beside a worker."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until)

    def finish(self, *job_ids: int) -> None:
        """Let one worker do the rest in peace."""
        with self.worker(signal.SIGTERM):
            self.wait(lambda: self.have_succeeded(*job_ids))

    def have_succeeded(self, *job_ids: int) -> bool:
        self.retry_poisoned(*job_ids)
        return all(self.read(job_id).status is JobStatus.SUCCEEDED for job_id in job_ids)

    def list_checkpoints(self, job_id: int) -> list[Checkpoint]:
        with self.database.reading() as session:
            return checkpoints.list_newest_first(session, job_id)

    def retry(self, job_id: int) -> None:
        with self.database.writing() as session:
            jobs.retry(session, job_id)

    def retry_poisoned(self, *job_ids: int) -> None:
        for job_id in job_ids:
            job = self.read(job_id)
            if job.status is JobStatus.FAILED:
                assert job.error is not None
                assert job.error["code"] == "poison"
                self.retry(job_id)

    def collect(self, job_id: int) -> dict[str, Any]:
        """Return all that a job computed: weights, report, predictions and metrics."""
        with self.database.reading() as session:
            model = models.find_of_job(session, job_id)
            assert model is not None
            store = open_store(self.settings.artifacts_url)
            files = store.read_all(session, model.artifact_id)
            steps = [
                (row.step, row.epoch, row.loss, row.learning_rate)
                for row in metrics.list_steps(session, job_id)
            ]
            epochs = [
                (row.epoch, row.step, row.train_loss, row.train_accuracy, row.test_loss)
                for row in metrics.list_epochs(session, job_id)
            ]
        names = ("weights.safetensors", "report.json", "predictions.json")
        return {name: files[name] for name in names} | {"steps": steps, "epochs": epochs}

    def count_events(self, job_id: int, kind: str) -> int:
        with self.database.reading() as session:
            found = events.list_page(session, job_id, limit=100_000)
        return sum(event.kind == kind for event in found)

    def check(self) -> None:
        assert_sound(self.database, open_store(self.settings.artifacts_url))
