"""`tenfold jobs`: list them, look at one, stop it."""

from collections.abc import Callable
from itertools import islice

import click

from client.cli.completion import complete_job
from client.cli.shell import Shell, TenfoldGroup, get_shell
from client.errors import NotFoundError, Problem
from client.jobs import Job
from client.progress import format_seconds
from client.schemas import JobRecord, JobStatus
from client.spec import TrainingSpec

_STATUSES = [status.value for status in JobStatus]
_MOST_EVENTS = 15

job_argument = click.argument("job_id", metavar="JOB", type=int, shell_complete=complete_job)
jobs_argument = click.argument(
    "job_ids", metavar="JOB...", type=int, nargs=-1, required=True, shell_complete=complete_job
)


@click.group(cls=TenfoldGroup)
def jobs() -> None:
    """List, show, cancel, pause, resume, retry and delete jobs."""


@jobs.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only jobs of this status.")
@click.option("--sweep", type=int, help="Only the trials of this sweep.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Most jobs to list."
)
def list_jobs(status: str | None, sweep: int | None, limit: int) -> None:
    """List jobs, newest first."""
    shell = get_shell()
    found = list(islice(shell.client.list_jobs(status=status, sweep_id=sweep), limit))
    if shell.as_json:
        shell.print_json(found)
    elif found:
        shell.print_table(
            [">job", "status", "recipe", "data set", "model", ">accuracy", "progress", "created"],
            [_describe_row(job) for job in found],
        )
    else:
        shell.print("There are no such jobs. Train one with: tenfold train")


@jobs.command("show")
@job_argument
def show_job(job_id: int) -> None:
    """Show a job: what it computes, what happened, and why it failed if it did."""
    shell = get_shell()
    job = shell.client.get_job(job_id)
    if shell.as_json:
        shell.print_json(job)
        return
    recipe = str(job.request.get("recipe"))
    base = {item.name: item.spec for item in shell.client.list_recipes()}.get(recipe)
    shell.print_table(["job", str(job.id)], _describe_job(job))
    shell.print_table(["field", "value", f"recipe {recipe}"], _compare_spec(job.spec, base or {}))
    events = list(job.list_events())[-_MOST_EVENTS:]
    shell.print_table(
        ["time", "event", ""],
        [(f"{event.created_at:%H:%M:%S}", event.kind, event.message) for event in events],
    )
    if job.error is not None:
        shell.print(job.error.traceback or "", f"{job.error.code}: {job.error.message}")


@jobs.command("cancel")
@jobs_argument
def cancel_jobs(job_ids: tuple[int, ...]) -> None:
    """Stop jobs for good; a running one keeps its last checkpoint."""
    _change(job_ids, lambda job: job.cancel())


@jobs.command("pause")
@jobs_argument
def pause_jobs(job_ids: tuple[int, ...]) -> None:
    """Hold jobs; a running one writes a checkpoint first."""
    _change(job_ids, lambda job: job.pause())


@jobs.command("resume")
@jobs_argument
def resume_jobs(job_ids: tuple[int, ...]) -> None:
    """Let paused jobs go on from their last checkpoint."""
    _change(job_ids, lambda job: job.resume())


@jobs.command("retry")
@jobs_argument
def retry_jobs(job_ids: tuple[int, ...]) -> None:
    """Queue failed jobs again; they go on from their last checkpoint."""
    _change(job_ids, lambda job: job.retry())


@jobs.command("delete")
@jobs_argument
def delete_jobs(job_ids: tuple[int, ...]) -> None:
    """Delete ended jobs with their metrics, events and checkpoints. Their models stay."""
    shell = get_shell()
    for job_id in job_ids:
        shell.client.get_job(job_id).delete()
        if not shell.as_json:
            shell.print(f"Job {job_id} is deleted.")
    if shell.as_json:
        shell.print_json({"deleted": list(job_ids)})


def choose_job(shell: Shell, job_id: int | None, status: JobStatus | None = None) -> Job:
    """Return the job, or without an id the newest one (of a status). Raises NotFoundError."""
    if job_id is not None:
        return shell.client.get_job(job_id)
    for job in shell.client.list_jobs(status=status):
        return job
    raise NotFoundError(
        Problem(
            title="There is no such job",
            status=404,
            detail=f"No job {f'has {status}' if status else 'is there'} yet. "
            "Train one with: tenfold train",
            code="job_not_found",
        )
    )


def _change(job_ids: tuple[int, ...], change: Callable[[Job], Job]) -> None:
    shell = get_shell()
    changed = []
    for job_id in job_ids:
        job = change(shell.client.get_job(job_id))
        changed.append(job)
        if not shell.as_json:
            shell.print(f"Job {job.id} is {job.status}.")
    if shell.as_json:
        shell.print_json(changed)


def _describe_row(job: JobRecord) -> tuple[object, ...]:
    return (
        job.id,
        job.status,
        job.request.get("recipe"),
        job.spec.get("dataset"),
        job.model_name if job.model is None else f"{job.model.name}@{job.model.version}",
        "" if job.model is None else f"{job.model.accuracy:.1%}",
        _describe_progress(job),
        f"{job.created_at.astimezone():%Y-%m-%d %H:%M}",
    )


def _describe_progress(job: JobRecord) -> str:
    progress = job.progress
    if progress is None or job.status is JobStatus.SUCCEEDED:
        return ""
    share = f"{progress.step / progress.steps:.0%}" if progress.steps else ""
    if job.status is not JobStatus.RUNNING or progress.seconds_left is None:
        return share
    return f"{share}, {format_seconds(progress.seconds_left)} left"


def _describe_job(job: JobRecord) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        ("status", f"{job.status} {_describe_progress(job)}".strip()),
        ("waits because", job.waiting_reason),
        ("model", job.model_name if job.model is None else f"{job.model.name}@{job.model.version}"),
        ("accuracy", None if job.model is None else f"{job.model.accuracy:.2%}"),
        ("attempt", job.attempt),
        ("worker", job.worker_id),
        ("created", f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("took", _describe_duration(job)),
    ]
    return [(name, value) for name, value in rows if value is not None]


def _describe_duration(job: JobRecord) -> str | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return format_seconds((job.finished_at - job.started_at).total_seconds())


def _compare_spec(spec: TrainingSpec, base: TrainingSpec) -> list[tuple[object, ...]]:
    """Return field, value, and the recipe's own value where it differs."""
    missing = object()
    rows: list[tuple[object, ...]] = []
    for name, value in spec.items():
        own = dict(base).get(name, missing)
        rows.append((name, value, "" if own in (value, missing) else own))
    return rows
