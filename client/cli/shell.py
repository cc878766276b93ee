"""What all commands share: the address, the client, tables or JSON, and how they are declared."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, cast

import click
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.retries import RetryPolicy
from client.settings import resolve_api_key, resolve_url
from client.tenfold import Tenfold

# A person waits: whether anybody answers is known within a second.
_RETRIES = RetryPolicy(attempts=3)
# Where no terminal limits it, a table has the width of its contents.
_UNLIMITED_WIDTH = 10_000


def open_console(*, stderr: bool = False) -> Console:
    """Return a console that shortens nothing, and colours nothing, when it is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNLIMITED_WIDTH
    return Console(stderr=stderr, highlight=False, markup=False, width=width)


class Shell:
    """The surroundings of one command."""

    def __init__(self, url: str | None, api_key: str | None, *, as_json: bool) -> None:
        try:
            self.url = resolve_url(url)
            self.is_url_given = url is not None
            self.api_key = resolve_api_key(api_key)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        self.as_json = as_json
        self.console = open_console()
        self.messages = open_console(stderr=True)
        self._client: Tenfold | None = None

    @property
    def client(self) -> Tenfold:
        if self._client is None:
            self._client = Tenfold(self.url, api_key=self.api_key, retries=_RETRIES)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def print(self, *lines: str | Text) -> None:
        for line in lines:
            self.console.print(line, soft_wrap=True)

    def tell(self, line: str) -> None:
        """Say something to the person, on standard error."""
        self.messages.print(line, soft_wrap=True)

    def print_json(self, value: Any) -> None:
        """Print one JSON document in a line."""
        click.echo(json.dumps(_simplify(value), ensure_ascii=False))

    def print_table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table; a column whose name begins with `>` is aligned to the right."""
        table = Table(box=SIMPLE_HEAD if self.console.is_terminal else None, pad_edge=False)
        for column in columns:
            is_number = column.startswith(">")
            table.add_column(
                column.removeprefix(">"),
                justify="right" if is_number else "left",
                no_wrap=is_number,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else str(cell) for cell in row))
        self.console.print(table)


def _simplify(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dict):
        return {name: _simplify(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_simplify(item) for item in value]
    return value


def get_shell() -> Shell:
    """Return the surroundings of the command that runs."""
    return cast("Shell", click.get_current_context().obj)


class TenfoldCommand(click.Command):
    """A command that talks to the service: it takes `--url`, `--api-key` and `--json`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += [
            click.Option(
                ["--url"],
                metavar="URL",
                help="Address of the service. [default: TENFOLD_URL, else http://127.0.0.1:8000]",
            ),
            click.Option(
                ["--api-key"],
                metavar="KEY",
                help="Key for the service; TENFOLD_API_KEY shows it to fewer eyes.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON instead of tables."),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        shell = Shell(
            ctx.params.pop("url"),
            ctx.params.pop("api_key"),
            as_json=ctx.params.pop("as_json"),
        )
        ctx.obj = shell
        try:
            return super().invoke(ctx)
        finally:
            shell.close()


class TenfoldGroup(click.Group):
    """Commands on one kind of thing; without a command's name it lists the things."""

    command_class = TenfoldCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_named = bool(args) and not args[0].startswith("-")
        if not is_named and args[:1] != ["--help"]:
            args = ["list", *args]
        return super().parse_args(ctx, args)
