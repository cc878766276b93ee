"""`/health`: whether this process lives, and whether it can do its work."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.context import ContextDependency
from service.openapi import json_example, problem_responses
from store import migrations, workers

router = APIRouter(prefix="/health", tags=["health"])


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["live"]


class Readiness(BaseModel):
    """The database can be used."""

    status: Literal["ready"]
    schema_revision: str = Field(description="The migration that the database is at.")
    workers_alive: int = Field(description="Workers heard of lately. Without one, jobs wait.")


@router.get("/live", responses={200: json_example({"status": "live"})})
async def check_liveness() -> Liveness:
    """Tell that the process answers; looks at nothing else."""
    return Liveness(status="live")


@router.get(
    "/ready",
    responses={
        200: json_example({"status": "ready", "schema_revision": "0001", "workers_alive": 1}),
        **problem_responses("internal_error", "database_unusable"),
    },
)
def check_readiness(context: ContextDependency) -> Readiness:
    """Tell whether the database can be used and has the schema of this version."""
    revision = migrations.check_current(context.database)
    with context.database.reading() as session:
        alive = workers.list_alive(session, context.settings.heartbeat_interval_seconds)
    return Readiness(status="ready", schema_revision=revision, workers_alive=len(alive))
