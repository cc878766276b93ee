"""`/jobs/{id}/events`: what happened to a job, as pages or as a stream (SSE)."""

import json
import re
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.concurrency import run_in_threadpool

from service import cursors, job_streams
from service.context import Context, ContextDependency
from service.cursors import CursorQuery
from service.event_feed import Topic
from service.job_streams import Accept, LastEventId, News
from service.openapi import COMMON_PROBLEMS, problem_responses
from service.parameters import JobId, Limit
from store import events, jobs
from store.errors import InvalidRequestError

router = APIRouter(
    prefix="/jobs/{job_id}/events",
    tags=["jobs"],
    responses=problem_responses(*COMMON_PROBLEMS, "job_not_found"),
)

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
_REPLIES = job_streams.describe_replies(
    "Events",
    {"items": [_EVENT_EXAMPLE], "has_more": False, "next_cursor": "WyJldmVudHMiLDEyXQ"},
    _STREAM_EXAMPLE,
)


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
    Asking again then is answered with 204, which tells a browser to stop.
    """
    after = 0 if cursor is None else cursors.decode_numbers("events", cursor, 1)[0]
    if not job_streams.is_wanted(accept):
        return await run_in_threadpool(_read_page, context, job_id, after, limit)
    if last_event_id is not None:
        after = _parse_event_id(last_event_id)
    return await job_streams.answer(
        context,
        Topic("events", job_id),
        after,
        partial(_read_news, context, job_id),
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


def _read_news(context: Context, job_id: int, after: int) -> News[int]:
    with context.database.reading() as session:
        has_ended = jobs.get(session, job_id).status.is_ended
        rows = events.list_page(session, job_id, after=after, limit=_BATCH)
    return News(
        events=[_format(EventReply.model_validate(row)) for row in rows],
        position=rows[-1].id if rows else after,
        has_more=len(rows) == _BATCH,
        has_ended=has_ended,
    )


def _format(event: EventReply) -> bytes:
    return format_sse_event(data_str=event.model_dump_json(), event=event.kind, id=str(event.id))
