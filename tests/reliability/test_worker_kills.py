"""kill -9 of workers, over and over: nothing is lost, nothing is done twice, nothing differs."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store import checkpoints, events, jobs, metrics, migrations, models
from store.artifacts import open_store
from store.database import Database
from store.rescue import Rescue
from store.settings import Settings
from store.specs import JobRequest
from store.tables import ArtifactChunk, Checkpoint, Job, JobStatus
from tests.reliability.effort import IS_CHAOS
from tests.soundness import assert_sound

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("TENFOLD_KILLS", "1000" if IS_CHAOS else "25"))
SECONDS_PER_ROUND = 20  # on a machine that has much else to do

pytestmark = pytest.mark.timeout(120 + ROUNDS * SECONDS_PER_ROUND)

# Half a second of training each; the seeds tell them apart.
SMALL: dict[str, Any] = {
    "dataset": "shapes",
    "epochs": 2,
    "batch_size": 64,
    "report_every_steps": 7,
}


class Site:
    """One data folder, its database, and workers that start as soon as they are asked for."""

    def __init__(self, folder: Path, artifacts: str) -> None:
        self.settings = Settings(
            _env_file=None,
            data=folder,
            device="cpu",
            artifacts_url="database:" if artifacts == "database" else f"file://{folder}/artifacts",
            lease_seconds=1.0,
            heartbeat_interval_seconds=0.2,
            checkpoint_interval_seconds=0.05,
        )
        self.database = Database(self.settings.resolved_database_url)
        migrations.upgrade(self.database)
        # In the place of a service, which does the same.
        self.rescue = Rescue(self.database, 1.0, self.settings.crashes_folder)
        fields = self.settings.model_dump(mode="json", exclude_none=True)
        self.actor = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.worker_actor"],
            cwd=ROOT,
            env=os.environ | {f"TENFOLD_{name.upper()}": str(fields[name]) for name in fields},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "workers.log").open("wb"),
            text=True,
        )

    @contextmanager
    def worker(self, signal_number: int) -> Iterator[int]:
        """Run a worker during the block, and send it the signal at its end."""
        assert self.actor.stdin is not None
        assert self.actor.stdout is not None
        self.actor.stdin.write("\n")
        self.actor.stdin.flush()
        pid = int(self.actor.stdout.readline())
        try:
            yield pid
        finally:
            os.kill(pid, signal_number)
            self.wait(lambda: not Path(f"/proc/{pid}").exists(), 60)

    def submit(self, **fields: Any) -> int:
        with self.database.writing() as session:
            return jobs.submit(session, JobRequest(**(SMALL | fields)))[0].id

    def read(self, job_id: int) -> Job:
        with self.database.reading() as session:
            return jobs.get(session, job_id)

    def wait(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.settings.data / "workers.log").read_text()
            self.rescue.look()
            time.sleep(0.02)

    def watch(self, seconds: float) -> None:
        """Do for a while what a service does beside a worker."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, seconds + 1)

    def finish(self, *job_ids: int) -> None:
        """Let one worker do the rest in peace."""
        self.retry_poisoned(*job_ids)
        with self.worker(signal.SIGTERM):
            self.wait(lambda: all(self.read(job_id).status.is_ended for job_id in job_ids), 300)
        for job_id in job_ids:
            job = self.read(job_id)
            assert job.status is JobStatus.SUCCEEDED, job.error

    def retry_poisoned(self, *job_ids: int) -> None:
        for job_id in job_ids:
            job = self.read(job_id)
            if job.status is JobStatus.FAILED:
                assert job.error is not None
                assert job.error["code"] == "poison"
                with self.database.writing() as session:
                    jobs.retry(session, job_id)

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

    def close(self) -> None:
        self.actor.communicate(timeout=30)
        assert self.actor.stderr is None
        self.database.dispose()


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def make(artifacts: str = "database") -> Site:
        folder = tmp_path / f"site-{len(sites)}"
        folder.mkdir()
        sites.append(Site(folder, artifacts))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


def compare(killed: Site, peaceful: Site, job_ids: list[int]) -> None:
    for job_id in job_ids:
        assert killed.count_events(job_id, "succeeded") == 1
        found, expected = killed.collect(job_id), peaceful.collect(job_id)
        for name, value in expected.items():
            assert found[name] == value, f"{name} of job {job_id} differs"


