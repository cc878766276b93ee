"""How much is stored, and how much room is left."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.database import Database
from store.settings import Settings
from store.tables import Artifact, Checkpoint, Model


@dataclass(frozen=True)
class Storage:
    """Sizes in bytes."""

    database_bytes: int | None  # the file and its journal; None where the database is no file
    database_max_bytes: int | None  # None where only the disk limits it
    unused_bytes: int | None  # of the database file: deleted, not yet given back to the disk
    checkpoints_bytes: int
    models_bytes: int
    free_bytes: int  # on the disk of the data folder
    artifacts_free_bytes: int  # on the disk of the artifacts


def measure(database: Database, settings: Settings) -> Storage:
    """Return the sizes as they are now."""
    with database.reading() as session:
        checkpoints_bytes, models_bytes = (
            _sum_bytes(session, Checkpoint),
            _sum_bytes(session, Model),
        )
    return Storage(
        database_bytes=database.measure_file_bytes(),
        database_max_bytes=settings.database_max_bytes if database.is_sqlite else None,
        unused_bytes=database.measure_unused_bytes(),
        checkpoints_bytes=checkpoints_bytes,
        models_bytes=models_bytes,
        free_bytes=_measure_free_bytes(settings.data),
        artifacts_free_bytes=_measure_free_bytes(settings.artifacts_folder or settings.data),
    )


def _sum_bytes(session: Session, owner: type[Checkpoint | Model]) -> int:
    query = select(func.sum(Artifact.size_bytes)).join(owner, owner.artifact_id == Artifact.id)
    return session.scalar(query) or 0


def _measure_free_bytes(folder: Path) -> int:
    """Return the room on the disk where the folder is, or will be once it is made."""
    path = folder.resolve()
    existing = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(existing).free
