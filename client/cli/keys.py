"""`tenfold keys`: who may use the service.

The first key cannot be asked of a service that wants one. So with neither a key nor an address
given, the database on this machine is used, by `python -m store keys`.
"""

from datetime import datetime
from typing import NoReturn

import click

from client.cli.shell import Shell, TenfoldGroup, get_shell
from client.launcher import become
from client.schemas import ApiKey
from client.settings import read_settings

_SCOPES = ["read", "predict", "train", "admin"]

data_option = click.option(
    "--data",
    type=click.Path(path_type=str),
    help="Folder of the database on this machine, instead of asking a service.",
)


@click.group(cls=TenfoldGroup)
def keys() -> None:
    """Create, list and revoke API keys.

    Asks the service where TENFOLD_API_KEY, TENFOLD_URL or their options are given; else works on
    the database of this machine, which is how the first key is made.
    """


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    required=True,
    help="What the key may do; give it several times for several. admin is everything.",
)
@click.option("--expires-in-days", type=click.IntRange(1), help="Days until it is refused.")
@data_option
def create_key(
    name: str, scopes: tuple[str, ...], expires_in_days: int | None, data: str | None
) -> None:
    """Make a key for NAME, and print it: it cannot be shown again."""
    shell = get_shell()
    if _is_local(shell, data):
        arguments = [argument for scope in scopes for argument in ("--scope", scope)]
        if expires_in_days is not None:
            arguments += ["--expires-in-days", str(expires_in_days)]
        _run_locally(shell, data, "create", *arguments, "--", name)
    key = shell.client.create_key(name, scopes, expires_in_days=expires_in_days)
    if shell.as_json:
        shell.print_json(key)
    else:
        shell.tell("Keep this key: it cannot be shown again.")
        shell.print(key.key)


@keys.command("list")
@data_option
def list_keys(data: str | None) -> None:
    """List the keys, also those that were revoked, never their secrets."""
    shell = get_shell()
    if _is_local(shell, data):
        _run_locally(shell, data, "list")
    found = shell.client.list_keys()
    if shell.as_json:
        shell.print_json(found)
    else:
        shell.print_table(
            ["id", "name", "scopes", "created", "last used", "state"],
            [
                (
                    key.id,
                    key.name,
                    ", ".join(key.scopes),
                    _format(key.created_at),
                    _format(key.last_used_at),
                    _describe_state(key),
                )
                for key in found
            ],
        )


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@data_option
def revoke_key(key_id: str, data: str | None) -> None:
    """Let the key with this ID be refused from now on."""
    shell = get_shell()
    if _is_local(shell, data):
        _run_locally(shell, data, "revoke", "--", key_id)
    key = shell.client.revoke_key(key_id)
    if shell.as_json:
        shell.print_json(key)
    else:
        shell.print(f"Key {key.id} ({key.name}) is revoked.")


def _is_local(shell: Shell, data: str | None) -> bool:
    is_asked = shell.api_key or shell.is_url_given or read_settings().url
    return data is not None or not is_asked


def _run_locally(shell: Shell, data: str | None, verb: str, *arguments: str) -> NoReturn:
    """Become `python -m store keys`."""
    settings = {} if data is None else {"TENFOLD_DATA": data}
    flags = ["--json"] if shell.as_json else []
    become("store", ["keys", verb, *flags, *arguments], settings)


def _describe_state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {_format(key.revoked_at)}"
    return "" if key.expires_at is None else f"expires {_format(key.expires_at)}"


def _format(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"
