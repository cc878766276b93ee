"""`tenfold sweeps`: train many jobs that differ in some fields, and rank them."""

import json
from itertools import islice
from typing import Any

import click

from client.cli.completion import complete_recipe, complete_sweep
from client.cli.exit_codes import ExitCode
from client.cli.shell import Shell, TenfoldGroup, get_shell
from client.cli.train import parse_assignment
from client.schemas import Sweep, SweepStatus, SweepSummary, Trial

_STATUSES = [status.value for status in SweepStatus]

sweep_argument = click.argument(
    "sweep_id", metavar="SWEEP", type=int, shell_complete=complete_sweep
)


@click.group(cls=TenfoldGroup)
def sweeps() -> None:
    """Start, list, show, watch, cancel and delete sweeps."""


@sweeps.command("start")
@click.argument("recipe", default="tutorial", shell_complete=complete_recipe)
@click.option(
    "--vary",
    "dimensions",
    metavar="FIELD=VALUES",
    multiple=True,
    required=True,
    help="A field and what to try: 0.001..1:log, 2..8:step=2 or 16,64,256.",
)
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--parallel-trials", type=click.IntRange(1), help="How many at once. [default: 1]")
@click.option("--sampler", help="tpe or random. [default: tpe]")
@click.option("--sampler-seed", type=int, help="Seed of the sampler. [default: 0]")
@click.option("--pruner", help="median or none. [default: median]")
@click.option("--model", help="Name to publish the best under. [default: DATASET-RECIPE]")
@click.option(
    "--set",
    "assignments",
    metavar="FIELD=VALUE",
    multiple=True,
    help="A field that all trials have in common.",
)
@click.option("--detach", is_flag=True, help="Begin the sweep and do not watch it.")
def start_sweep(
    recipe: str,
    *,
    dimensions: tuple[str, ...],
    trials: int,
    parallel_trials: int | None,
    sampler: str | None,
    sampler_seed: int | None,
    pruner: str | None,
    model: str | None,
    assignments: tuple[str, ...],
    detach: bool,
) -> int:
    """Try values of fields of RECIPE, and show each trial as it ends.

    Trials are ranked by their accuracy on held-out training images. Ctrl-C leaves the sweep
    running; `tenfold sweeps watch` shows it again.
    """
    shell = get_shell()
    sweep = shell.client.start_sweep(
        dict(parse_dimension(text) for text in dimensions),
        trials,
        recipe,
        model=model,
        parallel_trials=parallel_trials,
        sampler=sampler,
        sampler_seed=sampler_seed,
        pruner=pruner,
        **dict(parse_assignment(text) for text in assignments),
    )
    if not detach:
        return _follow(shell, sweep.id)
    if shell.as_json:
        shell.print_json(sweep)
    else:
        shell.print(f"Sweep {sweep.id} has begun. Watch it with: tenfold sweeps watch {sweep.id}")
    return ExitCode.OK


@sweeps.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only sweeps of this status.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Most sweeps to list."
)
def list_sweeps(status: str | None, limit: int) -> None:
    """List sweeps, newest first, each with its best trial."""
    shell = get_shell()
    found = list(islice(shell.client.list_sweeps(status=status), limit))
    if shell.as_json:
        shell.print_json(found)
    elif found:
        columns = [">sweep", "status", ">trials", "model", ">best", "settings", "created"]
        shell.print_table(columns, [_describe_row(sweep) for sweep in found])
    else:
        shell.print("There are no such sweeps. Begin one with: tenfold sweeps start")


@sweeps.command("show")
@sweep_argument
def show_sweep(sweep_id: int) -> None:
    """Show a sweep and rank its trials, the best on top."""
    shell = get_shell()
    sweep = shell.client.get_sweep(sweep_id)
    if shell.as_json:
        shell.print_json(sweep)
    else:
        _print_ranking(shell, sweep)


@sweeps.command("watch")
@sweep_argument
def watch_sweep(sweep_id: int) -> int:
    """Show each trial of a sweep as it ends, and the ranking at the end."""
    return _follow(get_shell(), sweep_id)


@sweeps.command("cancel")
@sweep_argument
def cancel_sweep(sweep_id: int) -> None:
    """Stop a sweep and its trials for good; what was published stays."""
    shell = get_shell()
    sweep = shell.client.cancel_sweep(sweep_id)
    if shell.as_json:
        shell.print_json(sweep)
    else:
        shell.print(f"Sweep {sweep.id} is {sweep.status}.")


