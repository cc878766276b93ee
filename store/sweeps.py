"""Sweeps: who drives one may die at any moment, for all that is known of it is in its rows.

    running     settle → succeeded | failed    cancel → cancelling
    cancelling  settle → cancelled

A trial is a job. Which process submits the next one does not matter: `submit_trial` takes a
number, and each number once. Each function runs inside the caller's `Database.writing()` block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import jobs
from store.artifacts import ArtifactStore
from store.clock import utc_now
from store.errors import ConflictError, InvalidTransitionError, NotFoundError
from store.sweep_requests import SweepRequest
from store.tables import EpochMetric, Job, JobStatus, Sweep, SweepStatus, Trial

# So many trials that fail before any succeeds end their sweep: what fails them is no accident.
FAILURES_UNTIL_END = 5

_ACTIVE = {JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING}


@dataclass(frozen=True)
class RankedTrial:
    """A trial and what has come of it.

    `validation_accuracy` is that of the weights which the trial has at its end, or has now; None
    before its first epoch has ended.
    """

    sweep_id: int
    number: int
    job_id: int
    status: JobStatus
    params: dict[str, Any]
    epoch: int
    validation_accuracy: float | None
    pruned_after_epoch: int | None
    error: dict[str, Any] | None


def submit(
    session: Session,
    request: SweepRequest,
    *,
    idempotency_key: str | None = None,
    api_key_id: str | None = None,
) -> tuple[Sweep, bool]:
    """Begin a sweep and return it with True; with False when the key has made it before.

    Its trials are submitted by the workers. Raises ConflictError (`idempotency_key_reused`) when
    the key came with another request.
    """
    asked = request.model_dump(exclude_unset=True, mode="json")
    if idempotency_key is not None:
        known = session.scalar(select(Sweep).where(Sweep.idempotency_key == idempotency_key))
        if known is not None:
            if known.request != asked:
                raise ConflictError(
                    "This Idempotency-Key came with another request before: "
                    "send a new key, or the same body.",
                    code="idempotency_key_reused",
                )
            return known, False
    sweep = Sweep(
        status=SweepStatus.RUNNING,
        request=asked,
        model_name=request.complete_job().resolve_model_name(),
        idempotency_key=idempotency_key,
        api_key_id=api_key_id,
        submitted=0,
    )
    session.add(sweep)
    session.flush()
    return sweep, True


def get(session: Session, sweep_id: int) -> Sweep:
    """Return the sweep. Raises NotFoundError (`sweep_not_found`)."""
    sweep = session.get(Sweep, sweep_id)
    if sweep is None:
        raise NotFoundError(f"There is no sweep {sweep_id}.", code="sweep_not_found")
    return sweep


def list_page(
    session: Session,
    *,
    status: SweepStatus | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Sweep]:
    """Return up to `limit` sweeps, newest first, with ids below `before`."""
    query = select(Sweep).order_by(Sweep.id.desc()).limit(limit)
    if status is not None:
        query = query.where(Sweep.status == status)
    if before is not None:
        query = query.where(Sweep.id < before)
    return list(session.scalars(query))


def list_running(session: Session) -> list[Sweep]:
    """Return the sweeps whose trials are to be submitted, oldest first."""
    query = select(Sweep).where(Sweep.status == SweepStatus.RUNNING).order_by(Sweep.id)
    return list(session.scalars(query))


def count_free_places(request: SweepRequest, submitted: int, trials: Sequence[RankedTrial]) -> int:
    """Return how many trials may be submitted now. A paused one gives its place to another."""
    active = sum(trial.status in _ACTIVE for trial in trials)
    return max(0, min(request.parallel_trials - active, request.trials - submitted))


def submit_trial(
    session: Session, sweep_id: int, number: int, params: Mapping[str, Any]
) -> Job | None:
    """Queue the job of trial `number`; None where another process has done so, or the sweep ends.

    Raises pydantic.ValidationError where the params make no legal spec.
    """
    sweep = session.get(Sweep, sweep_id, with_for_update=True)
    if sweep is None or sweep.status is not SweepStatus.RUNNING or sweep.submitted != number:
        return None
    request = SweepRequest.model_validate(sweep.request)
    own = request.make_trial(dict(params)).model_copy(update={"model": sweep.model_name})
    job, _ = jobs.submit(session, own, api_key_id=sweep.api_key_id)
    session.add(Trial(job_id=job.id, sweep_id=sweep_id, number=number, params=dict(params)))
    sweep.submitted += 1
    return job


def find_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, Trial]:
    """Return what makes them trials of those of the jobs that are some, by job id."""
    found = session.scalars(select(Trial).where(Trial.job_id.in_(job_ids)))
    return {trial.job_id: trial for trial in found}


def list_trials(session: Session, sweep_ids: Sequence[int]) -> list[RankedTrial]:
    """Return the trials of the sweeps: those that succeeded first, the best of them on top."""
    epochs = (
        select(
            EpochMetric.job_id,
            func.max(EpochMetric.epoch).label("last"),
            func.max(EpochMetric.validation_accuracy).label("best"),
        )
        .join(Trial, Trial.job_id == EpochMetric.job_id)
        .where(Trial.sweep_id.in_(sweep_ids))
        .group_by(EpochMetric.job_id)
        .subquery()
    )
    query = (
        select(Trial, Job, epochs.c.last, epochs.c.best, EpochMetric.validation_accuracy)
        .join(Job, Job.id == Trial.job_id)
        .outerjoin(epochs, epochs.c.job_id == Trial.job_id)
        .outerjoin(
            EpochMetric,
            (EpochMetric.job_id == Trial.job_id) & (EpochMetric.epoch == epochs.c.last),
        )
        .where(Trial.sweep_id.in_(sweep_ids))
    )
    trials = [
        RankedTrial(
            sweep_id=trial.sweep_id,
            number=trial.number,
            job_id=trial.job_id,
            status=job.status,
            params=trial.params,
            epoch=epoch or 0,
            # With early stopping the weights of the best epoch are published.
            validation_accuracy=last if job.spec["patience_epochs"] is None else best,
            pruned_after_epoch=trial.pruned_after_epoch,
            error=job.error,
        )
        for trial, job, epoch, best, last in session.execute(query)
    ]
    return sorted(trials, key=_rank)


def read_curves(
    session: Session, sweep_id: int, *, epoch: int | None = None, job_id: int | None = None
) -> dict[int, dict[int, float]]:
    """Return the validation accuracies by job id and epoch (of one epoch, or one job, only)."""
    query = (
        select(EpochMetric.job_id, EpochMetric.epoch, EpochMetric.validation_accuracy)
        .join(Trial, Trial.job_id == EpochMetric.job_id)
        .where(Trial.sweep_id == sweep_id, EpochMetric.validation_accuracy.is_not(None))
    )
    if epoch is not None:
        query = query.where(EpochMetric.epoch == epoch)
    if job_id is not None:
        query = query.where(EpochMetric.job_id == job_id)
    curves: dict[int, dict[int, float]] = {}
    for row in session.execute(query):
        curves.setdefault(row.job_id, {})[row.epoch] = row.validation_accuracy
    return curves


def find_better(session: Session, job_id: int) -> RankedTrial | None:
    """Return the trial that has succeeded with at least the accuracy that this job's trial has.

    None where it is the best of its sweep so far, or no trial at all.
    """
    trial = session.get(Trial, job_id)
    if trial is None:
        return None
    # Of two that end at once one must see the other.
    sweep = session.get_one(Sweep, trial.sweep_id, with_for_update=True)
    trials = list_trials(session, [sweep.id])
    own = next(other for other in trials if other.job_id == job_id)
    best = trials[0]
    is_better = best.status is JobStatus.SUCCEEDED and _accuracy(best) >= _accuracy(own)
    return best if is_better and best is not own else None


def prune(session: Session, claim: jobs.Claim, epoch: int) -> None:
    """Cancel the claimed job, which cannot become the best of its sweep.

    Raises what `jobs.prune` raises.
    """
    message = (
        f"The trial was pruned after epoch {epoch}: its accuracy on the held-out images was below "
        "the median of the finished trials."
    )
    jobs.prune(session, claim, message, {"epoch": epoch})
    session.get_one(Trial, claim.job_id).pruned_after_epoch = epoch


def cancel(session: Session, sweep_id: int) -> Sweep:
    """Submit no more trials and cancel those that have not ended. Asking twice is harmless.

    Raises InvalidTransitionError (`sweep_already_ended`).
    """
    sweep = get(session, sweep_id)
    if sweep.status.is_ended:
        raise InvalidTransitionError(
            f"Sweep {sweep_id} has already ended ({sweep.status}): there is nothing to cancel.",
            code="sweep_already_ended",
        )
    sweep.status = SweepStatus.CANCELLING
    _cancel_trials(session, sweep)
    settle(session, sweep_id)
    return sweep


def fail(session: Session, sweep_id: int, message: str) -> None:
    """running → failed; the trials that have not ended are cancelled."""
    sweep = session.get(Sweep, sweep_id, with_for_update=True)
    if sweep is not None and sweep.status is SweepStatus.RUNNING:
        sweep.error = {"code": "sweep_failed", "message": message}
        _end(sweep, SweepStatus.FAILED)
        _cancel_trials(session, sweep)


def find_due(session: Session) -> list[int]:
    """Return the sweeps that `settle` would end."""
    open_statuses = [SweepStatus.RUNNING, SweepStatus.CANCELLING]
    found = list(session.scalars(select(Sweep).where(Sweep.status.in_(open_statuses))))
    return [sweep.id for sweep in found if _judge(sweep, list_trials(session, [sweep.id]))]


def settle(session: Session, sweep_id: int) -> None:
    """End a sweep whose trials have all ended, or have all failed from the first."""
    sweep = session.get(Sweep, sweep_id, with_for_update=True)
    if sweep is None or sweep.status.is_ended:
        return
    trials = list_trials(session, [sweep.id])
    status = _judge(sweep, trials)
    if status is SweepStatus.FAILED:
        fail(session, sweep_id, _explain_failure(trials))
    elif status is not None:
        _end(sweep, status)


def delete(session: Session, sweep_id: int, artifacts: ArtifactStore) -> None:
    """Delete an ended sweep with the jobs of its trials; published models stay.

    Raises InvalidTransitionError (`sweep_not_ended`) while a trial may still run.
    """
    sweep = get(session, sweep_id)
    trials = list_trials(session, [sweep.id])
    if not (sweep.status.is_ended and all(trial.status.is_ended for trial in trials)):
        raise InvalidTransitionError(
            f"Sweep {sweep_id} has not ended: cancel it first, then delete it.",
            code="sweep_not_ended",
        )
    for trial in trials:
        jobs.delete(session, trial.job_id, artifacts)
    session.delete(sweep)


def _judge(sweep: Sweep, trials: Sequence[RankedTrial]) -> SweepStatus | None:
    """Return the status that the sweep is to end with; None where it goes on."""
    have_ended = all(trial.status.is_ended for trial in trials)
    if sweep.status is SweepStatus.CANCELLING:
        return SweepStatus.CANCELLED if have_ended else None
    statuses = [trial.status for trial in trials]
    has_success = JobStatus.SUCCEEDED in statuses
    if not has_success and statuses.count(JobStatus.FAILED) >= FAILURES_UNTIL_END:
        return SweepStatus.FAILED
    if not have_ended or sweep.submitted < sweep.request["trials"]:
        return None
    return SweepStatus.SUCCEEDED if has_success else SweepStatus.FAILED


def _explain_failure(trials: Sequence[RankedTrial]) -> str:
    failed = [trial for trial in trials if trial.status is JobStatus.FAILED]
    if not failed:
        return "No trial succeeded: every one was cancelled."
    last = max(failed, key=lambda trial: trial.number)
    reason = (last.error or {}).get("message", "no reason was recorded")
    return f"No trial succeeded and {len(failed)} failed. Job {last.job_id}, the last one: {reason}"


def _cancel_trials(session: Session, sweep: Sweep) -> None:
    for trial in list_trials(session, [sweep.id]):
        if not trial.status.is_ended:
            jobs.cancel(session, trial.job_id)
    session.flush()


def _end(sweep: Sweep, status: SweepStatus) -> None:
    sweep.status = status
    sweep.finished_at = utc_now()


def _rank(trial: RankedTrial) -> tuple[bool, float, int]:
    return trial.status is not JobStatus.SUCCEEDED, -_accuracy(trial), trial.number


def _accuracy(trial: RankedTrial) -> float:
    return -1.0 if trial.validation_accuracy is None else trial.validation_accuracy
