"""Bring a database to the schema of this version; both processes do so when they start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.database import Database
from store.errors import DatabaseError

_FOLDER = Path(__file__).resolve().parent.parent / "alembic"


def configure(database: Database) -> Config:
    """Return Alembic's configuration for one database."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["database"] = database
    return config


def read_revision(database: Database) -> str | None:
    """Return the revision that the database is at, or None when it is empty."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> None:
    """Migrate to the newest revision. Two processes may call this at once: one waits.

    Raises DatabaseError when the database is newer than this version of Tenfold.
    """
    config = configure(database)
    scripts = ScriptDirectory.from_config(config)
    current = read_revision(database)
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
        raise DatabaseError(
            f"The database is at schema {current}, which this version of Tenfold does not know: "
            "start the newer version that made it, or restore an older backup."
        )
    command.upgrade(config, "head")
