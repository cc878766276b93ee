"""The schema moves up and down without losing anything, whoever asks and however many at once."""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from store import migrations
from store.database import Database
from store.errors import DatabaseError
from store.tables import Base
from tests.databases import about_sqlite, make_empty_database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with make_empty_database(tmp_path) as url:
        database = Database(url)
        yield database
        database.dispose()


def list_tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_upgrade_makes_exactly_the_tables_that_the_code_uses(database: Database) -> None:
    """Autogenerate finds nothing to add, drop or change."""
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_the_schema_goes_up_down_and_up_again(database: Database) -> None:
    migrations.upgrade(database)
    tables = list_tables(database)
    command.downgrade(migrations.configure(database), "base")
    assert list_tables(database) == {"alembic_version"}
    migrations.upgrade(database)
    assert list_tables(database) == tables == {*Base.metadata.tables, "alembic_version"}


def test_a_second_upgrade_keeps_the_rows(database: Database) -> None:
    migrations.upgrade(database)
    with database.writing() as session:
        session.execute(text("INSERT INTO networks VALUES ('lenet', '{}', '<svg/>')"))
    migrations.upgrade(database)
    with database.reading() as session:
        assert session.scalar(text("SELECT name FROM networks")) == "lenet"


def test_a_failed_upgrade_leaves_the_schema_as_it_was(database: Database) -> None:
    """The DDL runs in one transaction, so a table in the way undoes the tables before it."""
    with database.writing() as session:
        session.execute(text("CREATE TABLE step_metrics (in_the_way INTEGER)"))
    with pytest.raises(DatabaseError, match="already exists"):
        migrations.upgrade(database)
    assert list_tables(database) == {"step_metrics"}


@about_sqlite
def test_foreign_keys_are_enforced_after_an_upgrade(database: Database) -> None:
    """The migration switches them off on its own connection only."""
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_database_of_a_newer_version_is_refused_with_advice(database: Database) -> None:
    migrations.upgrade(database)
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"at schema 9999.* start the newer version"):
        migrations.upgrade(database)


@about_sqlite
def test_a_file_that_is_no_database_is_refused_with_advice(database: Database) -> None:
    assert database.path is not None
    database.path.write_bytes(b"this is a text file, not a database" * 100)
    with pytest.raises(DatabaseError, match="no SQLite database"):
        migrations.upgrade(database)


RACER = """
import sys, time
from store import migrations
from store.database import Database

def upgrade(url):
    database = Database(url)
    migrations.upgrade(database)
    print(migrations.read_revision(database), flush=True)
    database.dispose()

upgrade(sys.argv[1])  # warms up, so that the race is about the database alone
for line in sys.stdin:
    start, url = line.split()
    while time.monotonic() < float(start):
        pass
    upgrade(url)
"""


def test_processes_that_upgrade_at_once_all_succeed(tmp_path: Path) -> None:
    """Three processes race for an empty database, five times over."""
    head = ScriptDirectory(str(ROOT / "alembic")).get_current_head()
    with ExitStack() as stack:

        def make_target(name: str) -> str:
            folder = tmp_path / name
            folder.mkdir()
            return stack.enter_context(make_empty_database(folder))

        racers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", RACER, make_target(f"warm-up-{number}")],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(3)
        ]
        targets = [make_target(f"race-{number}") for number in range(5)]
        for target in [None, *targets]:
            start = time.monotonic() + 0.1
            for racer in racers if target is not None else ():
                assert racer.stdin is not None
                racer.stdin.write(f"{start} {target}\n")
                racer.stdin.flush()
            for racer in racers:
                assert racer.stdout is not None
                assert racer.stdout.readline() == f"{head}\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.close()
            racer.wait()


def test_the_command_line_migrates_the_database_that_the_settings_name(tmp_path: Path) -> None:
    """`alembic` alone, as a developer runs it, reads TENFOLD_DATA."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env={**os.environ, "TENFOLD_DATA": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    database = Database(f"sqlite:///{tmp_path / 'tenfold.db'}")
    assert set(Base.metadata.tables) <= list_tables(database)
    database.dispose()


@pytest.mark.parametrize("path", sorted((ROOT / "alembic").rglob("*.py")), ids=lambda p: p.name)
def test_migrations_import_only_the_store(path: Path) -> None:
    """The folder is no package, so import-linter cannot see it."""
    allowed = {"alembic", "sqlalchemy", "store", *sys.stdlib_module_names}
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            imported.add(node.module.split(".")[0])
    assert imported <= allowed
