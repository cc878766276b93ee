"""Where the worker is, noted at each heartbeat: a process that is killed leaves no traceback."""

import faulthandler
from pathlib import Path
from types import TracebackType
from typing import Self

from store.errors import DatabaseError
from store.rescue import locate_last_words


class LastWords:
    """A file with the stacks of all threads, to which a fatal signal adds the stack it met.

    It is removed when the `with` block ends; one that stays behind tells where a worker died.
    """

    def __init__(self, crashes_folder: Path, worker_id: str) -> None:
        self._path = locate_last_words(crashes_folder, worker_id)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w+b", buffering=0)
        except OSError as error:
            raise DatabaseError(
                f"The data folder cannot be written to: {error}. Free some space on its disk or "
                "give this user write access to it."
            ) from error

    def __enter__(self) -> Self:
        faulthandler.enable(self._file)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def remove(self) -> None:
        faulthandler.disable()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def note(self) -> None:
        """Replace what was noted before by where every thread is now."""
        self._file.seek(0)
        self._file.truncate()
        faulthandler.dump_traceback(self._file)