@sweeps.command("delete")
@sweep_argument
def delete_sweep(sweep_id: int) -> None:
    """Delete an ended sweep with the jobs of its trials. Their models stay."""
    shell = get_shell()
    shell.client.delete_sweep(sweep_id)
    if shell.as_json:
        shell.print_json({"deleted": [sweep_id]})
    else:
        shell.print(f"Sweep {sweep_id} is deleted.")


def parse_dimension(text: str) -> tuple[str, dict[str, Any]]:
    """Return `epochs=2..8:step=2` as ("epochs", {"low": 2, "high": 8, "step": 2})."""
    name, separator, values = text.partition("=")
    if not separator or not name or not values:
        raise click.UsageError(
            f"--vary {text}: write it as FIELD=LOW..HIGH, FIELD=LOW..HIGH:log, "
            "FIELD=LOW..HIGH:step=2 or FIELD=VALUE,VALUE."
        )
    name = name.replace("-", "_")
    low, is_range, rest = values.partition("..")
    if not is_range:
        return name, {"choices": [_parse_value(value) for value in values.split(",")]}
    high, _, option = rest.partition(":")
    dimension = {"low": _parse_value(low), "high": _parse_value(high)}
    if option == "log":
        return name, dimension | {"log": True}
    if option.startswith("step="):
        return name, dimension | {"step": _parse_value(option.removeprefix("step="))}
    if option:
        raise click.UsageError(f"--vary {text}: after the colon comes log or step=NUMBER.")
    return name, dimension


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _follow(shell: Shell, sweep_id: int) -> int:
    told: set[int] = set()

    def observe(sweep: Sweep) -> None:
        for trial in sorted(sweep.ranking, key=lambda trial: trial.number):
            if trial.status.is_ended and trial.number not in told:
                told.add(trial.number)
                if shell.as_json:
                    shell.print_json({"trial": trial})
                else:
                    shell.tell(_describe_trial(trial, sweep))

    try:
        sweep = shell.client.wait_for_sweep(sweep_id, observe=observe)
    except KeyboardInterrupt:
        shell.tell(
            f"Sweep {sweep_id} goes on. Watch it again with: tenfold sweeps watch {sweep_id}\n"
            f"Stop it with: tenfold sweeps cancel {sweep_id}"
        )
        return ExitCode.INTERRUPTED
    if shell.as_json:
        shell.print_json({"sweep": sweep})
    else:
        _print_ranking(shell, sweep)
    return ExitCode.OK if sweep.status is SweepStatus.SUCCEEDED else ExitCode.FAILED


def _print_ranking(shell: Shell, sweep: Sweep) -> None:
    names = list(sweep.request["space"])
    shell.print_table(
        [">trial", ">job", "status", ">held-out images right", ">epochs", *names, "model"],
        [
            (
                trial.number,
                trial.job_id,
                _describe_status(trial),
                _format_share(trial.validation_accuracy),
                trial.epoch,
                *(_format(trial.params.get(name)) for name in names),
                "" if trial.model is None else f"{trial.model.name}@{trial.model.version}",
            )
            for trial in sweep.ranking
        ],
    )
    shell.print(
        f"Sweep {sweep.id} is {sweep.status}: {sweep.submitted} of {sweep.trials} trials "
        f"submitted, {sweep.pruned} pruned."
    )
    if sweep.error is not None:
        shell.print(sweep.error.message)


def _describe_row(sweep: SweepSummary) -> tuple[object, ...]:
    best = sweep.best
    settings = [] if best is None else [f"{k}={_format(v)}" for k, v in best.params.items()]
    return (
        sweep.id,
        sweep.status,
        f"{sweep.submitted}/{sweep.trials}",
        sweep.model_name,
        "" if best is None else _format_share(best.validation_accuracy),
        " ".join(settings),
        f"{sweep.created_at.astimezone():%Y-%m-%d %H:%M}",
    )


def _describe_trial(trial: Trial, sweep: Sweep) -> str:
    settings = " ".join(f"{name}={_format(value)}" for name, value in trial.params.items())
    best = " (best so far)" if sweep.best is not None and sweep.best.number == trial.number else ""
    share = _format_share(trial.validation_accuracy)
    return f"Trial {trial.number}: {_describe_status(trial)} {share}{best}  {settings}"


def _describe_status(trial: Trial) -> str:
    if trial.pruned_after_epoch is not None:
        return f"pruned after epoch {trial.pruned_after_epoch}"
    return str(trial.status)


def _format_share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _format(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
