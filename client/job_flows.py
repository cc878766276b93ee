"""What can be done with a job: wait for it, read all it has produced, follow its events."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import httpx
from httpx_sse import ServerSentEvent

from client import calls
from client.calls import Call
from client.errors import (
    ConnectionFailedError,
    JobCancelledError,
    JobFailedError,
    TenfoldError,
    UnavailableError,
    WaitTimeoutError,
)
from client.flows import Flow, Item, Items, NextEvent, Sleep, Value, ask
from client.schemas import (
    ClassifiedImage,
    EpochMetric,
    Event,
    JobRecord,
    JobStatus,
    Metrics,
    StepMetric,
)

POLL_INTERVAL_SECONDS = 0.4
# A service that is being restarted or upgraded is waited for this long.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class JobUpdate:
    """What is new since the update before. `lost` says why the service does not answer now."""

    job: JobRecord
    events: list[Event] = field(default_factory=list)
    steps: list[StepMetric] = field(default_factory=list)
    epochs: list[EpochMetric] = field(default_factory=list)
    lost: TenfoldError | None = None


Observe = Callable[[JobUpdate], None]


class _News:
    """Reads what a job has produced since the last time."""

    def __init__(self, job_id: int) -> None:
        self._job_id = job_id
        self._event_cursor: str | None = None
        self._metric_cursor: str | None = None

    def read(self, job: JobRecord) -> Flow[JobUpdate]:
        """Return the update. `job` was read before, so an ended job's update is complete."""
        update = JobUpdate(job)
        has_more = True
        while has_more:
            page = yield from ask(calls.list_events(self._job_id, self._event_cursor))
            update.events.extend(page.items)
            self._event_cursor, has_more = page.next_cursor, page.has_more
        has_more = True
        while has_more:
            metrics = yield from ask(calls.list_metrics(self._job_id, self._metric_cursor))
            update.steps.extend(metrics.steps)
            update.epochs.extend(metrics.epochs)
            self._metric_cursor, has_more = metrics.next_cursor, metrics.has_more
        return update


def read_metrics(job_id: int) -> Flow[Metrics]:
    steps: list[StepMetric] = []
    epochs: list[EpochMetric] = []
    cursor: str | None = None
    has_more = True
    while has_more:
        page = yield from ask(calls.list_metrics(job_id, cursor))
        steps += page.steps
        epochs += page.epochs
        cursor, has_more = page.next_cursor, page.has_more
    return Metrics(steps=steps, epochs=epochs)


def wait_for(
    job: JobRecord,
    display: AbstractContextManager[Observe | None],
    timeout_seconds: float | None,
) -> Flow[JobRecord]:
    """Wait until the job has ended; tell what `display` gives of all that happens meanwhile.

    Raises JobFailedError, JobCancelledError, WaitTimeoutError, and ConnectionFailedError when
    the service stays away for two minutes.
    """
    deadline = None if timeout_seconds is None else monotonic() + timeout_seconds
    with display as observe:
        news = _News(job.id)
        last_contact = monotonic()
        while True:
            try:
                job = yield from ask(calls.get_job(job.id))
                if observe is not None:
                    update = yield from news.read(job)
                    observe(update)
                last_contact = monotonic()
            except (ConnectionFailedError, UnavailableError) as error:
                if monotonic() - last_contact > PATIENCE_SECONDS:
                    raise
                if observe is not None:
                    observe(JobUpdate(job, lost=error))
            else:
                if job.status.is_ended:
                    break
            if deadline is not None and monotonic() > deadline:
                raise WaitTimeoutError(
                    f"Job {job.id} is {job.status} after {timeout_seconds:.0f} s of waiting; "
                    "it goes on."
                )
            yield Sleep(POLL_INTERVAL_SECONDS)
    _raise_unless_succeeded(job)
    return job


def _raise_unless_succeeded(job: JobRecord) -> None:
    if job.status is JobStatus.FAILED:
        raise JobFailedError(job)
    if job.status is JobStatus.CANCELLED:
        raise JobCancelledError(job)


def list_events(job_id: int) -> Items[Event]:
    cursor: str | None = None
    has_more = True
    while has_more:
        page = yield from ask(calls.list_events(job_id, cursor))
        for event in page.items:
            yield Item(event)
        cursor, has_more = page.next_cursor, page.has_more


def follow_events(job_id: int, last_event_id: int) -> Items[Event]:
    """Yield the events after `last_event_id` as they happen, until the job has ended."""
    return _follow(
        partial(calls.follow_events, job_id),
        str(last_event_id),
        lambda event: Event.model_validate_json(event.data),
    )


def follow_metrics(job_id: int) -> Items[StepMetric | EpochMetric]:
    """Yield all metrics as they come, until the job has ended."""
    # An empty id would be that of no metric, so the first request has none.
    return _follow(partial(calls.follow_metrics, job_id), None, _read_metric)


def _read_metric(event: ServerSentEvent) -> StepMetric | EpochMetric:
    kind = StepMetric if event.event == "step" else EpochMetric
    return kind.model_validate_json(event.data)


def _follow(
    call: Callable[[str | None], Call[None]],
    last_event_id: str | None,
    read: Callable[[ServerSentEvent], Value],
) -> Items[Value]:
    """Yield what a stream says until the job has ended.

    A broken stream is taken up again after the last event that arrived. Raises
    ConnectionFailedError when the service stays away for two minutes.
    """
    last_contact = monotonic()
    while True:
        try:
            stream: httpx.Response = yield call(last_event_id)
        except (ConnectionFailedError, UnavailableError):
            if monotonic() - last_contact > PATIENCE_SECONDS:
                raise
        else:
            if stream.status_code == httpx.codes.NO_CONTENT:
                return
            outcome: ServerSentEvent | httpx.TransportError | None
            while isinstance(outcome := (yield NextEvent(stream)), ServerSentEvent):
                if not outcome.data:
                    # The reader takes the service's ping, a comment, for an event.
                    continue
                value = read(outcome)
                last_event_id = outcome.id
                yield Item(value)
            # It ends with the job, and also when the service stops: asking again tells which.
            last_contact = monotonic()
        yield Sleep(POLL_INTERVAL_SECONDS)


def list_predictions(
    job_id: int, label: str | None, predicted: str | None
) -> Items[ClassifiedImage]:
    cursor: str | None = None
    while True:
        page = yield from ask(calls.list_predictions(job_id, label, predicted, cursor))
        for image in page.items:
            yield Item(image)
        cursor = page.next_cursor
        if cursor is None:
            return
