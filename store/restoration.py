"""Put a backup back: all is prepared beside the state, and the end is a few renames."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from store import jobs, migrations, workers
from store.backup import ARTIFACTS, DATABASE, Backup, verify
from store.clock import utc_now
from store.database import Database
from store.durability import flush
from store.errors import ConflictError, DatabaseError, InvalidRequestError
from store.settings import Settings

# A journal that stayed behind would be played into the restored file.
_DATABASE_ENDS = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True)
class _Place:
    """Where a backup is put back; without `artifacts` all is in the database."""

    database: Path
    artifacts: Path | None

    def find_in_the_way(self) -> dict[Path, Path]:
        """Return what is there already, and where it can be moved to."""
        end = f".replaced-{utc_now():%Y%m%d-%H%M%S}"
        name = self.database.name
        moves = {
            self.database.with_name(name + part): self.database.with_name(name + end + part)
            for part in _DATABASE_ENDS
        }
        found = {source: target for source, target in moves.items() if source.exists()}
        folder = self.artifacts
        if folder is not None and folder.is_dir() and any(folder.iterdir()):
            found[folder] = folder.with_name(folder.name + end)
        return found


def restore(
    settings: Settings, folder: Path, *, replace: bool = False
) -> tuple[Backup, list[Path]]:
    """Restore the backup in `folder`; return what it holds, and where the state before is now.

    With `replace` what is in the way is moved aside, never deleted.
    Raises InvalidRequestError where `folder` holds no whole backup or the settings keep the state
    in another way, ConflictError where a database or artifacts are in the way or in use.
    """
    backup = verify(folder)
    place = _find_place(folder, settings)
    in_the_way = place.find_in_the_way()
    if in_the_way and not replace:
        names = ", ".join(str(path) for path in in_the_way)
        raise ConflictError(
            f"Nothing is overwritten, and {names} is there already. Stop the API and the worker, "
            "then move it away, or restore again with --replace, which does so.",
            code="restore_refused",
        )
    _check_unused(place)
    try:
        _stage(folder, place)
        # Looked for again: a look at the old database folds its journal.
        kept = _swap(place, place.find_in_the_way())
    except OSError as error:
        raise DatabaseError(
            f"The backup could not be restored: {error}. Free some space, or give this user write "
            "access to the data folder and to that of the artifacts, then try again."
        ) from error
    return backup, kept


def _find_place(folder: Path, settings: Settings) -> _Place:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise InvalidRequestError("This database is no file: restore it with its own tool.")
    keeps_files = (folder / ARTIFACTS).is_dir()
    if keeps_files and settings.artifacts_folder is None:
        raise InvalidRequestError(
            "The backup keeps artifacts as files: set TENFOLD_ARTIFACTS_URL to file:///folder, "
            "then restore again."
        )
    if not keeps_files and settings.artifacts_folder is not None:
        raise InvalidRequestError(
            "The backup keeps artifacts in the database: set TENFOLD_ARTIFACTS_URL to database:, "
            "then restore again."
        )
    return _Place(Path(url.database), settings.artifacts_folder)


def _check_unused(place: _Place) -> None:
    if not place.database.exists():
        return
    database = Database(f"sqlite:///{place.database}")
    try:
        is_used = database.is_used_by_others()
    finally:
        database.dispose()
    if is_used:
        raise ConflictError(
            f"{place.database} is in use: stop the API and the worker, then restore again.",
            code="restore_refused",
        )


def _stage(folder: Path, place: _Place) -> None:
    """Copy everything to names of its own, ready for use."""
    staged = _aside(place.database)
    for end in _DATABASE_ENDS:
        staged.with_name(staged.name + end).unlink(missing_ok=True)
    staged.parent.mkdir(parents=True, exist_ok=True)
    if place.artifacts is not None:
        artifacts = _aside(place.artifacts)
        shutil.rmtree(artifacts, ignore_errors=True)
        shutil.copytree(folder / ARTIFACTS, artifacts)
        for copied in (artifacts, *artifacts.rglob("*")):
            flush(copied)
    shutil.copyfile(folder / DATABASE, staged)
    _take_over(staged)
    flush(staged)


def _take_over(staged: Path) -> None:
    """Bring the copy to this version's schema; the workers of its time have no part in it."""
    database = Database(f"sqlite:///{staged}")
    try:
        migrations.upgrade(database)
        with database.writing() as session:
            jobs.requeue_restored(session)
            workers.retire_all(session)
        database.fold_journal()
    finally:
        database.dispose()


def _swap(place: _Place, in_the_way: Mapping[Path, Path]) -> list[Path]:
    """Put what was staged in its place, or leave all as it was.

    The database last: one that announces artifacts that are not there must never be seen.
    """
    moves = dict(in_the_way)
    if place.artifacts is not None:
        moves[_aside(place.artifacts)] = place.artifacts
    moves[_aside(place.database)] = place.database
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves.items():
            source.rename(target)
            done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.rename(source)
        raise
    for folder in {target.parent for target in moves.values()}:
        flush(folder)
    return list(in_the_way.values())


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")
