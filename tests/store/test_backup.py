"""A backup holds everything that was acknowledged, and comes back whole."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from store import backup, checkpoints, jobs, migrations, models, restoration
from store.artifacts import ArtifactStore, open_store
from store.database import Database
from store.errors import ConflictError, InvalidRequestError, TenfoldError
from store.settings import Settings
from store.specs import JobRequest
from store.tables import Job, JobStatus
from tests.soundness import assert_sound

MANIFEST = {"metrics": {"accuracy": 0.5}}


@pytest.fixture(params=["database", "folder"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "live", request.param)


def make_settings(data: Path, place: str) -> Settings:
    url = "database:" if place == "database" else f"file://{data / 'artifacts'}"
    return Settings(_env_file=None, data=data, artifacts_url=url)


def open_all(settings: Settings) -> tuple[Database, ArtifactStore]:
    database = Database(settings.resolved_database_url)
    migrations.upgrade(database)
    return database, open_store(settings.artifacts_url)


def fill(settings: Settings) -> None:
    """One job that succeeded, one that runs, one that waits; checkpoints and a model."""
    database, artifacts = open_all(settings)
    with database.writing() as session:
        for _ in range(3):
            jobs.submit(session, JobRequest(dataset="shapes"))
        done = jobs.claim(session, "worker-1")
        assert done is not None
        jobs.succeed(session, done, None)
        models.publish(session, artifacts, done, {"model.onnx": b"m" * 2_000_000}, MANIFEST)
        running = jobs.claim(session, "worker-1")
        assert running is not None
        for step in (1, 2):
            state = {"state": bytes([step]) * 100}
            jobs.add_checkpoint(session, artifacts, running, state, epoch=0, step=step)
    database.dispose()


def back_up(settings: Settings, folder: Path) -> backup.Backup:
    database = Database(settings.resolved_database_url)
    try:
        return backup.back_up(database, settings, folder)
    finally:
        database.dispose()


def find_place(settings: Settings) -> str:
    return "database" if settings.artifacts_folder is None else "folder"


def test_a_restored_backup_has_everything_and_its_jobs_go_on(
    settings: Settings, tmp_path: Path
) -> None:
    fill(settings)
    made = back_up(settings, tmp_path / "backup")
    assert (made.jobs, made.models) == (3, 1)

    restored = make_settings(tmp_path / "restored", find_place(settings))
    restoration.restore(restored, tmp_path / "backup")
    database, artifacts = open_all(restored)
    assert_sound(database, artifacts)
    with database.writing() as session:
        assert [job.status for job in jobs.list_page(session)] == [
            JobStatus.QUEUED,
            JobStatus.QUEUED,
            JobStatus.SUCCEEDED,
        ]
        model = models.resolve(session, "shapes-tutorial")
        assert artifacts.read(session, model.artifact_id, "model.onnx") == b"m" * 2_000_000
        claim = jobs.claim(session, "worker-2")
        assert claim is not None
        newest = checkpoints.list_newest_first(session, claim.job_id)[0]
        assert artifacts.read(session, newest.artifact_id, "state") == b"\2" * 100
        assert session.get_one(Job, claim.job_id).crashes == 0
    database.dispose()


def test_a_backup_under_load_has_every_row_that_was_acknowledged_before(
    settings: Settings, tmp_path: Path
) -> None:
    fill(settings)
    stop = Event()
    acknowledged: list[int] = []

    def submit() -> None:
        database = Database(settings.resolved_database_url)
        while not stop.is_set():
            with database.writing() as session:
                job_id = jobs.submit(session, JobRequest(dataset="shapes"))[0].id
            acknowledged.append(job_id)
        database.dispose()

    def save_checkpoints() -> None:
        database, artifacts = open_all(settings)
        with database.writing() as session:
            claim = jobs.claim(session, "worker-2")
        assert claim is not None
        step = 0
        while not stop.is_set():
            step += 1
            state = {"state": b"s" * 50_000}
            with database.writing() as session:
                jobs.add_checkpoint(session, artifacts, claim, state, epoch=0, step=step)
        database.dispose()

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(submit), pool.submit(submit), pool.submit(save_checkpoints)]
        try:
            for round_ in range(5):
                before = list(acknowledged)
                back_up(settings, tmp_path / f"backup-{round_}")
                restored = make_settings(tmp_path / f"restored-{round_}", find_place(settings))
                restoration.restore(restored, tmp_path / f"backup-{round_}")
                database, artifacts = open_all(restored)
                assert_sound(database, artifacts)
                with database.reading() as session:
                    found = {job.id for job in session.query(Job)}
                database.dispose()
                assert set(before) <= found
        finally:
            stop.set()
        for writer in writers:
            writer.result()
    assert len(acknowledged) > 5


def test_a_damaged_or_incomplete_backup_is_refused(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    back_up(settings, tmp_path / "backup")
    files = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    restored = make_settings(tmp_path / "restored", find_place(settings))
    for path in files:
        content = path.read_bytes()
        for damage in (content[:-1], None):
            path.unlink() if damage is None else path.write_bytes(damage)
            with pytest.raises(InvalidRequestError):
                restoration.restore(restored, tmp_path / "backup")
            path.write_bytes(content)
    assert not restored.data.exists() or not list(restored.data.iterdir())
    restoration.restore(restored, tmp_path / "backup")


def test_a_restore_overwrites_nothing(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    back_up(settings, tmp_path / "backup")
    before = read_all(settings.data)
    with pytest.raises(ConflictError, match=r"tenfold\.db.* is there already.*--replace"):
        restoration.restore(settings, tmp_path / "backup")
    assert read_all(settings.data) == before


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_restore_that_is_told_to_replaces_the_state_and_keeps_the_old_one(
    settings: Settings, tmp_path: Path
) -> None:
    fill(settings)
    back_up(settings, tmp_path / "backup")
    database, artifacts = open_all(settings)
    with database.writing() as session:
        later = jobs.submit(session, JobRequest(dataset="shapes"))[0].id
    database.dispose()
    _, kept = restoration.restore(settings, tmp_path / "backup", replace=True)
    database, artifacts = open_all(settings)
    assert_sound(database, artifacts)
    with database.reading() as session:
        assert later not in {job.id for job in jobs.list_page(session)}
    database.dispose()
    names = {path.name.split(".replaced-")[0] for path in kept}
    assert names == {"tenfold.db"} | ({"artifacts"} if settings.artifacts_folder else set())

    old = next(path for path in kept if path.suffix != "" and path.is_file())
    database = Database(f"sqlite:///{old}")
    with database.reading() as session:
        assert later in {job.id for job in jobs.list_page(session)}
    database.dispose()


def test_a_state_in_use_is_never_replaced(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    back_up(settings, tmp_path / "backup")
    database, _ = open_all(settings)
    with pytest.raises(ConflictError, match="in use: stop the API and the worker"):
        restoration.restore(settings, tmp_path / "backup", replace=True)
    database.dispose()
    restoration.restore(settings, tmp_path / "backup", replace=True)


def test_a_restore_that_cannot_end_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "live", "folder")
    fill(settings)
    back_up(settings, tmp_path / "backup")
    assert settings.artifacts_folder is not None
    (tmp_path / "file").touch()
    for url in ("file:///proc/artifacts", f"file://{tmp_path / 'file'}"):
        elsewhere = settings.model_copy(update={"artifacts_url": url})
        with pytest.raises(TenfoldError, match="could not be restored"):
            restoration.restore(elsewhere, tmp_path / "backup", replace=True)
        database, artifacts = open_all(settings)
        assert_sound(database, artifacts)
        database.dispose()


def test_a_backup_overwrites_nothing(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    with pytest.raises(InvalidRequestError, match="exists"):
        back_up(settings, tmp_path)


def test_a_backup_of_the_other_artifact_store_says_which_setting_to_change(
    settings: Settings, tmp_path: Path
) -> None:
    fill(settings)
    back_up(settings, tmp_path / "backup")
    other = "folder" if find_place(settings) == "database" else "database"
    with pytest.raises(TenfoldError, match="TENFOLD_ARTIFACTS_URL"):
        restoration.restore(make_settings(tmp_path / "restored", other), tmp_path / "backup")


def test_the_command_line_backs_up_and_restores(settings: Settings, tmp_path: Path) -> None:
    fill(settings)

    def run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        url = make_settings(data, find_place(settings)).artifacts_url
        return subprocess.run(
            [sys.executable, "-m", "store", *arguments],
            env={"TENFOLD_DATA": str(data), "TENFOLD_ARTIFACTS_URL": url, "PATH": "/usr/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    made = run(settings.data, "backup", str(tmp_path / "backup"))
    assert (made.returncode, made.stderr) == (0, "")
    assert "3 jobs and 1 models" in made.stdout
    restored = run(tmp_path / "restored", "restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    refused = run(tmp_path / "restored", "restore", str(tmp_path / "backup"))
    assert refused.returncode == 4
    assert "Nothing is overwritten" in refused.stderr
    assert "Traceback" not in refused.stderr
    nothing = run(tmp_path / "empty", "backup", str(tmp_path / "other"), "--json")
    assert nothing.returncode == 4
    assert "nothing to back up" in json.loads(nothing.stderr)["message"]
