"""`tenfold report`: how good a model is, class by class, and what it takes for what."""

from pathlib import Path

import click
from rich.text import Text

from client.cli.completion import complete_job
from client.cli.jobs import choose_job
from client.cli.matrix import draw_matrix
from client.cli.picture_files import PICTURE_FILE, choose_format, write_picture
from client.cli.shell import Shell, TenfoldCommand, get_shell
from client.schemas import JobStatus, Report

_COLUMNS = ["name", "images", "accuracy", "precision", "recall", "f1"]


@click.command(cls=TenfoldCommand)
@click.argument("job_id", metavar="[JOB]", type=int, required=False, shell_complete=complete_job)
@click.option("--sort", type=click.Choice(_COLUMNS), help="Sort the classes, the worst first.")
@click.option(
    "--mistakes",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="How many of the most confident mistakes to list.",
)
@click.option(
    "--picture",
    type=PICTURE_FILE,
    help="Write the confusion matrix to this file, .png or .svg, and nothing else.",
)
def report(job_id: int | None, sort: str | None, mistakes: int, picture: Path | None) -> None:
    """Show the report of JOB, or of the newest job that has succeeded."""
    shell = get_shell()
    if picture is not None:
        picture_format = choose_format(picture)
        job = choose_job(shell, job_id, JobStatus.SUCCEEDED)
        write_picture(shell, picture, job.draw_confusion_matrix(picture_format=picture_format))
        return
    job = choose_job(shell, job_id, JobStatus.SUCCEEDED)
    found = job.get_report()
    if shell.as_json:
        shell.print_json(found)
        return
    shell.print(
        f"Job {job.id}: {found.accuracy:.2%} of {found.images:,} {found.split} images of "
        f"{found.dataset} are right; the true class is among the first three in "
        f"{found.top_3_accuracy:.2%}.",
        f"Mean loss {found.mean_loss:.3f}, expected calibration error "
        f"{found.expected_calibration_error:.3f}.",
        "",
    )
    _print_classes(shell, found, sort)
    shell.print("", "Row: the true class. Column: what the model said. Percent of the row.")
    shell.print(*draw_matrix(found, shell.console))
    _print_confusions(shell, found)
    _print_mistakes(shell, found, mistakes)


def _print_classes(shell: Shell, found: Report, sort: str | None) -> None:
    classes = list(found.classes)
    if sort is not None:
        # What is undefined is worse than anything.
        classes.sort(key=lambda row: (getattr(row, sort) is not None, getattr(row, sort)))
    rows: list[tuple[object, ...]] = [
        (row.name, row.images, *map(_percent, (row.accuracy, row.precision, row.recall, row.f1)))
        for row in classes
    ]
    mean = found.macro_average
    rows.append(
        (
            "all",
            found.images,
            *map(_percent, (found.accuracy, mean.precision, mean.recall, mean.f1)),
        )
    )
    shell.print_table(["class", ">images", ">accuracy", ">precision", ">recall", ">F1"], rows)


def _print_confusions(shell: Shell, found: Report, most: int = 5) -> None:
    names = [row.name for row in found.classes]
    confusions = sorted(
        (
            (count, names[label], names[predicted])
            for label, row in enumerate(found.confusion_matrix)
            for predicted, count in enumerate(row)
            if label != predicted and count
        ),
        reverse=True,
    )
    if confusions:
        shell.print("", "Most often confused:")
        shell.print_table([">images", "true class", "taken for"], confusions[:most])


def _print_mistakes(shell: Shell, found: Report, most: int) -> None:
    mistakes = found.most_confident_mistakes[:most]
    if mistakes:
        shell.print("", "Most confident mistakes:")
        shell.print_table(
            [">test image", "true class", "taken for", ">confidence"],
            [
                (image.index, image.label, image.predicted, _percent(image.confidence))
                for image in mistakes
            ],
        )


def _percent(share: float | None) -> Text:
    return Text("-" if share is None else f"{share:.1%}")
