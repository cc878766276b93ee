"""`tenfold export`: the metrics of a job for tools that people already look at."""

from pathlib import Path

import click

from client.cli.completion import complete_job
from client.cli.shell import TenfoldCommand, get_shell
from client.mlflow import MlflowServer
from client.tensorboard import write_events

job_argument = click.argument("job_id", metavar="JOB", type=int, shell_complete=complete_job)


@click.group()
def export() -> None:
    """Hand the metrics of a job to TensorBoard or to MLflow."""


@export.command("tensorboard", cls=TenfoldCommand)
@job_argument
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="runs",
    show_default=True,
    help="Folder of the runs; give it to `tensorboard --logdir`.",
)
def export_to_tensorboard(job_id: int, output: Path) -> None:
    """Write the metrics of JOB as event files. Writing them again replaces them."""
    shell = get_shell()
    job = shell.client.get_job(job_id)
    run = write_events(job, job.read_metrics(), output)
    if shell.as_json:
        shell.print_json({"folder": str(run)})
    else:
        shell.print(str(run), f"Look at it with: tensorboard --logdir {output}")


@export.command("mlflow", cls=TenfoldCommand)
@job_argument
@click.option(
    "--tracking-uri",
    metavar="URL",
    envvar="MLFLOW_TRACKING_URI",
    required=True,
    help="Address of the MLflow server. [default: MLFLOW_TRACKING_URI]",
)
@click.option(
    "--experiment",
    default="tenfold",
    show_default=True,
    help="Name of the experiment; made if it is missing.",
)
def export_to_mlflow(job_id: int, tracking_uri: str, experiment: str) -> None:
    """Make a run of JOB on an MLflow server, with its spec and its metrics."""
    shell = get_shell()
    job = shell.client.get_job(job_id)
    with MlflowServer(tracking_uri) as server:
        url = server.log_job(job, job.read_metrics(), experiment=experiment)
    if shell.as_json:
        shell.print_json({"url": url})
    else:
        shell.print(url)
