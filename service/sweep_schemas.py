"""What `/sweeps` replies with, and the examples of its documentation."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from service.job_schemas import PublishedModel
from store.specs import TrainingSpec
from store.sweep_requests import SweepRequest
from store.sweeps import RankedTrial
from store.tables import JobStatus, Model, Sweep, SweepStatus


class SweepError(BaseModel):
    """Why a sweep failed."""

    code: str = Field(description="Stable name of the kind of failure, for programs.")
    message: str = Field(description="What went wrong, and what to do.")


class TrialReply(BaseModel):
    """One trial: a job, and how it did."""

    model_config = ConfigDict(from_attributes=True)

    number: int = Field(description="Number of the trial, from 0 in the order of submission.")
    job_id: int = Field(description="Its job: `GET /jobs/{job_id}`.")
    status: JobStatus = Field(description="Status of the job.")
    params: dict[str, JsonValue] = Field(description="The fields of the space as they were drawn.")
    epoch: int = Field(description="Epochs done.")
    validation_accuracy: float | None = Field(
        description="Share of the held-out images that it classifies correctly, from 0 to 1; what "
        "trials are ranked by."
    )
    pruned_after_epoch: int | None = Field(
        description="After which it was stopped, because it could not become the best. Its status "
        "is `cancelled`."
    )
    model: PublishedModel | None = Field(
        description="The model version, where the trial was the best so far when it ended."
    )


class SweepSummary(BaseModel):
    """A sweep, as it is now."""

    id: int
    status: SweepStatus
    request: dict[str, JsonValue] = Field(description="What was asked for.")
    spec: TrainingSpec = Field(description="What all trials have in common, outside of the space.")
    model_name: str = Field(description="Name that the best trials are published under.")
    trials: int = Field(description="How many trials there are to be.")
    submitted: int = Field(description="How many of them have been queued so far.")
    statuses: dict[JobStatus, int] = Field(description="How many trials have which status.")
    pruned: int = Field(description="How many of the cancelled ones were pruned.")
    best: TrialReply | None = Field(description="The best of the trials that have succeeded.")
    error: SweepError | None = Field(description="Why it failed.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def describe(
        cls, sweep: Sweep, trials: Sequence[RankedTrial], published: Mapping[int, Model]
    ) -> Self:
        """`trials` are ranked; `published` are their models by job id."""
        request = SweepRequest.model_validate(sweep.request)
        ranking = [
            TrialReply.model_validate({**vars(trial), "model": published.get(trial.job_id)})
            for trial in trials
        ]
        return cls.model_validate(
            {
                **{name: getattr(sweep, name) for name in _COLUMNS},
                "spec": request.complete_job().resolve(),
                "trials": request.trials,
                "statuses": Counter(trial.status for trial in trials),
                "pruned": sum(trial.pruned_after_epoch is not None for trial in trials),
                "best": next((t for t in ranking if t.status is JobStatus.SUCCEEDED), None),
                "ranking": ranking,
            }
        )


_COLUMNS = (
    "id",
    "status",
    "request",
    "model_name",
    "submitted",
    "error",
    "created_at",
    "finished_at",
)


class SweepReply(SweepSummary):
    """A sweep with its trials."""

    ranking: list[TrialReply] = Field(
        description="The trials: those that succeeded first, the best of them on top."
    )


class SweepPage(BaseModel):
    """Some of the sweeps, newest first."""

    items: list[SweepSummary]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


REQUEST_EXAMPLES: dict[str, Any] = {
    "learning_rate": {
        "summary": "Learning rate, batch size and update rule of the lesson, on the drawn shapes",
        "value": {
            "job": {"recipe": "tutorial", "dataset": "shapes", "epochs": 3},
            "space": {
                "learning_rate": {"low": 0.0001, "high": 0.1, "log": True},
                "batch_size": {"choices": [4, 16, 64]},
                "optimizer": {"choices": ["sgd", "adam"]},
            },
            "trials": 20,
            "parallel_trials": 2,
        },
    }
}
_TRIAL_EXAMPLE: dict[str, Any] = {
    "number": 3,
    "job_id": 12,
    "status": "succeeded",
    "params": {"learning_rate": 0.0031, "batch_size": 16, "optimizer": "adam"},
    "epoch": 3,
    "validation_accuracy": 0.937,
    "pruned_after_epoch": None,
    "model": {"name": "shapes-tutorial", "version": 2, "accuracy": 0.931},
}
SUMMARY_EXAMPLE: dict[str, Any] = {
    "id": 2,
    "status": "running",
    "request": REQUEST_EXAMPLES["learning_rate"]["value"],
    "spec": TrainingSpec(dataset="shapes", epochs=3, validation_share=0.1).model_dump(mode="json"),
    "model_name": "shapes-tutorial",
    "trials": 20,
    "submitted": 4,
    "statuses": {"succeeded": 1, "cancelled": 1, "running": 2},
    "pruned": 1,
    "best": _TRIAL_EXAMPLE,
    "error": None,
    "created_at": "2026-01-31T12:00:00Z",
    "finished_at": None,
}
SWEEP_EXAMPLE: dict[str, Any] = SUMMARY_EXAMPLE | {"ranking": [_TRIAL_EXAMPLE]}
