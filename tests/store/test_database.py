"""The two kinds of transaction, and what happens when the database refuses."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from store import jobs, migrations
from store.artifacts import open_store
from store.database import Database, choose_journal_mode
from store.errors import DatabaseError
from store.specs import JobRequest
from tests.databases import about_sqlite
from tests.soundness import assert_sound


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "truncate"),
        ((3, 44, 5), "truncate"),
        ((3, 44, 6), "wal"),
        ((3, 45, 0), "truncate"),
        ((3, 50, 6), "truncate"),
        ((3, 50, 7), "wal"),
        ((3, 51, 2), "truncate"),
        ((3, 51, 3), "wal"),
        ((4, 0, 0), "wal"),
    ],
)
def test_the_write_ahead_log_is_used_only_where_it_is_safe(
    version: tuple[int, ...], mode: str
) -> None:
    assert choose_journal_mode(version) == mode


@about_sqlite
def test_a_connection_is_durable_and_checks_foreign_keys(database: Database) -> None:
    with database.reading() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("synchronous", "foreign_keys", "auto_vacuum", "busy_timeout")
        }
    assert pragmas == {
        "synchronous": 2,
        "foreign_keys": 1,
        "auto_vacuum": 2,
        "busy_timeout": 30_000,
    }


def test_a_write_waits_for_another_instead_of_failing(database: Database) -> None:
    def write(_: int) -> None:
        with database.writing() as session:
            jobs.submit(session, JobRequest(dataset="shapes"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(64)))
    with database.reading() as session:
        assert len(jobs.list_page(session, limit=100)) == 64


def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    with database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes"))
    with database.reading() as reader:
        before = len(jobs.list_page(reader))
        with database.writing() as writer:
            jobs.submit(writer, JobRequest(dataset="shapes"))
        assert len(jobs.list_page(reader)) == before
    with database.reading() as reader:
        assert len(jobs.list_page(reader)) == before + 1


def test_a_database_in_memory_is_refused_because_two_processes_share_it() -> None:
    with pytest.raises(DatabaseError, match="must be a file"):
        Database("sqlite://")


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "tenfold.db"
    path.write_bytes(b"this is a text file, not a database" * 100)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseError, match="no SQLite database"), database.reading() as session:
        session.execute(text("SELECT 1 FROM jobs"))


def test_an_empty_database_says_that_it_must_be_migrated(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'tenfold.db'}")
    with pytest.raises(DatabaseError, match="make migrate"), database.reading() as session:
        jobs.get(session, 1)


@about_sqlite
def test_a_full_database_says_that_the_disk_is_full(database: Database) -> None:
    with pytest.raises(DatabaseError, match="disk is full"), database.writing() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar()
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
        session.execute(text("CREATE TABLE big (data BLOB)"))
        session.execute(text("INSERT INTO big VALUES (zeroblob(10000000))"))


def test_the_affected_library_of_the_interpreter_still_works(tmp_path: Path) -> None:
    """Without pysqlite3 the interpreter's own library is used, in a mode that is safe with it."""
    program = """
import sys
sys.modules["pysqlite3"] = None
from store.database import Database, choose_journal_mode
import sqlite3
database = Database(f"sqlite:///{sys.argv[1]}/tenfold.db")
with database.writing() as session:
    mode = session.connection().exec_driver_sql("PRAGMA journal_mode").scalar()
assert mode == choose_journal_mode(sqlite3.sqlite_version_info), mode
print(mode)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == choose_journal_mode(sqlite3.sqlite_version_info)


@about_sqlite
def test_deletions_give_space_back_in_slices(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "tenfold.db"
    with database.writing() as session:
        session.execute(text("CREATE TABLE big (data BLOB)"))
        for _ in range(12):
            session.execute(text("INSERT INTO big VALUES (zeroblob(1000000))"))
    with database.writing() as session:
        session.execute(text("DROP TABLE big"))
    full = path.stat().st_size
    assert full > 12_000_000
    slices = 1
    while database.reclaim_space():
        slices += 1
    assert path.stat().st_size < full - 12_000_000
    assert slices == 3
    assert database.check_integrity() == []


@about_sqlite
def test_a_damaged_page_is_found(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        for _ in range(50):
            jobs.submit(session, JobRequest(dataset="shapes"))
    with database.writing() as session:
        root = "SELECT rootpage FROM sqlite_master WHERE name = 'jobs'"
        page = session.execute(text(root)).scalar()
        size = session.execute(text("PRAGMA page_size")).scalar()
    database.dispose()
    assert page
    assert size
    with (tmp_path / "tenfold.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\0" * 100)
    with pytest.raises(DatabaseError, match="damaged: restore it"), database.reading() as session:
        jobs.get(session, 1)
    assert database.check_integrity() != []


@about_sqlite
def test_a_file_at_its_largest_size_refuses_and_takes_more_once_something_was_deleted(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'small.db'}", max_bytes=2 << 20)
    migrations.upgrade(database)
    artifacts = open_store("database:")
    job_ids = []
    for _ in range(2):
        with database.writing() as session:
            jobs.submit(session, JobRequest(dataset="shapes"))
            claim = jobs.claim(session, "worker")
        assert claim is not None
        job_ids.append(claim.job_id)
        error = {"code": "x", "message": "y", "traceback": None}
        try:
            with database.writing() as session:
                state = {"state": b"x" * 1_300_000}
                jobs.add_checkpoint(session, artifacts, claim, state, epoch=0, step=1)
        except DatabaseError as refusal:
            error["message"] = refusal.message
        # What is small still fits: the job can say why it failed.
        with database.writing() as session:
            jobs.fail(session, claim, error)
    with database.writing() as session:
        first, second = (jobs.get(session, job_id) for job_id in job_ids)
        assert first.error == {"code": "x", "message": "y", "traceback": None}
        assert second.error is not None
        assert "TENFOLD_DATABASE_MAX_BYTES" in second.error["message"]
        jobs.delete(session, first.id, artifacts)
        jobs.retry(session, second.id)
    with database.writing() as session:
        claim = jobs.claim(session, "worker")
        assert claim is not None
        jobs.add_checkpoint(session, artifacts, claim, state, epoch=0, step=1)
    assert_sound(database, artifacts)
    assert (tmp_path / "small.db").stat().st_size <= 2 << 20
    database.dispose()
