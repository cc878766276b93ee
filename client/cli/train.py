"""`tenfold train` and `tenfold watch`: a job, and what it does while one looks on."""

import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from client.cli.completion import (
    complete_dataset,
    complete_job,
    complete_network,
    complete_recipe,
)
from client.cli.exit_codes import ExitCode
from client.cli.jobs import choose_job
from client.cli.shell import Shell, TenfoldCommand, get_shell
from client.errors import JobEndedError
from client.job_flows import JobUpdate, Observe
from client.jobs import Job
from client.progress import ProgressDisplay
from client.spec import list_spec_fields

_COMPLETIONS = {"dataset": complete_dataset, "network": complete_network}


class TrainCommand(TenfoldCommand):
    """Has an option for every field of the spec."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params[1:1] = [
            click.Option(
                [f"--{name.replace('_', '-')}", name],
                type=field.kind,
                help=field.description,
                shell_complete=_COMPLETIONS.get(name),
            )
            for name, field in list_spec_fields().items()
        ]


@click.command(cls=TrainCommand)
@click.argument("recipe", default="tutorial", shell_complete=complete_recipe)
@click.option("--model", help="Name to publish the model under. [default: DATASET-RECIPE]")
@click.option("--priority", type=int, help="Queued jobs of higher priority run first.")
@click.option("--max-run-seconds", type=float, help="Longest time of training; then it fails.")
@click.option("--max-wait-seconds", type=float, help="Longest time in the queue; then it fails.")
@click.option(
    "--set",
    "assignments",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Any field of the spec, also one that only a newer service knows.",
)
@click.option("--detach", is_flag=True, help="Queue the job and do not watch it.")
@click.option(
    "--cancel-on-interrupt", is_flag=True, help="Ctrl-C cancels the job instead of leaving it."
)
def train(
    recipe: str,
    *,
    model: str | None,
    priority: int | None,
    max_run_seconds: float | None,
    max_wait_seconds: float | None,
    assignments: tuple[str, ...],
    detach: bool,
    cancel_on_interrupt: bool,
    **spec: Any,
) -> int:
    """Train a model: RECIPE, with the fields that you give replaced.

    Shows the progress until the job has ended. Ctrl-C leaves the job running; `tenfold watch`
    shows it again.
    """
    shell = get_shell()
    fields = {name: value for name, value in spec.items() if value is not None}
    fields |= dict(parse_assignment(text) for text in assignments)
    job = shell.client.submit_job(
        recipe,
        model=model,
        priority=priority,
        max_run_seconds=max_run_seconds,
        max_wait_seconds=max_wait_seconds,
        **fields,
    )
    if detach:
        _print_job(shell, job)
        return ExitCode.OK
    shell.tell(f"Job {job.id}: recipe {recipe} on {job.spec.get('dataset')}")
    return _follow(shell, job, cancel_on_interrupt=cancel_on_interrupt)


@click.command(cls=TenfoldCommand)
@click.argument("job_id", metavar="[JOB]", type=int, required=False, shell_complete=complete_job)
def watch(job_id: int | None) -> int:
    """Show the progress of JOB, or of the newest one, until it has ended."""
    shell = get_shell()
    job = choose_job(shell, job_id)
    shell.tell(f"Job {job.id}: {job.request.get('recipe')} on {job.spec.get('dataset')}")
    return _follow(shell, job, cancel_on_interrupt=False)


def _follow(shell: Shell, job: Job, *, cancel_on_interrupt: bool) -> int:
    display: AbstractContextManager[Observe] = (
        nullcontext(_JsonLines(shell)) if shell.as_json else ProgressDisplay(shell.messages)
    )
    try:
        done = job.wait(progress=display)
    except KeyboardInterrupt:
        _explain_interrupt(shell, job, is_cancelled=cancel_on_interrupt)
        return ExitCode.INTERRUPTED
    except JobEndedError as error:
        if shell.as_json:
            shell.print_json({"job": error.job})
        elif error.job.error is not None:
            shell.tell(f"The traceback is in: tenfold jobs show {job.id}")
        raise
    _print_result(shell, done)
    return ExitCode.OK


def _explain_interrupt(shell: Shell, job: Job, *, is_cancelled: bool) -> None:
    if is_cancelled:
        shell.tell(f"Job {job.id} is {job.cancel().status}; its last checkpoint is kept.")
        return
    shell.tell(
        f"Job {job.id} goes on. Watch it again with: tenfold watch {job.id}\n"
        f"Stop it with: tenfold jobs cancel {job.id}"
    )


def _print_result(shell: Shell, job: Job) -> None:
    if shell.as_json:
        shell.print_json({"job": job})
        return
    if job.model is None:
        shell.print(
            f"Job {job.id} succeeded; it has no model: it was deleted, or a better "
            "trial of its sweep was published."
        )
        return
    reference = f"{job.model.name}@{job.model.version}"
    shell.print(
        f"Job {job.id} succeeded: {reference}, {job.model.accuracy:.1%} of the test images right.",
        f"Report:   tenfold report {job.id}",
        f"Classify: tenfold predict --model {reference} IMAGE",
    )


def _print_job(shell: Shell, job: Job) -> None:
    if shell.as_json:
        shell.print_json(job)
    else:
        shell.print(f"Job {job.id} is {job.status}. Watch it with: tenfold watch {job.id}")
        if job.waiting_reason:
            shell.tell(job.waiting_reason)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return `epochs=3` as ("epochs", 3): the value is JSON where it can be, else a word."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.UsageError(f"--set {text}: write it as FIELD=VALUE, for example epochs=3.")
    name = name.replace("-", "_")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


class _JsonLines:
    """Prints every piece of news as a line of JSON: {"event": …}, {"step": …}, {"epoch": …}."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def __call__(self, update: JobUpdate) -> None:
        for kind, news in (
            ("event", update.events),
            ("step", update.steps),
            ("epoch", update.epochs),
        ):
            for item in news:
                self._shell.print_json({kind: item})
