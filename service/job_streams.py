"""A job's news as server-sent events: how `/events` and `/metrics` are followed to the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Header, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.concurrency import run_in_threadpool

from service.context import Context
from service.event_feed import Topic
from service.openapi import Responses, problem_responses
from store.errors import NotFoundError

PING_INTERVAL_SECONDS = 15.0

Accept = Annotated[str, Header(description="`text/event-stream` for the stream.")]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Stream only: the last event that you have."),
]

# Where a stream is: what was sent comes before, what is to be sent after.
Position = TypeVar("Position")


@dataclass(frozen=True)
class News(Generic[Position]):
    """What came after a position, and whether the job has ended, both of the same moment."""

    events: Sequence[bytes]
    position: Position
    has_more: bool
    has_ended: bool


def describe_replies(noun: str, page: dict[str, Any], stream: str) -> Responses:
    """Return the `responses` of a route that gives such a page, or such a stream."""
    return {
        200: {
            "description": f"{noun}, oldest first: a page, or a stream that ends with the job.",
            "content": {
                "application/json": {"example": page},
                "text/event-stream": {"schema": {"type": "string"}, "example": stream},
            },
        },
        204: {"description": "Stream only: the job has ended, and there is nothing more."},
        **problem_responses("invalid_cursor"),
    }


def is_wanted(accept: str) -> bool:
    """Tell whether a client asks for the stream, by its header `Accept`."""
    return "text/event-stream" in accept.lower()


async def answer(
    context: Context,
    topic: Topic,
    position: Position,
    read: Callable[[Position], News[Position]],
) -> Response:
    """Return the stream of what `read` finds after `position`, which ends with the job.

    Who has everything of an ended job gets 204, which tells a browser not to reconnect.
    Raises what `read` raises when it is called first.
    """
    news = await run_in_threadpool(read, position)
    if news.has_ended and not news.events:
        return Response(status_code=204)
    return EventSourceResponse(
        _stream(context, topic, position, read),
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _stream(
    context: Context,
    topic: Topic,
    position: Position,
    read: Callable[[Position], News[Position]],
) -> AsyncIterator[bytes]:
    """Yield the news of the job until it has ended, was deleted, or the server stops."""
    async with context.event_feed.follow(topic) as waker:
        while not context.event_feed.is_closed:
            # Cleared first: what comes while the page is read wakes the next round.
            waker.clear()
            try:
                news = await run_in_threadpool(read, position)
            except NotFoundError:
                return
            for event in news.events:
                yield event
            position = news.position
            if news.has_more:
                continue
            if news.has_ended:
                return
            try:
                await asyncio.wait_for(waker.wait(), PING_INTERVAL_SECONDS)
            except TimeoutError:
                yield KEEPALIVE_COMMENT
