"""Where tests keep their rows: in SQLite, or on the server that TENFOLD_TEST_POSTGRES_URL names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url

SERVER = os.environ.get("TENFOLD_TEST_POSTGRES_URL")

about_sqlite = pytest.mark.skipif(SERVER is not None, reason="it looks into SQLite's file")


@contextmanager
def make_empty_database(folder: Path) -> Iterator[str]:
    """Yield the URL of a database of the test's own; it goes with the block, or with the folder."""
    if SERVER is None:
        yield f"sqlite:///{folder / 'tenfold.db'}"
        return
    name = f"tenfold_test_{uuid4().hex[:12]}"
    administration = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        with administration.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        administration.dispose()
