"""`/jobs/{id}/report` and `/predictions`: how good the model of a job is, and where it is wrong."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from service import cursors
from service.context import Context, ContextDependency
from service.cursors import CursorQuery
from service.downloads import is_same
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from service.parameters import IfNoneMatch, JobId, Limit
from store import jobs, models, sweeps
from store.errors import ConflictError, InvalidRequestError, NotFoundError
from store.evaluations import EvaluationReport
from store.tables import JobStatus, Model

REPORT_PROBLEMS = (
    "artifact_damaged",
    "job_not_found",
    "report_gone",
    "report_not_ready",
    "trial_not_published",
)

router = APIRouter(
    prefix="/jobs/{job_id}",
    tags=["jobs"],
    responses=problem_responses(*COMMON_PROBLEMS, *REPORT_PROBLEMS),
)


class Prediction(BaseModel):
    """What the model answers on one test image."""

    index: int = Field(description="Number of the image in the test split, from 0.")
    label: str = Field(description="The true class.")
    predicted: str = Field(description="The class of highest probability.")
    confidence: float = Field(description="That probability.")


class PredictionPage(BaseModel):
    """Some of the predictions, by index."""

    items: list[Prediction]
    total: int = Field(description="How many predictions match, on all pages together.")
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


_CLASS = {"images": 1, "predicted": 1, "accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
_REPORT_EXAMPLE: dict[str, Any] = {
    "dataset": "cifar10",
    "split": "test",
    "images": 3,
    "accuracy": 0.667,
    "top_3_accuracy": 1.0,
    "mean_loss": 1.21,
    "expected_calibration_error": 0.04,
    "calibration_bins": [
        {"lower": 0.4, "upper": 0.467, "images": 3, "confidence": 0.45, "accuracy": 0.667}
    ],
    "classes": [
        {"name": "cat", **_CLASS},
        {
            "name": "dog",
            **_CLASS | {"images": 2, "accuracy": 0.5, "recall": 0.5, "f1": 0.667},
        },
    ],
    "macro_average": {"precision": 1.0, "recall": 0.75, "f1": 0.833},
    "confusion_matrix": [[1, 0], [1, 1]],
    "most_confident_mistakes": [
        {"index": 12, "label": "dog", "predicted": "cat", "confidence": 0.87}
    ],
}


@router.get(
    "/report",
    response_model=EvaluationReport,
    responses={
        200: json_example(_REPORT_EXAMPLE, "How the model does on the test images.")
        | {"headers": {"ETag": {"schema": {"type": "string"}}}},
        304: {"description": "The copy that `If-None-Match` names is still the same."},
    },
)
def get_report(
    job_id: JobId, context: ContextDependency, if_none_match: IfNoneMatch = None
) -> Response:
    """Return accuracy, precision, recall and F1 per class, confusion matrix and mistakes."""
    with context.database.reading() as session:
        model = _find_model(session, job_id)
        file = context.artifacts.get_file(session, model.artifact_id, "report.json")
        headers = {"ETag": f'"{file.sha256}"'}
        if is_same(file.sha256, if_none_match):
            return Response(status_code=304, headers=headers)
        report = context.artifacts.read(session, model.artifact_id, "report.json")
    return Response(report, media_type="application/json", headers=headers)


def read_report(context: Context, job_id: int) -> bytes:
    """Return the JSON of the report. Raises ConflictError or NotFoundError where there is none."""
    with context.database.reading() as session:
        model = _find_model(session, job_id)
        return context.artifacts.read(session, model.artifact_id, "report.json")


@router.get(
    "/predictions",
    responses={
        200: json_example(
            {
                "items": [{"index": 12, "label": "dog", "predicted": "cat", "confidence": 0.87}],
                "total": 1,
                "next_cursor": None,
            }
        ),
        **problem_responses("invalid_cursor", "invalid_request", "unknown_class"),
    },
)
def list_predictions(
    job_id: JobId,
    context: ContextDependency,
    *,
    label: Annotated[str | None, Query(description="Only images of this true class.")] = None,
    predicted: Annotated[str | None, Query(description="Only images taken for this class.")] = None,
    limit: Limit = 50,
    cursor: CursorQuery = None,
) -> PredictionPage:
    """List what the model answers on the test images: one cell of the confusion matrix, say."""
    after = -1 if cursor is None else cursors.decode_numbers("predictions", cursor, 1)[0]
    predictions = _read_predictions(context, job_id)
    names = predictions.classes
    for name in (label, predicted):
        if name is not None and name not in names:
            raise InvalidRequestError(
                f"The model has no class {name!r}. Its classes: {', '.join(names)}.",
                code="unknown_class",
            )
    matching = predictions.find(label, predicted)
    rest = [index for index in matching if index > after]
    page = rest[:limit]
    return PredictionPage(
        items=[predictions.describe(index) for index in page],
        total=len(matching),
        next_cursor=cursors.encode("predictions", page[-1]) if len(rest) > limit else None,
    )


class _Predictions(BaseModel):
    """`predictions.json`: one entry an image in each list, classes by number."""

    classes: list[str]
    labels: list[int]
    predicted: list[int]
    confidence: list[float]

    def find(self, label: str | None, predicted: str | None) -> list[int]:
        """Return the indices of the images of class `label` that were taken for `predicted`."""
        return [
            index
            for index, (of_label, of_predicted) in enumerate(
                zip(self.labels, self.predicted, strict=True)
            )
            if label in (None, self.classes[of_label])
            and predicted in (None, self.classes[of_predicted])
        ]

    def describe(self, index: int) -> Prediction:
        return Prediction(
            index=index,
            label=self.classes[self.labels[index]],
            predicted=self.classes[self.predicted[index]],
            confidence=self.confidence[index],
        )


def _read_predictions(context: Context, job_id: int) -> _Predictions:
    with context.database.reading() as session:
        model = _find_model(session, job_id)
        content = context.artifacts.read(session, model.artifact_id, "predictions.json")
    return _Predictions(classes=model.manifest["classes"], **json.loads(content))


def _find_model(session: Session, job_id: int) -> Model:
    """Return the job's model. Raises ConflictError or NotFoundError, saying why there is none."""
    job = jobs.get(session, job_id)
    model = models.find_of_job(session, job_id)
    if model is not None:
        return model
    if job.status is JobStatus.SUCCEEDED and (trial := sweeps.find_of_jobs(session, [job_id])):
        raise NotFoundError(
            f"Job {job_id} is trial {trial[job_id].number} of sweep {trial[job_id].sweep_id}. Only "
            "a trial that is the best so far publishes its model and its report.",
            code="trial_not_published",
        )
    if job.status is JobStatus.SUCCEEDED:
        raise NotFoundError(
            f"The model of job {job_id} was deleted, and its report with it: train it again.",
            code="report_gone",
        )
    raise ConflictError(
        f"Job {job_id} is {job.status} and has no report: {_advise(job.status)}",
        code="report_not_ready",
    )


def _advise(status: JobStatus) -> str:
    if status in {JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.CANCELLING}:
        return "only a job that succeeds gets one. Post it again."
    if status is JobStatus.PAUSED:
        return "resume it, and wait until its status is succeeded."
    return "wait until its status is succeeded."
