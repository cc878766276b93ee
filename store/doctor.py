"""Examine an installation and say what to do: one finding for each thing that was looked at."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import checkpoints, invariants, migrations, storage, workers
from store.artifacts import ArtifactStore, open_store
from store.database import Database, choose_journal_mode, pick_sqlite_driver
from store.errors import ArtifactError, TenfoldError
from store.settings import Settings
from store.tables import Artifact, Checkpoint, Model

LITTLE_SPACE_BYTES = 1 << 30
_NEARLY_FULL = 0.9

Verdict = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Finding:
    """What was found about one thing, and what to do unless it is good."""

    subject: str
    verdict: Verdict
    text: str


class Doctor:
    """Looks at everything; with `mend` it also removes what is safe to remove."""

    def __init__(self, settings: Settings, *, mend: bool = False) -> None:
        self.settings = settings
        self.database = Database(
            settings.resolved_database_url, max_bytes=settings.database_max_bytes
        )
        self.artifacts: ArtifactStore = open_store(settings.artifacts_url)
        self._mend = mend

    def examine(self) -> Iterator[Finding]:
        """Yield a finding for each thing, as soon as it was looked at."""
        for subject, look in self._examinations().items():
            try:
                yield from look()
            except TenfoldError as error:
                yield Finding(subject, "bad", error.message)
            except OSError as error:
                yield Finding(subject, "bad", f"{error}: give this user access, then look again.")

    def close(self) -> None:
        self.database.dispose()

    def _examinations(self) -> dict[str, Callable[[], Iterator[Finding]]]:
        always: dict[str, Callable[[], Iterator[Finding]]] = {
            "SQLite": self._look_at_library,
            "data folder": self._look_at_folder,
            "GPU": self._look_at_gpu,
        }
        path = self.database.path
        if path is not None and not path.exists():
            return always | {"database": self._tell_that_there_is_none}
        return always | {
            "database": self._look_at_database,
            "schema": self._look_at_schema,
            "rows": self._look_at_rows,
            "artifacts": self._look_at_artifacts,
            "orphans": self._look_for_orphans,
            "storage": self._look_at_storage,
            "workers": self._look_at_workers,
        }

    def _look_at_library(self) -> Iterator[Finding]:
        if not self.database.is_sqlite:
            yield Finding("SQLite", "good", f"not used: {self.database.url.get_backend_name()}")
            return
        driver = pick_sqlite_driver()
        mode = choose_journal_mode(driver.sqlite_version_info)
        if mode == "wal":
            yield Finding("SQLite", "good", f"{driver.sqlite_version}, write-ahead log")
        else:
            yield Finding(
                "SQLite",
                "warning",
                f"{driver.sqlite_version} can lose writes with a write-ahead log, so the slower "
                f"{mode} journal is used: install pysqlite3, or a Python with SQLite 3.51.3.",
            )

    def _look_at_folder(self) -> Iterator[Finding]:
        folder = self.settings.data.resolve()
        if not folder.exists():
            yield Finding("data folder", "good", f"{folder} will be made at the first start")
        elif os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Finding("data folder", "good", str(folder))
        else:
            text = f"{folder} cannot be written to: give this user (uid {os.getuid()}) access."
            yield Finding("data folder", "bad", text)

    def _look_at_gpu(self) -> Iterator[Finding]:
        """`store` knows no CUDA, so the driver's own tool is asked."""
        tool = shutil.which("nvidia-smi")
        if tool is None:
            text = "none that NVIDIA's driver shows: training runs on the CPU"
            yield Finding("GPU", "good", text)
            return
        query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 -- fixed
        except subprocess.TimeoutExpired:
            yield Finding("GPU", "bad", "nvidia-smi does not answer: restart the machine.")
            return
        if done.returncode == 0:
            yield Finding("GPU", "good", "; ".join(done.stdout.strip().splitlines()))
        else:
            text = f"the driver fails ({done.stdout.strip()}): install it again, or restart."
            yield Finding("GPU", "bad", text)

    def _tell_that_there_is_none(self) -> Iterator[Finding]:
        path = self.database.path
        if path is not None and (left := sorted(path.parent.glob(f"{path.name}.replaced-*"))):
            text = f"a restore was interrupted: restore the backup again, or move {left[-1]} back."
            yield Finding("database", "bad", f"{path} is not there; {text}")
        else:
            yield Finding("database", "good", f"{path} will be made at the first start")

    def _look_at_database(self) -> Iterator[Finding]:
        faults = self.database.check_integrity()
        if faults:
            advice = "Stop the API and the worker, then restore a backup."
            yield Finding("database", "bad", f"{'; '.join(faults[:5])} {advice}")
        else:
            yield Finding("database", "good", f"{self.database.url.database} is whole")

    def _look_at_schema(self) -> Iterator[Finding]:
        yield Finding("schema", "good", f"revision {migrations.check_current(self.database)}")

    def _look_at_rows(self) -> Iterator[Finding]:
        with self.database.reading() as session:
            faults = invariants.check(session)
        if not faults:
            yield Finding("rows", "good", "all invariants hold")
        for fault in faults:
            yield Finding("rows", "bad", f"{fault} Please report this, with the job's events.")

    def _look_at_artifacts(self) -> Iterator[Finding]:
        """Read every stored byte and compare the checksums."""
        with self.database.reading() as session:
            ids = list(session.scalars(select(Artifact.id)))
        damaged = 0
        for artifact_id in ids:
            # A snapshot each, so that a long look does not keep the journal from being folded.
            with self.database.reading() as session:
                error = self._find_damage(session, artifact_id)
                if error is not None:
                    damaged += 1
                    yield Finding("artifacts", "bad", f"{_name(session, artifact_id)}: {error}")
        if not damaged:
            yield Finding("artifacts", "good", f"{len(ids)}, each as its checksums say")

    def _find_damage(self, session: Session, artifact_id: str) -> str | None:
        if session.get(Artifact, artifact_id) is None:
            return None  # deleted meanwhile
        try:
            for file in self.artifacts.list_files(session, artifact_id):
                for _ in self.artifacts.stream(session, artifact_id, file.name):
                    pass
        except ArtifactError as error:
            return error.message
        return None

    def _look_for_orphans(self) -> Iterator[Finding]:
        with self.database.writing() as session:
            if self._mend:
                removed = self.artifacts.remove_orphans(session)
                yield Finding("orphans", "good", f"{len(removed)} removed")
                return
            orphans = self.artifacts.find_orphans(session)
        if orphans:
            text = (
                f"{len(orphans)} folders of {self.settings.artifacts_folder} belong to nothing, "
                "which a crash may leave: a worker removes them when it starts; so does --mend."
            )
            yield Finding("orphans", "warning", text)
        else:
            yield Finding("orphans", "good", "none")

    def _look_at_storage(self) -> Iterator[Finding]:
        if self._mend:
            while self.database.reclaim_space():
                pass
        sizes = storage.measure(self.database, self.settings)
        used = sizes.checkpoints_bytes + sizes.models_bytes
        text = f"{_mb(used)} of checkpoints and models, {_mb(sizes.unused_bytes or 0)} to give back"
        yield Finding("storage", "good", text)
        yield from _judge_growth(sizes)
        free = min(sizes.free_bytes, sizes.artifacts_free_bytes)
        if free < LITTLE_SPACE_BYTES:
            text = f"{_mb(free)} left: delete jobs and models that you do not need, or files."
            yield Finding("disk", "warning", text)
        else:
            yield Finding("disk", "good", f"{_mb(free)} left")

    def _look_at_workers(self) -> Iterator[Finding]:
        interval = self.settings.heartbeat_interval_seconds
        with self.database.reading() as session:
            alive = [f"{w.id} on {w.device}" for w in workers.list_alive(session, interval)]
        if alive:
            yield Finding("workers", "good", "; ".join(alive))
        else:
            text = "none is alive: start one with `python -m worker`, or all with `tenfold up`."
            yield Finding("workers", "warning", text)


def _judge_growth(sizes: storage.Storage) -> Iterator[Finding]:
    """Compare the database with the size that it may have."""
    used, limit = (sizes.database_bytes or 0) - (sizes.unused_bytes or 0), sizes.database_max_bytes
    if limit is None:
        return
    text = f"{_mb(used)} of the {_mb(limit)} that TENFOLD_DATABASE_MAX_BYTES allows"
    if used < _NEARLY_FULL * limit:
        yield Finding("growth", "good", text)
    else:
        yield Finding("growth", "warning", f"{text}: delete jobs and models, or allow more.")


def _name(session: Session, artifact_id: str) -> str:
    """Return what the artifact belongs to, in words."""
    model = session.scalar(select(Model).where(Model.artifact_id == artifact_id))
    if model is not None:
        return f"model {model.name}@{model.version}"
    checkpoint = session.scalar(select(Checkpoint).where(Checkpoint.artifact_id == artifact_id))
    if checkpoint is None:
        return f"artifact {artifact_id}"
    known = checkpoints.list_newest_first(session, checkpoint.job_id)
    rest = "its job goes on from an older one" if len(known) > 1 else "its job begins anew"
    return f"checkpoint {checkpoint.id} of job {checkpoint.job_id} ({rest})"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
