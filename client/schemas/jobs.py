"""Jobs, what they report while they run, and what is kept of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from client.schemas.base import Reply
from client.spec import TrainingSpec


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class JobProgress(Reply):
    """How far the worker is."""

    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float | None = None
    elapsed_seconds: float | None = None
    seconds_left: float | None = None


class JobError(Reply):
    """Why a job failed."""

    code: str
    message: str
    traceback: str | None = None


class PublishedModel(Reply):
    """The model version that a job produced; `accuracy` is a share from 0 to 1."""

    name: str
    version: int
    accuracy: float


class TrialOfJob(Reply):
    """Which trial of which sweep a job is."""

    sweep: int
    number: int
    pruned_after_epoch: int | None = None


class JobRecord(Reply):
    """A job as it was when it was read."""

    id: int
    status: JobStatus
    priority: int
    request: dict[str, Any]
    spec: TrainingSpec
    model_name: str
    model: PublishedModel | None = None
    trial: TrialOfJob | None = None
    attempt: int
    crashes: int = 0
    worker_id: str | None = None
    max_run_seconds: float | None = None
    max_wait_seconds: float | None = None
    run_seconds: float = 0.0
    checkpoint_bytes: int = 0
    progress: JobProgress | None = None
    error: JobError | None = None
    waiting_reason: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class JobPage(Reply):
    items: list[JobRecord]
    next_cursor: str | None = None


class StepMetric(Reply):
    """The mean loss over the steps since the report before."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float


class EpochMetric(Reply):
    """What one pass over the training images came to; accuracies are shares from 0 to 1."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    validation_accuracy: float | None = None
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float


class Metrics(Reply):
    """The metrics of a job, oldest first."""

    steps: list[StepMetric]
    epochs: list[EpochMetric]


class MetricPage(Metrics):
    has_more: bool
    next_cursor: str


class Event(Reply):
    """Something that happened to a job; `kind` is stable and meant for programs."""

    id: int
    created_at: datetime
    kind: str
    message: str
    data: dict[str, Any] = Field(default_factory=dict)


class EventPage(Reply):
    items: list[Event]
    has_more: bool
    next_cursor: str


class StoredFile(Reply):
    """One file of a checkpoint or a model version."""

    name: str
    size_bytes: int
    sha256: str


class Checkpoint(Reply):
    """A state that training can go on from."""

    id: int
    attempt: int
    epoch: int
    step: int
    size_bytes: int
    created_at: datetime
    files: list[StoredFile] = Field(default_factory=list)


class CheckpointList(Reply):
    items: list[Checkpoint]
