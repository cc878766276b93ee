"""The numbers of the processes of `--workers N`, which any of them adds up for `/metrics`.

Each is in a file that the processes share. To write there takes several times as long as to count
in memory, and a prediction changes five numbers, so changes are gathered and written at intervals.
"""

import asyncio
import os
from typing import Any

from prometheus_client import values

from service.tasks import end_task

# The folder of the files. The library looks at it when it is imported.
SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# How far behind the files may be.
WRITE_INTERVAL_SECONDS = 0.25

_FileValue: Any = values.MultiProcessValue()  # type: ignore[no-untyped-call]


class _GatheredValue(_FileValue):  # type: ignore[misc]
    """One number. It is counted and written on the event loop, so it needs no lock."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gathered = 0.0

    def inc(self, amount: float) -> None:
        self._gathered += amount

    def get(self) -> float:
        written: float = super().get()
        return written + self._gathered

    def write(self) -> None:
        if self._gathered:
            super().inc(self._gathered)
            self._gathered = 0.0


class SharedNumbers:
    """Gathers what this process counts. Make it before the first metric; `start` and `stop` it."""

    def __init__(self) -> None:
        self._values: list[_GatheredValue] = []
        self._writer: asyncio.Task[None] | None = None
        if are_shared():
            values.ValueClass = self._add

    def start(self) -> None:
        if are_shared():
            self._writer = asyncio.create_task(self._write_at_intervals())

    async def stop(self) -> None:
        await end_task(self._writer)
        self._write()

    def _add(self, *arguments: Any, **options: Any) -> _GatheredValue:
        value = _GatheredValue(*arguments, **options)
        self._values.append(value)
        return value

    async def _write_at_intervals(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_SECONDS)
            self._write()

    def _write(self) -> None:
        for value in self._values:
            value.write()


def are_shared() -> bool:
    """Tell whether this is one of several processes."""
    return SHARED_FOLDER_VARIABLE in os.environ
