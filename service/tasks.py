"""Tasks that run as long as the service does."""

import asyncio
from contextlib import suppress


async def end_task(task: "asyncio.Task[None] | None") -> None:
    """Cancel a task, where there is one, and wait until it has ended."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
