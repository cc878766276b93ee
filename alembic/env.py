"""How Alembic reaches the database: the caller's, or the one that the settings name."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from store.database import Database
from store.settings import Settings
from store.tables import Base, UtcDateTime


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write plain types into migrations, which must not change when the code does."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def migrate_online() -> None:
    """Run all steps in one transaction: a migration that fails leaves the schema as it was."""
    database = context.config.attributes.get("database") or Database(
        Settings().resolved_database_url
    )
    # A writing connection takes the writers' lock before Alembic reads the revision: of two
    # processes that migrate at once the second waits, and then finds nothing left to do.
    with database.engine.connect().execution_options(tenfold_writing=True) as connection:
        if database.is_sqlite:
            suspend_foreign_keys(connection)
        with connection.begin():
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                transactional_ddl=True,
                render_as_batch=True,
                render_item=render_item,
            )
            context.run_migrations()
            if database.is_sqlite:
                check_foreign_keys(connection)


def suspend_foreign_keys(connection: Connection) -> None:
    """Let a table be rebuilt, which SQLite does by dropping it, without cascading deletes.

    The pragma has no effect inside a transaction, hence the driver's connection; which is
    closed after the migration instead of going back to the pool.
    """
    connection.detach()
    driver = connection.connection.dbapi_connection
    if driver is not None:
        driver.cursor().execute("PRAGMA foreign_keys = OFF")


def check_foreign_keys(connection: Connection) -> None:
    """Raise RuntimeError, which rolls the migration back, when a row lost its parent."""
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if orphans:
        message = f"The migration left {len(orphans)} rows without their parent: {orphans[:5]}"
        raise RuntimeError(message)


def print_sql() -> None:
    """Print the SQL of a migration instead of running it (`alembic upgrade head --sql`)."""
    context.configure(
        url=Settings().resolved_database_url,
        target_metadata=Base.metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
else:
    migrate_online()
