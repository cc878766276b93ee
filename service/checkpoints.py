"""`/jobs/{id}/checkpoints`: the resume states of a job, to look at and to take away."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from service.context import Context, ContextDependency
from service.downloads import FILE_EXAMPLES, FILE_REPLIES, ZIP_REPLIES, ArtifactFolder, FileReply
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from service.parameters import CheckpointId, FileName, IfNoneMatch, JobId
from store import checkpoints, jobs

router = APIRouter(
    prefix="/jobs/{job_id}/checkpoints",
    tags=["jobs"],
    responses=problem_responses(*COMMON_PROBLEMS, "job_not_found"),
)
_ONE = problem_responses("job_not_found", "checkpoint_not_found")
_FILE = problem_responses(
    "job_not_found",
    "checkpoint_not_found",
    "file_not_found",
    "internal_error",
    "artifact_damaged",
)


class CheckpointSummary(BaseModel):
    """A state that training can go on from. The newest two of a job are kept."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    attempt: int = Field(description="The attempt that wrote it.")
    epoch: int
    step: int
    size_bytes: int
    created_at: datetime


class CheckpointReply(CheckpointSummary):
    """A checkpoint with its files."""

    files: list[FileReply]


class CheckpointList(BaseModel):
    """All checkpoints of a job, newest first."""

    items: list[CheckpointSummary]


_EXAMPLE = {
    "id": 3,
    "attempt": 1,
    "epoch": 1,
    "step": 12500,
    "size_bytes": 502016,
    "created_at": "2026-01-31T12:00:12Z",
}


@router.get("", responses={200: json_example({"items": [_EXAMPLE]})})
def list_checkpoints(job_id: JobId, context: ContextDependency) -> CheckpointList:
    """List the checkpoints that are kept, newest first."""
    with context.database.reading() as session:
        jobs.get(session, job_id)
        rows = checkpoints.list_newest_first(session, job_id)
    return CheckpointList(items=[CheckpointSummary.model_validate(row) for row in rows])


@router.get(
    "/{checkpoint_id}",
    responses={200: json_example(_EXAMPLE | {"files": FILE_EXAMPLES}), **_ONE},
)
def get_checkpoint(
    job_id: JobId, checkpoint_id: CheckpointId, context: ContextDependency
) -> CheckpointReply:
    """Return one checkpoint and its files."""
    with context.database.reading() as session:
        jobs.get(session, job_id)
        row = checkpoints.get(session, job_id, checkpoint_id)
        files = context.artifacts.list_files(session, row.artifact_id)
    summary = CheckpointSummary.model_validate(row)
    return CheckpointReply(
        **summary.model_dump(), files=[FileReply.model_validate(file) for file in files]
    )


@router.get(
    "/{checkpoint_id}/files/{file_name}",
    response_class=Response,
    responses={**FILE_REPLIES, **_FILE},
)
def download_checkpoint_file(
    job_id: JobId,
    checkpoint_id: CheckpointId,
    file_name: FileName,
    context: ContextDependency,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Download one file of a checkpoint."""
    return _open(context, job_id, checkpoint_id).send_file(file_name, if_none_match)


@router.get(
    "/{checkpoint_id}/download",
    response_class=Response,
    responses={**ZIP_REPLIES, **_ONE, **problem_responses("internal_error", "artifact_damaged")},
)
def download_checkpoint(
    job_id: JobId, checkpoint_id: CheckpointId, context: ContextDependency
) -> Response:
    """Download a checkpoint as one zip archive."""
    name = f"job-{job_id}-checkpoint-{checkpoint_id}.zip"
    return _open(context, job_id, checkpoint_id).send_zip(name)


def _open(context: Context, job_id: int, checkpoint_id: int) -> ArtifactFolder:
    def find(session: Session) -> str:
        jobs.get(session, job_id)
        return checkpoints.get(session, job_id, checkpoint_id).artifact_id

    return ArtifactFolder(context, find)
