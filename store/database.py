"""The engine, and the two ways to use it: `reading()` and `writing()`.

Everything that is particular to one database system is in this file.
"""

import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DatabaseError as DriverError
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from store.errors import DatabaseError

BUSY_TIMEOUT_SECONDS = 30
# Of PostgreSQL's advisory locks, whose numbers all of a database's users share: "tenfold".
_WRITERS_LOCK = 0x74656E666F6C64
# 4 MiB of 4 KiB pages.
_PAGES_RECLAIMED_AT_ONCE = 1024
_INCREMENTAL = 2  # as `PRAGMA auto_vacuum` tells it
# What a write-ahead log that a slow reader made longer is cut back to.
_LOG_LIMIT_BYTES = 64 << 20

# A checkpoint of the write-ahead log that races a write can lose committed rows in every release
# before these: https://sqlite.org/wal.html#walresetbug
_WAL_FIXED_IN = (3, 51, 3)
_WAL_BACKPORTS = ((3, 44, 6), (3, 50, 7))

_ADVICE = {
    "database or disk is full": (
        "The disk is full, or the database is as large as TENFOLD_DATABASE_MAX_BYTES lets it be: "
        "free some space, or delete jobs and models, then try again."
    ),
    "readonly database": "The database file is read-only: give this user write access to it.",
    "unable to open database file": (
        "The database file cannot be opened: check that its folder exists and can be written to, "
        "and that not too many files are open."
    ),
    "database is locked": (
        f"Another process held the database for over {BUSY_TIMEOUT_SECONDS} s: try again."
    ),
    "lock timeout": (
        f"Another process held the database for over {BUSY_TIMEOUT_SECONDS} s: try again."
    ),
    "onnection refused": (
        "The database server does not answer: start it, or check TENFOLD_DATABASE_URL."
    ),
    "No space left": "The disk is full: free some space, then try again.",
    "malformed": "The database file is damaged: restore it from a backup.",
    "not a database": "The file is no SQLite database: point TENFOLD_DATABASE_URL elsewhere.",
    "disk I/O error": "The disk reported an error: check that it is not full, and its health.",
    "already exists": (
        "A table of that name already exists and is not Tenfold's: point TENFOLD_DATABASE_URL to "
        "an empty database."
    ),
    "no such table": "The database has not been migrated: run `make migrate`.",
}


def pick_sqlite_driver() -> ModuleType:
    """Return the DB-API module with the newest SQLite library: pysqlite3 or the interpreter's."""
    try:
        bundled = importlib.import_module("pysqlite3")
    except ImportError:
        return sqlite3
    newest: ModuleType = max(bundled, sqlite3, key=lambda driver: driver.sqlite_version_info)
    return newest


def choose_journal_mode(sqlite_version: tuple[int, ...]) -> str:
    """Return `wal` where that is safe with two processes, else `truncate` (slower, as safe)."""
    if sqlite_version >= _WAL_FIXED_IN:
        return "wal"
    is_backport = any(
        sqlite_version[:2] == fixed[:2] and sqlite_version >= fixed for fixed in _WAL_BACKPORTS
    )
    return "wal" if is_backport else "truncate"


