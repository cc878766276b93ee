"""Wakes the streams of jobs' news. One poller serves them all, and only while there are any."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

from starlette.concurrency import run_in_threadpool

from service.tasks import end_task
from store import events, metrics
from store.database import Database
from store.errors import DatabaseError

_logger = logging.getLogger(__name__)

POLL_INTERVAL_SECONDS = 0.25


class Topic(NamedTuple):
    """What a stream follows. News of `metrics` are also the events: one of them is the end."""

    kind: Literal["events", "metrics"]
    job_id: int


class EventFeed:
    """Tells each follower of a topic when it may have news. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wakers: dict[Topic, set[asyncio.Event]] = defaultdict(set)
        # The newest step and epoch of each job whose metrics are followed.
        self._newest_metrics: dict[int, tuple[int, int]] = {}
        self._poller: asyncio.Task[None] | None = None
        self.is_closed = False

    @asynccontextmanager
    async def follow(self, topic: Topic) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set whenever the topic has news; the follower clears it."""
        waker = asyncio.Event()
        self._wakers[topic].add(waker)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield waker
        finally:
            self._wakers[topic].discard(waker)
            if not self._wakers[topic]:
                del self._wakers[topic]

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self.is_closed = True
        self._wake(list(self._wakers))

    async def stop(self) -> None:
        """Stop polling. The database may be disposed of afterwards."""
        self.close()
        await end_task(self._poller)

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
                self._wake(topic for topic in list(self._wakers) if topic.job_id in job_ids)
            await self._look_at_metrics()
        except DatabaseError as error:
            _logger.warning("The events cannot be read; trying again.", exc_info=error)
        return newest

    async def _look_at_metrics(self) -> None:
        job_ids = [topic.job_id for topic in self._wakers if topic.kind == "metrics"]
        if not job_ids:
            self._newest_metrics = {}
            return
        found = await run_in_threadpool(self._read_newest_metrics, job_ids)
        known, self._newest_metrics = self._newest_metrics, found
        # Also when they are followed only now: more may have come since the follower read.
        self._wake(
            Topic("metrics", job_id)
            for job_id, newest in found.items()
            if known.get(job_id) != newest
        )

    def _read_newest(self) -> int:
        with self._database.reading() as session:
            return events.find_newest_id(session)

    def _read_news(self, after: int) -> tuple[set[int], int]:
        with self._database.reading() as session:
            return events.list_changed_jobs(session, after=after)

    def _read_newest_metrics(self, job_ids: list[int]) -> dict[int, tuple[int, int]]:
        with self._database.reading() as session:
            return {job_id: metrics.find_newest(session, job_id) for job_id in job_ids}

    def _wake(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            for waker in self._wakers.get(topic, ()):
                waker.set()
