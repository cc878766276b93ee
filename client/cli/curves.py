"""`tenfold curves`: loss and accuracy of a job as a picture."""

from pathlib import Path

import click

from client.cli.completion import complete_job
from client.cli.jobs import choose_job
from client.cli.picture_files import PICTURE_FILE, choose_format, write_picture
from client.cli.shell import TenfoldCommand, get_shell


@click.command(cls=TenfoldCommand)
@click.argument("job_id", metavar="[JOB]", type=int, required=False, shell_complete=complete_job)
@click.option(
    "--output",
    type=PICTURE_FILE,
    help="The file, .png or .svg; - for standard output. [default: job-JOB-curves.png]",
)
@click.option("--log", is_flag=True, help="Logarithmic axis for the loss.")
def curves(job_id: int | None, output: Path | None, *, log: bool) -> None:
    """Write a picture of the loss and the accuracy of JOB, or of the newest job, so far."""
    shell = get_shell()
    picture_format = "png" if output is None else choose_format(output)
    job = choose_job(shell, job_id)
    picture = job.draw_curves(picture_format=picture_format, log=log)
    write_picture(shell, output or Path(f"job-{job.id}-curves.png"), picture)
