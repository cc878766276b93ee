"""`tenfold backup`, `restore` and `doctor`: an installation on this machine, running or not.

They look at files, not at the service, so they are run by `python -m store`.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import click

from client.launcher import become

_PATH = click.Path(path_type=str)


def installation_command(function: Callable[..., Any]) -> click.Command:
    """Declare a command that works on the installation itself: it takes `--data` and `--json`."""
    function = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(
        function
    )
    function = click.option(
        "--data",
        type=_PATH,
        help="Folder of the database and the data sets. [default: TENFOLD_DATA, else ./data]",
    )(function)
    return click.command(function)


def run_store(command: str, *arguments: str, flags: dict[str, bool], data: str | None) -> NoReturn:
    """Become `python -m store command`: its output and its exit code are the user's."""
    settings = {} if data is None else {"TENFOLD_DATA": data}
    given = [f"--{name}" for name, is_given in flags.items() if is_given]
    # A name may begin with a dash.
    named = ["--", *arguments] if arguments else []
    become("store", [command, *given, *named], settings)


@installation_command
@click.argument("folder", type=_PATH, required=False)
def backup(folder: str | None, data: str | None, *, as_json: bool) -> None:
    """Copy jobs, metrics, checkpoints and models to a new FOLDER, while jobs run.

    Without FOLDER it is tenfold-backup-DATE-TIME, here.
    """
    run_store("backup", *filter(None, [folder]), flags={"json": as_json}, data=data)


@installation_command
@click.argument("folder", type=_PATH)
@click.option("--replace", is_flag=True, help="Move what is in the way aside; delete nothing.")
def restore(folder: str, data: str | None, *, replace: bool, as_json: bool) -> None:
    """Put the backup in FOLDER back, while nothing runs.

    Where jobs or models are there already it refuses, unless it is told to replace them.
    """
    run_store("restore", folder, flags={"json": as_json, "replace": replace}, data=data)


@installation_command
@click.option("--mend", is_flag=True, help="Remove orphans and give space back to the disk.")
def doctor(data: str | None, *, mend: bool, as_json: bool) -> None:
    """Examine database, artifacts, disk, GPU and workers, and say what to do.

    The exit code is 1 when something is bad.
    """
    run_store("doctor", flags={"json": as_json, "mend": mend}, data=data)
