"""`/sweeps`: many jobs that differ in some fields, to find the best of them."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from fastapi.exceptions import RequestValidationError

from service import cursors
from service.context import ApiKeyIdDependency, Context, ContextDependency
from service.cursors import CursorQuery
from service.job_checks import check_queue, check_trainable
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from service.parameters import Limit, SweepId
from service.submissions import (
    SUBMISSION_PROBLEMS,
    IdempotencyKey,
    announce_created,
    created_reply,
)
from service.sweep_schemas import (
    REQUEST_EXAMPLES,
    SUMMARY_EXAMPLE,
    SWEEP_EXAMPLE,
    SweepPage,
    SweepReply,
    SweepSummary,
)
from store import models, sweeps
from store.sweep_requests import SweepRequest
from store.tables import SweepStatus

router = APIRouter(prefix="/sweeps", tags=["sweeps"], responses=problem_responses(*COMMON_PROBLEMS))

_CANCELLED = SWEEP_EXAMPLE | {"status": "cancelled", "finished_at": "2026-01-31T12:05:00Z"}
_CANCELLING = SWEEP_EXAMPLE | {"status": "cancelling"}


@router.post(
    "",
    status_code=201,
    responses={
        **created_reply("sweep", SWEEP_EXAMPLE, "The sweep has begun; `Location` is its address."),
        **problem_responses(*SUBMISSION_PROBLEMS),
    },
)
def start_sweep(
    request: Annotated[SweepRequest, Body(openapi_examples=REQUEST_EXAMPLES)],
    response: Response,
    context: ContextDependency,
    api_key_id: ApiKeyIdDependency,
    idempotency_key: IdempotencyKey = None,
) -> SweepReply:
    """Train many jobs that differ in the fields of `space`, and rank them.

    Trials are compared by their accuracy on held-out training images, never on the test images.
    The workers queue them one after the other, `parallel_trials` at a time. A trial that is the
    best so far publishes its model, so the newest version of `model_name` is the best one's.
    """
    _check(request)
    with context.database.writing() as session:
        for job in request.list_ends():
            check_trainable(session, job.resolve(), context.settings)
        sweep, is_new = sweeps.submit(
            session, request, idempotency_key=idempotency_key, api_key_id=api_key_id
        )
        if is_new:
            check_queue(session, context.settings.limit_queued_jobs, new_jobs=0)
    announce_created(response, f"/sweeps/{sweep.id}", is_new=is_new)
    return _read_sweep(context, sweep.id)


@router.get(
    "",
    responses={
        200: json_example({"items": [SUMMARY_EXAMPLE], "next_cursor": "WyJzd2VlcHMiLDJd"}),
        **problem_responses("invalid_cursor"),
    },
)
def list_sweeps(
    context: ContextDependency,
    status: Annotated[SweepStatus | None, Query(description="Only sweeps of this status.")] = None,
    limit: Limit = 50,
    cursor: CursorQuery = None,
) -> SweepPage:
    """List sweeps, newest first, each with its best trial."""
    before = None if cursor is None else cursors.decode_numbers("sweeps", cursor, 1)[0]
    with context.database.reading() as session:
        page = sweeps.list_page(session, status=status, before=before, limit=limit + 1)
        rows = page[:limit]
        trials = sweeps.list_trials(session, [sweep.id for sweep in rows])
        published = models.find_of_jobs(session, [trial.job_id for trial in trials])
    items = [
        SweepSummary.describe(sweep, [t for t in trials if t.sweep_id == sweep.id], published)
        for sweep in rows
    ]
    next_cursor = cursors.encode("sweeps", rows[-1].id) if len(page) > limit else None
    return SweepPage(items=items, next_cursor=next_cursor)


@router.get(
    "/{sweep_id}",
    responses={200: json_example(SWEEP_EXAMPLE), **problem_responses("sweep_not_found")},
)
def get_sweep(sweep_id: SweepId, context: ContextDependency) -> SweepReply:
    """Return one sweep with its trials, the best on top."""
    return _read_sweep(context, sweep_id)


@router.post(
    "/{sweep_id}/cancel",
    responses={
        200: json_example(_CANCELLED, "No trial was running, so it is cancelled at once."),
        202: json_example(_CANCELLING, "It is cancelled when its running trials have stopped."),
        **problem_responses("sweep_not_found", "sweep_already_ended"),
    },
)
def cancel_sweep(sweep_id: SweepId, response: Response, context: ContextDependency) -> SweepReply:
    """Queue no more trials and cancel those that have not ended. Asking twice is harmless.

    What earlier trials have published stays.
    """
    with context.database.writing() as session:
        status = sweeps.cancel(session, sweep_id).status
    response.status_code = 202 if status is SweepStatus.CANCELLING else 200
    return _read_sweep(context, sweep_id)


@router.delete(
    "/{sweep_id}",
    status_code=204,
    responses={
        204: {"description": "The sweep and the jobs of its trials are gone."},
        **problem_responses("sweep_not_found", "sweep_not_ended"),
    },
)
def delete_sweep(sweep_id: SweepId, context: ContextDependency) -> None:
    """Delete an ended sweep with the jobs of its trials. Published models stay."""
    with context.database.writing() as session:
        sweeps.delete(session, sweep_id, context.artifacts)


def _check(request: SweepRequest) -> None:
    """Raise RequestValidationError on what is wrong between the fields."""
    faults = request.list_faults()
    if faults:
        raise RequestValidationError(
            [
                {"type": "value_error", "loc": ("body", *fault.path), "msg": fault.message}
                for fault in faults
            ]
        )


def _read_sweep(context: Context, sweep_id: int) -> SweepReply:
    with context.database.reading() as session:
        sweep = sweeps.get(session, sweep_id)
        trials = sweeps.list_trials(session, [sweep_id])
        published = models.find_of_jobs(session, [trial.job_id for trial in trials])
    return SweepReply.describe(sweep, trials, published)
