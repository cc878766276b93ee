"""`tenfold up`: the whole of Tenfold on this machine."""

import asyncio
import sys

import click

from client.errors import TenfoldError
from client.launcher import serve
from client.retries import RetryPolicy
from client.settings import join_url, read_settings
from client.tenfold import AsyncTenfold

_POLL_INTERVAL_SECONDS = 0.3


@click.command
@click.option("--data", type=click.Path(), help="Folder of the database and the data sets.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--device", help="What to train on: auto, cpu, cuda or cuda:1.")
@click.option("--open", "is_opened", is_flag=True, help="Open the browser when all is ready.")
def up(
    data: str | None, host: str | None, port: int | None, device: str | None, *, is_opened: bool
) -> int:
    """Start the API and a worker, until Ctrl-C.

    Each option stands for the environment variable of its name (TENFOLD_DATA and so on), which
    also counts, as does a .env file.
    """
    given = {"data": data, "host": host, "port": port, "device": device}
    settings = {f"TENFOLD_{name.upper()}": str(value) for name, value in given.items() if value}
    try:
        known = read_settings()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    url = join_url(host or known.host, port or known.port)
    return asyncio.run(_serve(settings, url, is_opened=is_opened))


async def _serve(settings: dict[str, str], url: str, *, is_opened: bool) -> int:
    greeting = asyncio.create_task(_greet(url, is_opened=is_opened))
    try:
        return await serve(settings)
    finally:
        greeting.cancel()


async def _greet(url: str, *, is_opened: bool) -> None:
    """Say where to look as soon as there is something to see."""
    async with AsyncTenfold(url, retries=RetryPolicy(attempts=1)) as client:
        while True:
            try:
                if (await client.check_readiness()).workers_alive:
                    break
            except TenfoldError:
                pass  # not yet
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)
    sys.stderr.write(f"\nTenfold is ready: {url}  (Ctrl-C stops it)\n\n")
    if is_opened:
        click.launch(url)
