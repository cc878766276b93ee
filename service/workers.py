"""`/workers`: who trains."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service.context import ContextDependency
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from store import workers

router = APIRouter(
    prefix="/workers", tags=["workers"], responses=problem_responses(*COMMON_PROBLEMS)
)


class WorkerReply(BaseModel):
    """A worker that is alive."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    host: str
    pid: int
    device: str = Field(description="What it computes on.")
    started_at: datetime
    heartbeat_at: datetime = Field(description="When it was last heard of.")


class WorkerList(BaseModel):
    """The workers that are alive."""

    items: list[WorkerReply]


_EXAMPLE = {
    "id": "host-4711-a1b2c3",
    "host": "host",
    "pid": 4711,
    "device": "cpu with 2 threads",
    "started_at": "2026-01-31T11:59:00Z",
    "heartbeat_at": "2026-01-31T12:00:00Z",
}


@router.get("", responses={200: json_example({"items": [_EXAMPLE]})})
def list_workers(context: ContextDependency) -> WorkerList:
    """List the workers that were heard of lately."""
    with context.database.reading() as session:
        rows = workers.list_alive(session, context.settings.heartbeat_interval_seconds)
    return WorkerList(items=[WorkerReply.model_validate(row) for row in rows])
