"""What `/jobs` replies with, and the examples of its documentation."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from store.specs import TrainingSpec
from store.tables import Job, JobStatus, Model, Trial

NO_WORKER = (
    "No worker is alive: the job waits in the queue until one starts. "
    "Start one with `python -m worker`, or API and worker together with `make serve`."
)


class JobError(BaseModel):
    """Why a job failed."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(description="Stable name of the kind of failure, for programs.")
    message: str = Field(description="What went wrong, and what to do.")
    traceback: str | None = Field(default=None, description="Where in the worker it happened.")


class PublishedModel(BaseModel):
    """The model version that a job produced."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    version: int
    accuracy: float = Field(description="Share of the test images that it classifies correctly.")


class TrialOfJob(BaseModel):
    """Which trial of which sweep a job is."""

    sweep: int = Field(description="Id of the sweep.")
    number: int = Field(description="Number of the trial in it, from 0.")
    pruned_after_epoch: int | None = Field(
        description="After which it was stopped, because it could not become the best."
    )


class JobReply(BaseModel):
    """A job, as it is now."""

    id: int
    status: JobStatus
    priority: int
    request: dict[str, JsonValue] = Field(description="What was asked for.")
    spec: TrainingSpec = Field(description="What that resolved to: everything that is computed.")
    model_name: str = Field(description="Name that the model is published under.")
    model: PublishedModel | None = Field(description="The model, once the job has succeeded.")
    trial: TrialOfJob | None = Field(description="Where the job is a trial of a sweep: which.")
    attempt: int = Field(description="How often a worker has begun or continued it.")
    crashes: int = Field(
        description="Workers that died in a row without getting the job any farther; the third "
        "fails it. Stopping a worker does not count."
    )
    run_seconds: float = Field(description="Time that workers have spent on it.")
    max_run_seconds: float | None = Field(description="After which it fails.")
    max_wait_seconds: float | None = Field(description="In the queue, after which it fails.")
    checkpoint_bytes: int = Field(description="Size of the checkpoints that are kept of it.")
    worker_id: str | None = Field(description="The worker that runs it now.")
    progress: dict[str, JsonValue] | None = Field(description="How far the worker is.")
    error: JobError | None = Field(description="Why it failed.")
    waiting_reason: str | None = Field(
        description="Why a queued job cannot start now, and what to do."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def describe(
        cls,
        job: Job,
        model: Model | None,
        trial: Trial | None,
        *,
        checkpoint_bytes: int,
        is_worker_alive: bool,
    ) -> Self:
        is_waiting = job.status is JobStatus.QUEUED and not is_worker_alive
        return cls.model_validate(
            {
                **{name: getattr(job, name) for name in _COLUMNS},
                "model": model,
                "trial": trial
                and {
                    "sweep": trial.sweep_id,
                    "number": trial.number,
                    "pruned_after_epoch": trial.pruned_after_epoch,
                },
                "checkpoint_bytes": checkpoint_bytes,
                "waiting_reason": NO_WORKER if is_waiting else None,
            }
        )


_COLUMNS = JobReply.model_fields.keys() - {"model", "trial", "checkpoint_bytes", "waiting_reason"}


class JobPage(BaseModel):
    """Some of the jobs, newest first."""

    items: list[JobReply]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


REQUEST_EXAMPLES: dict[str, Any] = {
    "tutorial": {
        "summary": "The classic lesson on CIFAR-10",
        "value": {"recipe": "tutorial"},
    },
    "own_settings": {
        "summary": "The lesson with another update rule, and a name for the model",
        "value": {
            "recipe": "tutorial",
            "optimizer": "adam",
            "batch_size": 64,
            "epochs": 5,
            "seed": 1,
            "model": "airplanes-and-frogs",
        },
    },
    "without_network": {
        "summary": "The built-in drawn shapes, which need no download",
        "value": {"recipe": "tutorial", "dataset": "shapes", "epochs": 1},
    },
}
JOB_EXAMPLE: dict[str, Any] = {
    "id": 7,
    "status": "queued",
    "priority": 0,
    "request": {"recipe": "tutorial"},
    "spec": TrainingSpec().model_dump(mode="json"),
    "model_name": "cifar10-tutorial",
    "model": None,
    "trial": None,
    "attempt": 0,
    "crashes": 0,
    "run_seconds": 0.0,
    "max_run_seconds": None,
    "max_wait_seconds": None,
    "checkpoint_bytes": 0,
    "worker_id": None,
    "progress": None,
    "error": None,
    "waiting_reason": NO_WORKER,
    "created_at": "2026-01-31T12:00:00Z",
    "started_at": None,
    "finished_at": None,
}
