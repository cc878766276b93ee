"""Wakes the streams of a job's events. One poller serves them all, and only while there are any."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from starlette.concurrency import run_in_threadpool

from store import events
from store.database import Database
from store.errors import DatabaseError

_logger = logging.getLogger(__name__)

POLL_INTERVAL_SECONDS = 0.25


class EventFeed:
    """Tells each follower of a job when the job may have new events. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wakers: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._poller: asyncio.Task[None] | None = None
        self.is_closed = False

    @asynccontextmanager
    async def follow(self, job_id: int) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set whenever the job has news; the follower clears it."""
        waker = asyncio.Event()
        self._wakers[job_id].add(waker)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield waker
        finally:
            self._wakers[job_id].discard(waker)
            if not self._wakers[job_id]:
                del self._wakers[job_id]

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self.is_closed = True
        self._wake(list(self._wakers))

    async def stop(self) -> None:
        """Stop polling. The database may be disposed of afterwards."""
        self.close()
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller

    async def _poll(self) -> None:
        newest: int | None = None
        try:
            while self._wakers and not self.is_closed:
                newest = await self._look(newest)
                await asyncio.sleep(POLL_INTERVAL_SECONDS)
        finally:
            self._poller = None

    async def _look(self, newest: int | None) -> int | None:
        """Wake whom it concerns, and return the highest event id that was seen."""
        try:
            if newest is None:
                newest = await run_in_threadpool(self._read_newest)
                # Whoever read before this moment may have missed what came between.
                self._wake(list(self._wakers))
            else:
                job_ids, newest = await run_in_threadpool(self._read_news, newest)
                self._wake(job_ids)
        except DatabaseError as error:
            _logger.warning("The events cannot be read; trying again.", exc_info=error)
        return newest

    def _read_newest(self) -> int:
        with self._database.reading() as session:
            return events.find_newest_id(session)

    def _read_news(self, after: int) -> tuple[set[int], int]:
        with self._database.reading() as session:
            return events.list_changed_jobs(session, after=after)

    def _wake(self, job_ids: Iterable[int]) -> None:
        for job_id in job_ids:
            for waker in self._wakers.get(job_id, ()):
                waker.set()
