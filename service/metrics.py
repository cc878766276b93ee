"""`/jobs/{id}/metrics`: the numbers of a run as pages or as a stream, while it runs and after."""

import json
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from service import cursors, job_streams
from service.context import Context, ContextDependency
from service.cursors import CursorQuery
from service.event_feed import Topic
from service.job_streams import Accept, LastEventId, News
from service.openapi import COMMON_PROBLEMS, problem_responses
from service.parameters import JobId, Limit
from store import jobs, metrics
from store.errors import InvalidRequestError

router = APIRouter(
    prefix="/jobs/{job_id}/metrics",
    tags=["jobs"],
    responses=problem_responses(*COMMON_PROBLEMS, "job_not_found"),
)

_BATCH = 200
# The last step and the last epoch that were sent.
_Place = tuple[int, int]


class StepMetric(BaseModel):
    """The running loss: the mean over the steps since the report before."""

    model_config = ConfigDict(from_attributes=True)

    step: int = Field(description="Steps since the start of the job.")
    epoch: int
    loss: float
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float = Field(description="Time until the job ends, at this pace.")


class EpochMetric(BaseModel):
    """What one pass over the training images came to."""

    model_config = ConfigDict(from_attributes=True)

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float = Field(description="Share from 0 to 1.")
    test_loss: float
    test_accuracy: float = Field(description="Share from 0 to 1.")
    validation_accuracy: float | None = Field(
        description="Share from 0 to 1 of the held-out training images; null where none are."
    )
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float = Field(description="Time until the job ends, at this pace.")


class MetricPage(BaseModel):
    """The metrics after a cursor, oldest first."""

    steps: list[StepMetric]
    epochs: list[EpochMetric]
    has_more: bool = Field(description="Whether more metrics are there now.")
    next_cursor: str = Field(
        description="Where this page ended. Ask again with it to get what came since."
    )


_EXAMPLE: dict[str, Any] = {
    "steps": [
        {
            "step": 2000,
            "epoch": 1,
            "loss": 2.184,
            "learning_rate": 0.001,
            "images_per_second": 5210.0,
            "elapsed_seconds": 1.54,
            "seconds_left": 17.7,
        }
    ],
    "epochs": [
        {
            "epoch": 1,
            "step": 12500,
            "train_loss": 1.63,
            "train_accuracy": 0.402,
            "test_loss": 1.36,
            "test_accuracy": 0.511,
            "validation_accuracy": None,
            "learning_rate": 0.001,
            "images_per_second": 5190.0,
            "elapsed_seconds": 9.9,
            "seconds_left": 9.7,
        }
    ],
    "has_more": False,
    "next_cursor": "WyJtZXRyaWNzIiwyMDAwLDFd",
}


_STREAM_EXAMPLE = (
    f"event: step\ndata: {json.dumps(_EXAMPLE['steps'][0])}\nid: WyJtZXRyaWNzIiwyMDAwLDBd\n\n"
)
_REPLIES = job_streams.describe_replies("Metrics", _EXAMPLE, _STREAM_EXAMPLE)


@router.get("", response_model=MetricPage, responses=_REPLIES)
async def list_metrics(
    job_id: JobId,
    context: ContextDependency,
    *,
    limit: Limit = 200,
    cursor: CursorQuery = None,
    accept: Accept = "application/json",
    last_event_id: LastEventId = None,
) -> MetricPage | Response:
    """List step and epoch metrics, oldest first; poll with `next_cursor` for what is new.

    Or follow them as server-sent events: each is named `step` or `epoch`, and its `id` is the
    cursor of what comes after it. A stream begins after `Last-Event-ID` (or `cursor`), and ends
    when the job has ended. Asking again then is answered with 204, which tells a browser to stop.
    """
    place = (0, 0) if cursor is None else _decode_place(cursor)
    if not job_streams.is_wanted(accept):
        return await run_in_threadpool(_read_page, context, job_id, place, limit)
    if last_event_id is not None:
        place = _parse_event_id(last_event_id)
    return await job_streams.answer(
        context,
        Topic("metrics", job_id),
        place,
        partial(_read_news, context, job_id),
    )


def _decode_place(cursor: str) -> _Place:
    last_step, last_epoch = cursors.decode_numbers("metrics", cursor, 2)
    return last_step, last_epoch


def _parse_event_id(value: str) -> _Place:
    try:
        return _decode_place(value)
    except InvalidRequestError as error:
        raise InvalidRequestError(
            "Last-Event-ID is not the id of a metric: send the `id` of the last event that you "
            "have, or leave the header out.",
            code="invalid_cursor",
        ) from error


def _read_page(context: Context, job_id: int, place: _Place, limit: int) -> MetricPage:
    last_step, last_epoch = place
    with context.database.reading() as session:
        jobs.get(session, job_id)
        steps = metrics.list_steps(session, job_id, after=last_step, limit=limit + 1)
        epochs = metrics.list_epochs(session, job_id, after=last_epoch, limit=limit + 1)
    has_more = max(len(steps), len(epochs)) > limit
    steps, epochs = steps[:limit], epochs[:limit]
    last_step = steps[-1].step if steps else last_step
    last_epoch = epochs[-1].epoch if epochs else last_epoch
    return MetricPage(
        steps=[StepMetric.model_validate(row) for row in steps],
        epochs=[EpochMetric.model_validate(row) for row in epochs],
        has_more=has_more,
        next_cursor=cursors.encode("metrics", last_step, last_epoch),
    )


def _read_news(context: Context, job_id: int, place: _Place) -> News[_Place]:
    last_step, last_epoch = place
    with context.database.reading() as session:
        has_ended = jobs.get(session, job_id).status.is_ended
        steps = metrics.list_steps(session, job_id, after=last_step, limit=_BATCH)
        epochs = metrics.list_epochs(session, job_id, after=last_epoch, limit=_BATCH)
    found: list[StepMetric | EpochMetric] = [StepMetric.model_validate(row) for row in steps]
    found += [EpochMetric.model_validate(row) for row in epochs]
    # An epoch's own numbers come after those of its last step.
    found.sort(key=lambda metric: (metric.step, isinstance(metric, EpochMetric)))
    # Of a list that was cut off, more belongs between what the other has: that waits.
    ends = [rows[-1].step for rows in (steps, epochs) if len(rows) == _BATCH]
    sent = []
    for metric in found:
        if ends and metric.step > min(ends):
            break
        if isinstance(metric, StepMetric):
            last_step = metric.step
        else:
            last_epoch = metric.epoch
        sent.append(_format(metric, (last_step, last_epoch)))
    return News(sent, (last_step, last_epoch), has_more=bool(ends), has_ended=has_ended)


def _format(metric: StepMetric | EpochMetric, place: _Place) -> bytes:
    return format_sse_event(
        data_str=metric.model_dump_json(),
        event="step" if isinstance(metric, StepMetric) else "epoch",
        id=cursors.encode("metrics", *place),
    )
