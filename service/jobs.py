"""`/jobs`: ask for training, watch it, stop it."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.orm import Session

from service import cursors
from service.context import ApiKeyIdDependency, Context, ContextDependency
from service.cursors import LARGEST_INTEGER, CursorQuery
from service.job_checks import check_queue, check_trainable
from service.job_schemas import JOB_EXAMPLE, REQUEST_EXAMPLES, JobPage, JobReply
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from service.parameters import JobId, Limit
from service.submissions import (
    SUBMISSION_PROBLEMS,
    IdempotencyKey,
    announce_created,
    created_reply,
)
from store import checkpoints, jobs, models, sweeps, workers
from store.specs import JobRequest, TrainingSpec
from store.tables import JobStatus

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=problem_responses(*COMMON_PROBLEMS))

_CANCELLED = JOB_EXAMPLE | {"status": "cancelled", "waiting_reason": None}
_CANCELLING = JOB_EXAMPLE | {"status": "cancelling", "waiting_reason": None}
_PAUSED = JOB_EXAMPLE | {"status": "paused", "waiting_reason": None}


@router.post(
    "",
    status_code=201,
    responses={
        **created_reply("job", JOB_EXAMPLE, "The job was queued; `Location` is its address."),
        **problem_responses("too_many_queued_jobs", *SUBMISSION_PROBLEMS),
    },
)
def submit_job(
    request: Annotated[JobRequest, Body(openapi_examples=REQUEST_EXAMPLES)],
    response: Response,
    context: ContextDependency,
    api_key_id: ApiKeyIdDependency,
    idempotency_key: IdempotencyKey = None,
) -> JobReply:
    """Queue a training job.

    Start from a recipe and override any field of it. All that can be known before training is
    checked now; the reply shows the spec with every field filled in.
    """
    spec = _resolve(request)
    with context.database.writing() as session:
        check_trainable(session, spec, context.settings)
        job, is_new = jobs.submit(
            session,
            request,
            idempotency_key=idempotency_key,
            api_key_id=api_key_id,
            most_queued=context.settings.key_queued_jobs,
        )
        if is_new:
            # Afterwards, because the same job again is no further one. It undoes the insert.
            check_queue(session, context.settings.limit_queued_jobs, new_jobs=1)
    announce_created(response, f"/jobs/{job.id}", is_new=is_new)
    return _read_job(context, job.id)


@router.get(
    "",
    responses={
        200: json_example({"items": [JOB_EXAMPLE], "next_cursor": "WyJqb2JzIiw3XQ"}),
        **problem_responses("invalid_cursor"),
    },
)
def list_jobs(
    context: ContextDependency,
    status: Annotated[JobStatus | None, Query(description="Only jobs of this status.")] = None,
    sweep: Annotated[
        int | None,
        Query(ge=1, le=LARGEST_INTEGER, description="Only the trials of this sweep."),
    ] = None,
    limit: Limit = 50,
    cursor: CursorQuery = None,
) -> JobPage:
    """List jobs, newest first."""
    before = None if cursor is None else cursors.decode_numbers("jobs", cursor, 1)[0]
    with context.database.reading() as session:
        page = jobs.list_page(
            session, status=status, sweep_id=sweep, before=before, limit=limit + 1
        )
        rows = page[:limit]
        published = models.find_of_jobs(session, [job.id for job in rows])
        trials = sweeps.find_of_jobs(session, [job.id for job in rows])
        sizes = checkpoints.measure_bytes(session, [job.id for job in rows])
        is_worker_alive = _is_worker_alive(context, session)
    items = [
        JobReply.describe(
            job,
            published.get(job.id),
            trials.get(job.id),
            checkpoint_bytes=sizes.get(job.id, 0),
            is_worker_alive=is_worker_alive,
        )
        for job in rows
    ]
    next_cursor = cursors.encode("jobs", rows[-1].id) if len(page) > limit else None
    return JobPage(items=items, next_cursor=next_cursor)


@router.get(
    "/{job_id}", responses={200: json_example(JOB_EXAMPLE), **problem_responses("job_not_found")}
)
def get_job(job_id: JobId, context: ContextDependency) -> JobReply:
    """Return one job: status, progress, and once it ended its model or its error."""
    return _read_job(context, job_id)


@router.delete(
    "/{job_id}",
    status_code=204,
    responses={
        204: {"description": "The job, its metrics, events and checkpoints are gone."},
        **problem_responses("job_not_found", "job_not_ended"),
    },
)
def delete_job(job_id: JobId, context: ContextDependency) -> None:
    """Delete an ended job with its metrics, events and checkpoints. Its model stays."""
    with context.database.writing() as session:
        jobs.delete(session, job_id, context.artifacts)


@router.post(
    "/{job_id}/cancel",
    responses={
        200: json_example(_CANCELLED, "Nobody ran the job, so it is cancelled at once."),
        202: json_example(_CANCELLING, "The worker stops within 2 s."),
        **problem_responses("job_not_found", "job_already_ended"),
    },
)
def cancel_job(job_id: JobId, response: Response, context: ContextDependency) -> JobReply:
    """Stop a job for good. A running one keeps its last checkpoint. Asking twice is harmless."""
    with context.database.writing() as session:
        status = jobs.cancel(session, job_id).status
    response.status_code = 202 if status is JobStatus.CANCELLING else 200
    return _read_job(context, job_id)


@router.post(
    "/{job_id}/pause",
    responses={
        200: json_example(_PAUSED, "The job is paused; its worker writes a checkpoint."),
        **problem_responses("job_not_found", "invalid_transition"),
    },
)
def pause_job(job_id: JobId, context: ContextDependency) -> JobReply:
    """Hold a queued or running job. A running one writes a checkpoint and frees the worker."""
    with context.database.writing() as session:
        jobs.pause(session, job_id)
    return _read_job(context, job_id)


@router.post(
    "/{job_id}/resume",
    responses={
        200: json_example(JOB_EXAMPLE, "The job is queued again."),
        **problem_responses("job_not_found", "invalid_transition"),
    },
)
def resume_job(job_id: JobId, context: ContextDependency) -> JobReply:
    """Queue a paused job again; it continues from its last checkpoint."""
    with context.database.writing() as session:
        jobs.resume(session, job_id)
    return _read_job(context, job_id)


@router.post(
    "/{job_id}/retry",
    responses={
        200: json_example(JOB_EXAMPLE, "The job is queued again."),
        **problem_responses(
            "job_not_found", "invalid_transition", "too_many_queued_jobs", "queue_full"
        ),
    },
)
def retry_job(job_id: JobId, context: ContextDependency) -> JobReply:
    """Queue a failed job again; it continues from its last checkpoint."""
    with context.database.writing() as session:
        jobs.retry(session, job_id, most_queued=context.settings.key_queued_jobs)
        check_queue(session, context.settings.limit_queued_jobs, new_jobs=1)
    return _read_job(context, job_id)


def _resolve(request: JobRequest) -> TrainingSpec:
    """Return the whole spec. Raises RequestValidationError on fields that do not go together."""
    try:
        return request.resolve()
    except ValidationError as error:
        raise RequestValidationError(
            [item | {"loc": ("body", *item["loc"])} for item in error.errors()]
        ) from error


def _read_job(context: Context, job_id: int) -> JobReply:
    with context.database.reading() as session:
        job = jobs.get(session, job_id)
        model = models.find_of_job(session, job_id)
        trial = sweeps.find_of_jobs(session, [job_id]).get(job_id)
        size = checkpoints.measure_bytes(session, [job_id]).get(job_id, 0)
        is_worker_alive = _is_worker_alive(context, session)
    return JobReply.describe(
        job, model, trial, checkpoint_bytes=size, is_worker_alive=is_worker_alive
    )


def _is_worker_alive(context: Context, session: Session) -> bool:
    return bool(workers.list_alive(session, context.settings.heartbeat_interval_seconds))
