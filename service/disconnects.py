"""Notice that a client has gone away while its request waits, so that nobody works for it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

Result = TypeVar("Result")

# Most replies are ready sooner, and listening for the end of a connection costs a task.
PATIENCE_SECONDS = 0.1


async def await_connected(request: Request, work: Awaitable[Result]) -> Result:
    """Return the result of `work`; cancel it when the client leaves first.

    The request's body must have been read. Raises ClientDisconnect.
    """
    watch = _Watch(request, asyncio.current_task())
    timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, watch.start)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.has_left:
            raise ClientDisconnect from None
        raise
    finally:
        timer.cancel()
        watch.stop()


class _Watch:
    """Cancels a task when the client leaves."""

    def __init__(self, request: Request, task: "asyncio.Task[object] | None") -> None:
        self.has_left = False
        self._request = request
        self._task = task
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        if self._task is not None:
            self._task.cancel()
