"""`tenfold predict`: pictures from files, folders or standard input, and what they show."""

import sys
from collections.abc import Iterator

import click
from rich.text import Text

from client.cli.completion import complete_model
from client.cli.exit_codes import ExitCode
from client.cli.shell import TenfoldCommand, get_shell
from client.pictures import NamedPicture, Picture
from client.schemas import ClassifiedPicture

_STANDARD_INPUT = "-"


@click.command(cls=TenfoldCommand)
@click.argument(
    "images",
    metavar="IMAGE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, allow_dash=True),
)
@click.option(
    "--model",
    shell_complete=complete_model,
    help="NAME, NAME@3 or NAME@ALIAS. [default: the newest model]",
)
@click.option(
    "--top-k",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Classes to rank.",
)
def predict(images: tuple[str, ...], model: str | None, top_k: int) -> int:
    """Classify pictures: files, folders with all that is in them, or `-` for standard input.

    A picture that cannot be read has an error in its place, and makes the exit code 1.
    """
    shell = get_shell()
    try:
        results = list(shell.client.predict_many(_read_sources(images), model=model, top_k=top_k))
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
    if shell.as_json:
        shell.print_json(results)
    else:
        shell.print_table(
            ["picture", "class", ">probability", "ranking"],
            [_describe(result) for result in results],
        )
    return ExitCode.FAILED if any(result.error for result in results) else ExitCode.OK


def _read_sources(images: tuple[str, ...]) -> Iterator[Picture]:
    for image in images:
        if image == _STANDARD_INPUT:
            yield NamedPicture(image, sys.stdin.buffer.read())
        else:
            yield image


def _describe(result: ClassifiedPicture) -> tuple[object, ...]:
    if result.prediction is None:
        message = "no answer" if result.error is None else result.error.message
        return result.source, Text("-"), "", Text(message, style="red")
    best = result.prediction
    ranking = ", ".join(f"{rank.class_name} {rank.probability:.1%}" for rank in best.top_k[1:])
    return result.source, Text(best.class_name, style="bold"), f"{best.probability:.1%}", ranking
