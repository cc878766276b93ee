"""`tenfold open`: the dashboard in a browser."""

import click

from client.cli.shell import TenfoldCommand, get_shell


@click.command("open", cls=TenfoldCommand)
def open_dashboard() -> None:
    """Open the service's page in a browser."""
    shell = get_shell()
    # A browser would only say that the connection was refused.
    shell.client.check_readiness()
    if shell.as_json:
        shell.print_json({"url": shell.url})
    else:
        shell.print(shell.url)
    click.launch(shell.url)
