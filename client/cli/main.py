"""`tenfold`: the commands put together, and every failure told in a sentence."""

import json
import os
import signal
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from client.cli.catalogue import data, networks, recipes
from client.cli.completion import completion
from client.cli.curves import curves
from client.cli.exit_codes import ExitCode
from client.cli.explain import explain
from client.cli.export import export
from client.cli.jobs import jobs
from client.cli.keys import keys
from client.cli.models import models
from client.cli.open import open_dashboard
from client.cli.predict import predict
from client.cli.report import report
from client.cli.sweeps import sweeps
from client.cli.train import train, watch
from client.cli.up import up
from client.cli.upkeep import backup, doctor, restore
from client.errors import (
    ConnectionFailedError,
    ExportError,
    JobEndedError,
    ProblemError,
    ServiceFailedError,
    TenfoldError,
    UnavailableError,
)


def _read_version() -> str:
    try:
        return version("tenfold")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_read_version(), prog_name="tenfold")
def tenfold() -> None:
    """Train an image classifier and serve it on your own machine.

    Start everything with `tenfold up`, train with `tenfold train`, and classify pictures with
    `tenfold predict IMAGE`.
    """


for command in (
    up,
    train,
    watch,
    jobs,
    sweeps,
    report,
    curves,
    predict,
    explain,
    export,
    models,
    data,
    networks,
    recipes,
    keys,
    open_dashboard,
    backup,
    restore,
    doctor,
    completion,
):
    tenfold.add_command(command)


def main() -> None:
    """Run the command line and exit with one of the documented codes."""
    # What a terminal cannot show is replaced, never a reason to fail.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Return the exit code of the command line with these arguments."""
    as_json = "--json" in arguments
    try:
        code = tenfold.main(arguments, prog_name="tenfold", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except TenfoldError as error:
        _tell(error, as_json=as_json)
        return choose_exit_code(error)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be written, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.OK


def choose_exit_code(error: TenfoldError) -> ExitCode:
    match error:
        case JobEndedError() | ExportError():
            return ExitCode.FAILED
        case ConnectionFailedError():
            return ExitCode.UNREACHABLE
        case ServiceFailedError() | UnavailableError():
            return ExitCode.SERVICE_FAILED
        case ProblemError():
            return ExitCode.REFUSED
    return ExitCode.SERVICE_FAILED


def _tell(error: TenfoldError, *, as_json: bool) -> None:
    if as_json:
        problem = error.problem.model_dump() if isinstance(error, ProblemError) else {}
        report = {"error": type(error).__name__, "message": str(error), **problem}
        click.echo(json.dumps(report), err=True)
        return
    if isinstance(error, ProblemError) and error.errors:
        click.echo(f"Error: {error.title}:", err=True)
        for field in error.errors:
            click.echo(f"  {field.field}: {field.message}", err=True)
        return
    click.echo(f"Error: {error}", err=True)
