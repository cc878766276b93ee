"""Damage below the eyes of whoever uses a database: in its file, under the write-ahead log."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from store.database import pick_sqlite_driver

# As many bytes as tell what is in a page.
_BYTES = 100


class Damage:
    """The first page of the table of jobs loses its head, until it is mended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lost = b""

    def do(self) -> bool:
        """Return False, and do nothing, where somebody is in the midst of reading or writing."""
        with closing(self._connect()) as connection:
            try:
                _touch(connection)
            except pick_sqlite_driver().OperationalError:
                return False
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                return False
            root = "SELECT rootpage FROM sqlite_master WHERE name = 'jobs'"
            ((page,),) = connection.execute(root)
            ((size,),) = connection.execute("PRAGMA page_size")
        self._offset = (page - 1) * size
        with self._path.open("r+b") as file:
            file.seek(self._offset)
            self._lost = file.read(_BYTES)
            file.seek(self._offset)
            file.write(b"\0" * _BYTES)
        return True

    def mend(self) -> None:
        with self._path.open("r+b") as file:
            file.seek(self._offset)
            file.write(self._lost)
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA busy_timeout = 30000")
            _touch(connection)

    def _connect(self) -> Any:
        return pick_sqlite_driver().connect(self._path, timeout=0, isolation_level=None)


def _touch(connection: Any) -> None:
    """Write, so that nobody takes what he has in memory for what is in the file."""
    connection.execute("UPDATE jobs SET heartbeats = heartbeats + 1")


@contextmanager
def damaged_jobs(path: Path) -> Iterator[None]:
    """Damage the table of jobs during the block; nobody else may be writing when it begins."""
    damage = Damage(path)
    while not damage.do():
        time.sleep(0.01)
    yield
    damage.mend()
