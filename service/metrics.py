"""`/jobs/{id}/metrics`: the numbers of a run, while it runs and afterwards."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service import cursors
from service.context import ContextDependency
from service.cursors import CursorQuery
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from service.parameters import JobId, Limit
from store import jobs, metrics

router = APIRouter(
    prefix="/jobs/{job_id}/metrics",
    tags=["jobs"],
    responses=problem_responses(*COMMON_PROBLEMS, "job_not_found"),
)


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


_EXAMPLE = {
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


@router.get("", responses={200: json_example(_EXAMPLE), **problem_responses("invalid_cursor")})
def list_metrics(
    job_id: JobId, context: ContextDependency, limit: Limit = 200, cursor: CursorQuery = None
) -> MetricPage:
    """List step and epoch metrics, oldest first; poll with `next_cursor` for what is new."""
    last_step, last_epoch = (
        (0, 0) if cursor is None else cursors.decode_numbers("metrics", cursor, 2)
    )
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
