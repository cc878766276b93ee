"""Bring a database to the schema of this version; both processes do so when they start."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.database import Database, translated_errors
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
    with translated_errors(), database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> None:
    """Migrate to the newest revision. Two processes may call this at once: one waits.

    Raises DatabaseError when the database is newer than this version of Tenfold, or refuses.
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
    with translated_errors():
        command.upgrade(config, "head")


@cache
def _read_head() -> str | None:
    """Return the newest revision of this version; it cannot change while the process runs."""
    return ScriptDirectory(str(_FOLDER)).get_current_head()


def check_current(database: Database) -> str:
    """Return the revision that the database is at. Raises DatabaseError when it is not ours."""
    expected = _read_head()
    with database.reading() as session:
        found = MigrationContext.configure(session.connection()).get_current_revision()
    if found is None or found != expected:
        raise DatabaseError(
            f"The database is at schema {found}, this version of Tenfold needs {expected}: "
            "run `make migrate`, or start the version that made the database."
        )
    return found
