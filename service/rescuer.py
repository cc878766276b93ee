"""Takes back the jobs of silent workers, also while no other worker is there to do it."""

import asyncio
import logging

from starlette.concurrency import run_in_threadpool

from service.tasks import end_task
from store.errors import DatabaseError
from store.rescue import Rescue

_logger = logging.getLogger(__name__)

LONGEST_INTERVAL_SECONDS = 1.0


class Rescuer:
    """Looks at the leases as long as the service runs. Belongs to one event loop."""

    def __init__(self, rescue: Rescue, heartbeat_interval_seconds: float) -> None:
        self._rescue = rescue
        self._interval_seconds = min(heartbeat_interval_seconds, LONGEST_INTERVAL_SECONDS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await end_task(self._task)

    async def _run(self) -> None:
        could_look = True
        while True:
            try:
                await run_in_threadpool(self._rescue.look)
            except DatabaseError as error:
                if could_look:
                    _logger.warning("Nobody watches the leases until this ends: %s", error.message)
                could_look = False
            else:
                could_look = True
            await asyncio.sleep(self._interval_seconds)