def test_workers_killed_at_random_lose_nothing_and_do_nothing_twice(
    make_site: Callable[..., Site],
) -> None:
    killed, peaceful = make_site(), make_site()
    seed = int(os.environ.get("TENFOLD_SEED", str(time.time_ns() % 1_000_000)))
    print(f"{ROUNDS} kills, TENFOLD_SEED={seed}")  # noqa: T201 -- to repeat a failure
    draw = random.Random(seed)  # noqa: S311 -- no secret
    job_ids: list[int] = []
    for _ in range(ROUNDS):
        if len(job_ids) - sum(killed.read(job_id).status.is_ended for job_id in job_ids) < 2:
            job_ids.append(killed.submit(seed=len(job_ids)))
        with killed.worker(signal.SIGKILL):
            killed.watch(seconds=draw.uniform(0.1, 1.5))
        killed.check()
        killed.retry_poisoned(*job_ids)
    killed.finish(*job_ids)
    killed.check()

    for number in range(len(job_ids)):
        peaceful.submit(seed=number)
    peaceful.finish(*job_ids)
    compare(killed, peaceful, job_ids)
    assert sum(killed.read(job_id).attempt for job_id in job_ids) > len(job_ids)


@pytest.mark.parametrize("artifacts", ["database", "folder"])
@pytest.mark.parametrize(
    "recipe",
    [
        {"recipe": "tutorial", "epochs": 1, "batch_size": 4},
        {"recipe": "quick", "epochs": 2, "batch_size": 250},
    ],
    ids=lambda fields: fields["recipe"],
)
def test_a_run_killed_twice_in_one_epoch_equals_one_that_nobody_killed(
    make_site: Callable[..., Site], artifacts: str, recipe: dict[str, Any]
) -> None:
    killed, peaceful = make_site(artifacts), make_site(artifacts)
    job_id = killed.submit(**recipe)
    for attempt in (1, 2):
        with killed.worker(signal.SIGKILL):
            killed.wait(partial(has_begun_epoch, killed, job_id, attempt), 60)
        killed.check()
        killed.wait(lambda: killed.read(job_id).status is JobStatus.QUEUED, 60)
    killed.finish(job_id)
    killed.check()
    assert killed.read(job_id).attempt == 3
    assert killed.count_events(job_id, "resumed_from_checkpoint") == 2

    peaceful.submit(**recipe)
    peaceful.finish(job_id)
    compare(killed, peaceful, [job_id])


@pytest.mark.parametrize("artifacts", ["database", "folder"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_is_taken(
    make_site: Callable[..., Site], artifacts: str
) -> None:
    killed, peaceful = make_site(artifacts), make_site(artifacts)
    fields = {"epochs": 3, "batch_size": 16}
    job_id = killed.submit(**fields)
    with killed.worker(signal.SIGKILL):
        killed.wait(lambda: len(list_checkpoints(killed, job_id)) == 2, 60)
    newest, before = list_checkpoints(killed, job_id)
    damage(killed, newest.artifact_id)
    killed.wait(lambda: killed.read(job_id).status is JobStatus.QUEUED, 60)
    killed.finish(job_id)
    killed.check()
    with killed.database.reading() as session:
        told = {event.kind: event.data for event in events.list_page(session, job_id)}
    assert told["checkpoint_damaged"]["checkpoint"] == newest.id
    assert told["resumed_from_checkpoint"]["checkpoint"] == before.id

    peaceful.submit(**fields)
    peaceful.finish(job_id)
    compare(killed, peaceful, [job_id])


def damage(site: Site, artifact_id: str) -> None:
    """Flip one bit of the stored tensors."""
    if site.settings.artifacts_folder is None:
        with site.database.writing() as session:
            chunk = session.get_one(ArtifactChunk, (artifact_id, "training.safetensors", 0))
            chunk.data = flip(chunk.data)
    else:
        path = site.settings.artifacts_folder / artifact_id / "training.safetensors"
        path.write_bytes(flip(path.read_bytes()))


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def list_checkpoints(site: Site, job_id: int) -> list[Checkpoint]:
    with site.database.reading() as session:
        return checkpoints.list_newest_first(session, job_id)


def has_begun_epoch(site: Site, job_id: int, attempt: int) -> bool:
    """Tell whether this attempt has kept a state from within the first epoch."""
    kept = list_checkpoints(site, job_id)
    assert all(checkpoint.epoch == 0 for checkpoint in kept), "the epoch was over too soon"
    return bool(kept) and kept[0].attempt == attempt
