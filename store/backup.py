"""Copy the whole state (database, checkpoints, models) while jobs run; `restoration` puts it back.

A backup is a folder: `tenfold.db`, `artifacts/` where artifacts are files, and `backup.json`, which
is written last, with a checksum for everything. Data sets are not in it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import checkpoints, migrations
from store.artifacts import ArtifactStore, FolderArtifacts, open_store
from store.clock import utc_now
from store.database import Database
from store.durability import flush
from store.errors import DatabaseError, InvalidRequestError
from store.settings import Settings
from store.tables import Artifact, Checkpoint, Job, Model

FORMAT_VERSION = 1
DATABASE, ARTIFACTS, _ABOUT = "tenfold.db", "artifacts", "backup.json"


class Backup(BaseModel):
    """What `backup.json` says."""

    format_version: int
    created_at: datetime
    schema_revision: str | None
    jobs: int
    models: int
    files: dict[str, str]  # path in the backup, sha256


def back_up(database: Database, settings: Settings, folder: Path) -> Backup:
    """Write a backup to `folder`, which must not exist yet. All that was acknowledged is in it.

    Raises InvalidRequestError where the folder exists or the database is no file, DatabaseError
    where something cannot be read or written.
    """
    if not database.is_sqlite:
        raise InvalidRequestError("This database is no file: back it up with its own tool.")
    if folder.exists():
        raise InvalidRequestError(f"{folder} exists: name a new folder for the backup.")
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        backup = _fill(database, open_store(settings.artifacts_url), partial)
        partial.rename(folder)
        flush(folder.parent)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DatabaseError(
            f"The backup could not be written to {folder}: {error.strerror}. Choose a folder on a "
            "disk with enough room that this user may write to."
        ) from error
    return backup


def verify(folder: Path) -> Backup:
    """Return what a backup holds. Raises InvalidRequestError where it is incomplete or damaged."""
    try:
        backup = Backup.model_validate_json((folder / _ABOUT).read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidRequestError(
            f"{folder} is no complete backup: it has no readable {_ABOUT}. Choose the folder that "
            "a backup wrote."
        ) from error
    if backup.format_version != FORMAT_VERSION:
        raise InvalidRequestError(
            f"{folder} has format {backup.format_version}, this version of Tenfold reads "
            f"{FORMAT_VERSION}: restore it with the version that wrote it."
        )
    for name, expected in backup.files.items():
        path = folder / name
        if not path.is_file() or _checksum(path) != expected:
            raise InvalidRequestError(
                f"{path} is missing or damaged: its checksum differs. Choose another backup."
            )
    return backup


def _fill(database: Database, artifacts: ArtifactStore, folder: Path) -> Backup:
    if isinstance(artifacts, FolderArtifacts):
        # Ahead of the snapshot, because this takes long; what is new since then is little.
        with database.reading() as session:
            known = list(session.scalars(select(Artifact.id)))
        _copy_artifacts(artifacts.folder, folder / ARTIFACTS, known)
    database.copy_to(folder / DATABASE)
    copy = Database(f"sqlite:///{folder / DATABASE}")
    try:
        if isinstance(artifacts, FolderArtifacts):
            _complete_artifacts(copy, artifacts, folder / ARTIFACTS)
        with copy.reading() as session:
            job_count, model_count = (_count(session, table) for table in (Job, Model))
        revision = migrations.read_revision(copy)
        copy.fold_journal()
    finally:
        copy.dispose()
    return _describe(folder, job_count, model_count, revision)


def _copy_artifacts(source: Path, target: Path, artifact_ids: list[str]) -> set[str]:
    """Copy the artifacts that are not copied yet; return those that have gone meanwhile."""
    gone = set()
    target.mkdir(exist_ok=True)
    for artifact_id in artifact_ids:
        final = target / artifact_id
        if final.exists():
            continue
        aside = target / f"{artifact_id}.partial"
        try:
            shutil.copytree(source / artifact_id, aside)
            aside.rename(final)
        except (FileNotFoundError, shutil.Error):
            shutil.rmtree(aside, ignore_errors=True)
            if (source / artifact_id).exists():
                raise
            gone.add(artifact_id)
    return gone


def _complete_artifacts(copy: Database, artifacts: FolderArtifacts, target: Path) -> None:
    """Make files and rows agree: a checkpoint that was dropped since the snapshot is dropped."""
    with copy.writing() as session:
        ids = list(session.scalars(select(Artifact.id)))
        gone = _copy_artifacts(artifacts.folder, target, ids)
        copied = FolderArtifacts(target)
        _drop_gone(session, copied, gone)
        for orphan in copied.find_orphans(session):
            shutil.rmtree(target / orphan)


def _drop_gone(session: Session, copied: FolderArtifacts, gone: set[str]) -> None:
    for checkpoint in session.scalars(select(Checkpoint).where(Checkpoint.artifact_id.in_(gone))):
        checkpoints.discard(session, copied, checkpoint.id)
    for model in session.scalars(select(Model).where(Model.artifact_id.in_(gone))):
        session.delete(model)
        session.flush()
        copied.delete(session, model.artifact_id)


def _count(session: Session, table: type[Job | Model]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def _describe(folder: Path, job_count: int, model_count: int, revision: str | None) -> Backup:
    files = {str(path.relative_to(folder)): path for path in _walk(folder)}
    backup = Backup(
        format_version=FORMAT_VERSION,
        created_at=utc_now(),
        schema_revision=revision,
        jobs=job_count,
        models=model_count,
        files={name: _checksum(path) for name, path in files.items()},
    )
    for path in files.values():
        flush(path)
    with (folder / _ABOUT).open("x") as file:
        json.dump(backup.model_dump(mode="json"), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        flush(path)
    return backup


def _walk(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
