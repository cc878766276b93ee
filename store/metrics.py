"""The numbers of a run: one row a report within an epoch, one row an epoch."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from store.reports import EpochReport, StepReport
from store.tables import EpochMetric, StepMetric


def append(session: Session, job_id: int, reports: Sequence[StepReport | EpochReport]) -> None:
    """Add the reports. The caller has checked that its attempt owns the job."""
    for report in reports:
        table = StepMetric if isinstance(report, StepReport) else EpochMetric
        session.add(table(job_id=job_id, **asdict(report)))


def discard_after(session: Session, job_id: int, *, step: int, epoch: int) -> None:
    """Forget what a new attempt, which goes on after `step` and `epoch`, will report again."""
    session.execute(delete(StepMetric).where(StepMetric.job_id == job_id, StepMetric.step > step))
    # By epoch, because a checkpoint at an epoch's last step comes before the epoch's report.
    session.execute(
        delete(EpochMetric).where(EpochMetric.job_id == job_id, EpochMetric.epoch > epoch)
    )


def list_steps(
    session: Session, job_id: int, *, after: int | None = None, limit: int = 1000
) -> list[StepMetric]:
    """Return up to `limit` step metrics in order, with steps above `after`."""
    query = select(StepMetric).where(StepMetric.job_id == job_id).order_by(StepMetric.step)
    if after is not None:
        query = query.where(StepMetric.step > after)
    return list(session.scalars(query.limit(limit)))


def list_epochs(
    session: Session, job_id: int, *, after: int | None = None, limit: int = 1000
) -> list[EpochMetric]:
    """Return up to `limit` epoch metrics in order, with epochs above `after`."""
    query = select(EpochMetric).where(EpochMetric.job_id == job_id).order_by(EpochMetric.epoch)
    if after is not None:
        query = query.where(EpochMetric.epoch > after)
    return list(session.scalars(query.limit(limit)))


def find_newest(session: Session, job_id: int) -> tuple[int, int]:
    """Return the last step and the last epoch that have metrics, 0 where none has."""
    step = session.scalar(select(func.max(StepMetric.step)).where(StepMetric.job_id == job_id))
    epoch = session.scalar(select(func.max(EpochMetric.epoch)).where(EpochMetric.job_id == job_id))
    return step or 0, epoch or 0
