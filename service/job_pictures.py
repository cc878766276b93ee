"""`/jobs/{id}/curves` and `/confusion-matrix` as pictures: for slides, and for chat rooms."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from service.context import ContextDependency
from service.openapi import COMMON_PROBLEMS, problem_responses
from service.parameters import JobId
from service.pictures import PICTURE_CONTENT, PictureFormatPath, send_picture
from service.reports import REPORT_PROBLEMS, read_report
from store import jobs, metrics
from store.evaluations import EvaluationReport
from store.tables import Job

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])

# More than a job reports as a rule; a chart of the first of them is better than none.
_MOST_METRICS = 200_000


@router.get(
    "/curves.{picture_format}",
    response_class=Response,
    responses={
        200: {"description": "Loss and accuracy, side by side.", "content": PICTURE_CONTENT},
        **problem_responses(*COMMON_PROBLEMS, "job_not_found"),
    },
)
def draw_curves(
    job_id: JobId,
    picture_format: PictureFormatPath,
    context: ContextDependency,
    *,
    log: Annotated[bool, Query(description="Logarithmic axis for the loss.")] = False,
) -> Response:
    """Draw the loss and the accuracy of a job so far, with title, axes and legend."""
    from service import charts  # noqa: PLC0415 -- slow to import, and few ask for pictures

    with context.database.reading() as session:
        curves = charts.Curves(
            title=_describe(jobs.get(session, job_id)),
            steps=metrics.list_steps(session, job_id, limit=_MOST_METRICS),
            epochs=metrics.list_epochs(session, job_id, limit=_MOST_METRICS),
        )
    return send_picture(charts.draw_curves(curves, picture_format, is_log=log), picture_format)


@router.get(
    "/confusion-matrix.{picture_format}",
    response_class=Response,
    responses={
        200: {
            "description": "True class down, predicted class across.",
            "content": PICTURE_CONTENT,
        },
        **problem_responses(*COMMON_PROBLEMS, *REPORT_PROBLEMS),
    },
)
def draw_confusion_matrix(
    job_id: JobId, picture_format: PictureFormatPath, context: ContextDependency
) -> Response:
    """Draw the confusion matrix of a job that has succeeded."""
    from service import charts  # noqa: PLC0415 -- slow to import, and few ask for pictures

    report = EvaluationReport.model_validate_json(read_report(context, job_id))
    with context.database.reading() as session:
        title = _describe(jobs.get(session, job_id))
    content = charts.draw_confusion_matrix(title, report, picture_format)
    return send_picture(content, picture_format)


def _describe(job: Job) -> str:
    return f"Job {job.id}, {job.spec['network']} on {job.spec['dataset']}"
