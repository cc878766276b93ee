"""Pictures that commands write: the name of the file says the format."""

import sys
from pathlib import Path

import click

from client.calls import PictureFormat
from client.cli.shell import Shell

PICTURE_FILE = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
_STANDARD_OUTPUT = "-"
_FORMATS: dict[str, PictureFormat] = {".png": "png", ".svg": "svg"}


def choose_format(path: Path) -> PictureFormat:
    """Return what the name of the file asks for; PNG for standard output. Raises UsageError."""
    if str(path) == _STANDARD_OUTPUT:
        return "png"
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise click.UsageError(f"{path} must end in .png or .svg: pictures are of these formats.")
    return found


def write_picture(shell: Shell, path: Path, picture: bytes) -> None:
    """Write the file and say so, or write to standard output."""
    if str(path) == _STANDARD_OUTPUT:
        sys.stdout.buffer.write(picture)
        return
    path.write_bytes(picture)
    if shell.as_json:
        shell.print_json({"file": str(path), "size_bytes": len(picture)})
    else:
        shell.print(str(path))