class Database:
    """One database, by its SQLAlchemy URL. Safe to share between threads, not across a fork.

    With `max_bytes` an SQLite file grows no larger; what does not fit raises DatabaseError.
    """

    def __init__(self, url: str, *, max_bytes: int | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = (
            _create_sqlite_engine(url, max_bytes) if self.is_sqlite else _create_engine(url)
        )

    @property
    def path(self) -> Path | None:
        """The database file; None where the database is no file."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A snapshot: every query in the block sees the same state. Nothing is written."""
        with translated_errors(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: all of the block's writes happen, or none.

        Writers take turns: each waits at its start until it is the only one. On SQLite by
        `BEGIN IMMEDIATE`, because a read that turns into a write ignores the busy timeout.
        Raises DatabaseError, with what to do, when the database refuses.
        """
        writer = self.engine.execution_options(tenfold_writing=True)
        with (
            translated_errors(),
            Session(writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def reclaim_space(self) -> bool:
        """Give some of the file's unused pages back to the disk; True when more are left.

        A slice is short, so that it never keeps writers waiting. Only SQLite needs it.
        """
        if not self.is_sqlite:
            return False
        with self.writing() as session:
            unused: int = session.execute(text("PRAGMA freelist_count")).scalar_one()
            if not unused:
                return False
            # A row a page: SQLAlchemy would not step through them, because none has a column.
            cursor = session.connection().connection.cursor()
            cursor.execute(f"PRAGMA incremental_vacuum({_PAGES_RECLAIMED_AT_ONCE})")
            cursor.fetchall()
        # Only now does a write-ahead log shorten the file.
        self._run_alone("PRAGMA wal_checkpoint(PASSIVE)")
        return unused > _PAGES_RECLAIMED_AT_ONCE

    def measure_file_bytes(self) -> int | None:
        """Return the size of the file and its journal, None where the database is no file."""
        path = self.path
        if path is None:
            return None
        files = (path, *(path.with_name(path.name + end) for end in ("-wal", "-journal")))
        return sum(file.stat().st_size for file in files if file.exists())

    def measure_unused_bytes(self) -> int | None:
        """Return how much of the file `reclaim_space` can still give back."""
        if not self.is_sqlite:
            return None
        with self.reading() as session:
            pages: int = session.execute(text("PRAGMA freelist_count")).scalar_one()
            size: int = session.execute(text("PRAGMA page_size")).scalar_one()
        return pages * size

    def copy_to(self, path: Path) -> None:
        """Write one consistent state of the database to a new file while others go on."""
        self._run_alone("VACUUM INTO ?", str(path))

    def fold_journal(self) -> None:
        """Leave nothing beside the file, so that it can be moved; nobody else may use it."""
        self._run_alone("PRAGMA journal_mode = DELETE")

    def is_used_by_others(self) -> bool:
        """Tell whether another connection has the file open; a damaged one is of no use to any.

        Only a write-ahead log lets SQLite tell. The log is folded into the file, unless it is used.
        """
        alone = self.engine.execution_options(tenfold_alone=True)
        try:
            with translated_errors(), alone.connect() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout = 0")
                connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        except DatabaseError as error:
            return error.message == _ADVICE["database is locked"]
        return False

    def check_integrity(self) -> list[str]:
        """Return what is wrong with the file and with references between rows; [] is good."""
        if not self.is_sqlite:
            return []
        try:
            with self.reading() as session:
                pages = session.execute(text("PRAGMA integrity_check")).scalars().all()
                if faults := [str(line) for line in pages if line != "ok"]:
                    return faults
                orphans = session.execute(text("PRAGMA foreign_key_check")).all()
        except DatabaseError as error:
            return [error.message]
        return [f"A row of {row[0]} refers to a missing row of {row[2]}." for row in orphans]

    def dispose(self) -> None:
        self.engine.dispose()

    def _run_alone(self, statement: str, *parameters: str) -> None:
        """Run one statement outside of any transaction."""
        alone = self.engine.execution_options(tenfold_alone=True)
        with translated_errors(), alone.connect() as connection:
            connection.exec_driver_sql(statement, parameters)


class ChangeDetector:
    """Tells, without reading any table, whether another connection may have written.

    SQLite counts the commits of others per connection, so this holds one of its own. Elsewhere
    there is no such counter, and the answer is always yes. For one thread at a time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._seen: int | None = None

    def detect(self) -> bool:
        """Return True the first time, and whenever there was a commit since the last call."""
        if not self._database.is_sqlite:
            return True
        with translated_errors():
            if self._connection is None:
                self._connection = self._database.engine.connect()
            with self._connection.begin():
                version: int = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        has_changed = version != self._seen
        self._seen = version
        return has_changed

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _create_sqlite_engine(url: str, max_bytes: int | None) -> Engine:
    parsed = make_url(url)
    if not parsed.database or parsed.database == ":memory:":
        raise DatabaseError(
            "The database must be a file, because two processes share it: "
            "set TENFOLD_DATABASE_URL to sqlite:////folder/tenfold.db"
        )
    try:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"The database folder cannot be made: {error}") from error
    driver = pick_sqlite_driver()
    engine = create_engine(url, module=driver, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    journal_mode = choose_journal_mode(driver.sqlite_version_info)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions by itself: `begin` below decides which kind.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
        # Lets deletions give space back later. Takes effect on a new file only; on any other it
        # would wait for whoever writes.
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != journal_mode:
            connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        # An acknowledged job survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")
        if max_bytes is not None:
            page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("tenfold_alone", False):
            is_writing = options.get("tenfold_writing", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine


def _create_engine(url: str) -> Engine:
    """PostgreSQL, made to keep SQLite's promises: snapshots for readers, turns for writers."""
    engine = create_engine(url, isolation_level="REPEATABLE READ")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("tenfold_writing", False):
            return
        # Each statement sees what the writers before this one have committed.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")

    return engine


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise DatabaseError, with what to do, where the database's driver raises its own error."""
    try:
        yield
    except DriverError as error:
        advice = next((text for key, text in _ADVICE.items() if key in str(error.orig)), None)
        if advice is None and not isinstance(error, OperationalError):
            raise
        raise DatabaseError(advice or f"The database refused: {error.orig}") from error
