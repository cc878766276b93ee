"""`tenfold explain`: what in a picture spoke for its class."""

import sys
from pathlib import Path

import click

from client.cli.completion import complete_model
from client.cli.shell import TenfoldCommand, get_shell
from client.pictures import NamedPicture

_STANDARD_INPUT = "-"


@click.command(cls=TenfoldCommand)
@click.argument(
    "image", metavar="IMAGE", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--model",
    shell_complete=complete_model,
    help="NAME, NAME@3 or NAME@ALIAS. [default: the newest model]",
)
@click.option("--class", "class_name", help="The class to explain. [default: the most probable]")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The PNG with the heat map. [default: IMAGE-explained.png, in this folder]",
)
def explain(image: str, model: str | None, class_name: str | None, output: Path | None) -> None:
    """Show what in IMAGE (a file, or `-` for standard input) spoke for a class.

    Writes the picture with a heat map on it: red spoke for the class, blue against it. The service
    needs its optional extra `explain`.
    """
    shell = get_shell()
    is_piped = image == _STANDARD_INPUT
    picture = NamedPicture(image, sys.stdin.buffer.read()) if is_piped else image
    found = shell.client.explain(picture, model=model, class_name=class_name)
    stem = "picture" if is_piped else Path(image).stem
    path = output or Path(f"{stem}-explained.png")
    path.write_bytes(found.image)
    if shell.as_json:
        shell.print_json({"file": str(path), **found.model_dump(by_alias=True, exclude={"image"})})
        return
    shell.print(
        f"{found.class_name} {found.probability:.1%} ({found.model}@{found.version})",
        f"{path}: red spoke for {found.class_name}, blue against it.",
    )
