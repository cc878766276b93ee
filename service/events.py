"""`/jobs/{id}/events`: what happened to a job, as pages or as a stream (SSE)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.concurrency import run_in_threadpool

from service import cursors
from service.context import Context, ContextDependency
from service.cursors import CursorQuery
from service.openapi import COMMON_PROBLEMS, problem_responses
from service.parameters import JobId, Limit
from store import events, jobs
from store.errors import InvalidRequestError, NotFoundError

router = APIRouter(
    prefix="/jobs/{job_id}/events",
    tags=["jobs"],
    responses=problem_responses(*COMMON_PROBLEMS, "job_not_found"),
)

PING_INTERVAL_SECONDS = 15.0
_BATCH = 200


class EventReply(BaseModel):
    """Something that happened to the job."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime
    kind: str = Field(description="Stable name of the kind of event, for programs.")
    message: str
    data: dict[str, JsonValue] = Field(description="Details; which ones depends on the kind.")


class EventPage(BaseModel):
    """The events after a cursor, oldest first."""

    items: list[EventReply]
    has_more: bool = Field(description="Whether more events are there now.")
    next_cursor: str = Field(
        description="Where this page ended. Ask again with it to get what came since."
    )


_EVENT_EXAMPLE: dict[str, Any] = {
    "id": 12,
    "created_at": "2026-01-31T12:00:01Z",
    "kind": "claimed",
    "message": "Worker host-4711-a1b2c3 began attempt 1.",
    "data": {"worker": "host-4711-a1b2c3", "attempt": 1},
}
_STREAM_EXAMPLE = f"event: claimed\ndata: {json.dumps(_EVENT_EXAMPLE)}\nid: 12\n\n"
_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, oldest first: a page, or a stream that ends with the job.",
        "content": {
            "application/json": {
                "example": {
                    "items": [_EVENT_EXAMPLE],
                    "has_more": False,
                    "next_cursor": "WyJldmVudHMiLDEyXQ",
                }
            },
            "text/event-stream": {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE},
        },
    },
    204: {"description": "Stream only: the job has ended and `Last-Event-ID` was its last event."},
    **problem_responses("invalid_cursor"),
}

Accept = Annotated[str, Header(description="`text/event-stream` for the stream.")]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Stream only: the last event that you have."),
]


@router.get("", response_model=EventPage, responses=_REPLIES)
async def list_events(
    job_id: JobId,
    context: ContextDependency,
    *,
    limit: Limit = 200,
    cursor: CursorQuery = None,
    accept: Accept = "application/json",
    last_event_id: LastEventId = None,
) -> EventPage | Response:
    """List events, oldest first; poll with `next_cursor`, or follow them as server-sent events.

    A stream begins after `Last-Event-ID` (or `cursor`), and ends when the job has ended.
    Reconnecting then is answered with 204, which tells a browser to stop.
    """
    after = 0 if cursor is None else cursors.decode_numbers("events", cursor, 1)[0]
    if "text/event-stream" not in accept.lower():
        return await run_in_threadpool(_read_page, context, job_id, after, limit)
    if last_event_id is not None:
        after = _parse_event_id(last_event_id)
    page, has_ended = await run_in_threadpool(_read_news, context, job_id, after)
    if has_ended and not page and last_event_id is not None:
        return Response(status_code=204)
    return EventSourceResponse(
        _stream(context, job_id, after),
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def _parse_event_id(value: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", value):
        raise InvalidRequestError(
            "Last-Event-ID is not the id of an event: send the `id` of the last event that you "
            "have, or leave the header out.",
            code="invalid_cursor",
        )
    return int(value)


def _read_page(context: Context, job_id: int, after: int, limit: int) -> EventPage:
    with context.database.reading() as session:
        jobs.get(session, job_id)
        rows = events.list_page(session, job_id, after=after, limit=limit + 1)
    items = [EventReply.model_validate(row) for row in rows[:limit]]
    return EventPage(
        items=items,
        has_more=len(rows) > limit,
        next_cursor=cursors.encode("events", items[-1].id if items else after),
    )


def _read_news(context: Context, job_id: int, after: int) -> tuple[list[EventReply], bool]:
    """Return the next events, and whether the job has ended, both of the same moment."""
    with context.database.reading() as session:
        has_ended = jobs.get(session, job_id).status.is_ended
        rows = events.list_page(session, job_id, after=after, limit=_BATCH)
    return [EventReply.model_validate(row) for row in rows], has_ended


async def _stream(context: Context, job_id: int, after: int) -> AsyncIterator[bytes]:
    """Yield the job's events until it has ended, was deleted, or the server stops."""
    async with context.event_feed.follow(job_id) as news:
        while not context.event_feed.is_closed:
            # Cleared first: what comes while the page is read wakes the next round.
            news.clear()
            try:
                page, has_ended = await run_in_threadpool(_read_news, context, job_id, after)
            except NotFoundError:
                return
            for event in page:
                yield _format(event)
                after = event.id
            if len(page) == _BATCH:
                continue
            if has_ended:
                return
            try:
                await asyncio.wait_for(news.wait(), PING_INTERVAL_SECONDS)
            except TimeoutError:
                yield KEEPALIVE_COMMENT


def _format(event: EventReply) -> bytes:
    return format_sse_event(data_str=event.model_dump_json(), event=event.kind, id=str(event.id))
