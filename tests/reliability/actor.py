"""A process that writes to a data folder and may be hit by a fault at any of its system calls.

`python -m tests.reliability.actor` reads `<scenario> <folder> <artifacts url>` lines. For each it
forks a child and prints its process id, so that somebody can attach to it; on the next line the
child begins, and once it has ended the actor prints how. Forking saves the imports: a round takes
milliseconds, so that every system call can be tried.
"""

import ctypes
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from store import checkpoints, jobs, migrations, models
from store.artifacts import ArtifactStore, open_store
from store.database import Database
from store.errors import TenfoldError
from store.jobs import Claim
from store.specs import JobRequest, TrainingSpec
from store.tables import Job

DONE, REFUSED, BROKEN = 0, 3, 4
NOBODY = 65534
MANIFEST = {"metrics": {"accuracy": 0.5}}
STATE = {"training.json": b"{}" * 20, "training.safetensors": b"tensors" * 1000}
MODEL = {"model.onnx": b"network" * 1000, "manifest.json": b"{}", "report.json": b"[]" * 50}

_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = -1


def prepare(folder: Path, artifacts_url: str) -> None:
    """A failed job with a checkpoint, and a running one with as many as are kept."""
    database = Database(f"sqlite:///{folder / 'tenfold.db'}")
    artifacts = open_store(artifacts_url)
    migrations.upgrade(database)
    with database.writing() as session:
        for _ in range(2):
            jobs.submit(session, JobRequest(dataset="shapes"))
        failed, running = jobs.claim(session, "worker-1"), jobs.claim(session, "worker-2")
        assert failed is not None
        assert running is not None
        jobs.add_checkpoint(session, artifacts, failed, STATE, epoch=0, step=1)
        jobs.fail(session, failed, {"code": "x", "message": "y", "traceback": None})
        for step in (1, 2):
            jobs.add_checkpoint(session, artifacts, running, STATE, epoch=0, step=step)
    database.dispose()


def migrate(database: Database, _artifacts: ArtifactStore) -> None:
    migrations.upgrade(database)


def submit(database: Database, _artifacts: ArtifactStore) -> None:
    with database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes"), idempotency_key="once")


def save_checkpoint(database: Database, artifacts: ArtifactStore) -> None:
    claim = find_claim(database)
    with database.reading() as session:
        newest = checkpoints.list_newest_first(session, claim.job_id)[0].step
    with database.writing() as session:
        jobs.add_checkpoint(session, artifacts, claim, STATE, epoch=0, step=newest + 1)


def publish(database: Database, artifacts: ArtifactStore) -> None:
    """What ends a job that succeeded, as the worker does it."""
    claim = find_claim(database)
    with database.writing() as session:
        jobs.succeed(session, claim, None)
        models.publish(session, artifacts, claim, MODEL, MANIFEST)
        checkpoints.prune(session, claim.job_id, artifacts, kept=1)


def delete(database: Database, artifacts: ArtifactStore) -> None:
    with database.writing() as session:
        jobs.delete(session, 1, artifacts)
    while database.reclaim_space():
        pass


def find_claim(database: Database) -> Claim:
    with database.reading() as session:
        job = session.get_one(Job, 2)
    return Claim(
        job_id=job.id,
        attempt=job.attempt,
        worker_id="worker-2",
        spec=TrainingSpec.model_validate(job.spec),
        model_name=job.model_name,
        run_seconds=0.0,
        max_run_seconds=None,
    )


SCENARIOS: dict[str, Callable[[Database, ArtifactStore], None]] = {
    scenario.__name__: scenario for scenario in (migrate, submit, save_checkpoint, publish, delete)
}


def act(scenario: str, folder: Path, artifacts_url: str) -> int:
    """Run the scenario and return how it ended; a refusal leaves its sentence in a file."""
    database = Database(f"sqlite:///{folder / 'tenfold.db'}")
    try:
        SCENARIOS[scenario](database, open_store(artifacts_url))
    except TenfoldError as error:
        (folder / "refusal.txt").write_text(error.message)
        return REFUSED
    except BaseException:  # noqa: BLE001 -- the test shows it
        (folder / "refusal.txt").write_text(traceback.format_exc())
        return BROKEN
    finally:
        database.dispose()
    return DONE


def fork(line: str) -> tuple[int, int]:
    """Return the child's process id, and the pipe that it waits for a byte on."""
    scenario, folder, artifacts_url = line.split()
    listen, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        if scenario.startswith("unprivileged_") and os.getuid() == 0:
            os.setuid(NOBODY)  # root may write to everything
        # Where only ancestors may attach, the tracer is our parent's sibling.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0)
        os.read(listen, 1)
        os._exit(act(scenario.removeprefix("unprivileged_"), Path(folder), artifacts_url))
    os.close(listen)
    return pid, tell


def main() -> None:
    while line := sys.stdin.readline():
        pid, tell = fork(line)
        say(pid)
        sys.stdin.readline()
        os.write(tell, b"!")
        os.close(tell)
        _, status = os.waitpid(pid, 0)
        say(os.waitstatus_to_exitcode(status))


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
