"""Sweeps: many jobs that differ in some fields, and how they did."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from client.schemas.base import Reply
from client.schemas.jobs import JobStatus, PublishedModel
from client.spec import TrainingSpec


class SweepStatus(StrEnum):
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        return self in {SweepStatus.SUCCEEDED, SweepStatus.FAILED, SweepStatus.CANCELLED}


class SweepError(Reply):
    """Why a sweep failed."""

    code: str
    message: str


class Trial(Reply):
    """One job of a sweep; `validation_accuracy` is a share of held-out images, from 0 to 1."""

    number: int
    job_id: int
    status: JobStatus
    params: dict[str, Any]
    epoch: int
    validation_accuracy: float | None = None
    pruned_after_epoch: int | None = None
    model: PublishedModel | None = None


class SweepSummary(Reply):
    """A sweep as it was when it was read."""

    id: int
    status: SweepStatus
    request: dict[str, Any]
    spec: TrainingSpec
    model_name: str
    trials: int
    submitted: int
    statuses: dict[JobStatus, int] = Field(default_factory=dict)
    pruned: int = 0
    best: Trial | None = None
    error: SweepError | None = None
    created_at: datetime
    finished_at: datetime | None = None


class Sweep(SweepSummary):
    """A sweep with its trials: those that succeeded first, the best of them on top."""

    ranking: list[Trial]


class SweepPage(Reply):
    items: list[SweepSummary]
    next_cursor: str | None = None
