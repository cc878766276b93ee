"""`python -m store keys`: keys without the service, because the first one has to come first."""

import argparse
import json
import sys
from datetime import datetime
from typing import Any

from store import keys, migrations
from store.database import Database
from store.keys import Scope
from store.settings import Settings
from store.tables import ApiKey

# What `add_subparsers` returns has no public name.
Commands = Any


def add_to(commands: Commands) -> None:
    """Add the subcommands to a parser."""
    text = "create, list and revoke API keys, in the database itself"
    verbs = commands.add_parser("keys", help=text, description=text).add_subparsers(
        dest="verb", required=True
    )
    create = verbs.add_parser("create", help="make a key; it is shown this once")
    create.add_argument("name", help="who or what will use it")
    create.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        required=True,
        type=Scope,
        choices=list(Scope),
        metavar=f"{{{','.join(Scope)}}}",
        help="what it may do; give the option several times for several",
    )
    create.add_argument("--expires-in-days", type=int, metavar="DAYS", help="default: never")
    show = verbs.add_parser("list", help="list the keys, never their secrets")
    revoke = verbs.add_parser("revoke", help="let a key be refused from now on")
    revoke.add_argument("id", help="as `list` shows it")
    for verb in (create, show, revoke):
        verb.add_argument("--json", action="store_true", help="one JSON document")
        verb.set_defaults(run=run)


def run(settings: Settings, asked: argparse.Namespace) -> int:
    """Do what was asked and return 0. Raises TenfoldError."""
    database = Database(settings.resolved_database_url)
    try:
        migrations.upgrade(database)
        if asked.verb == "create":
            _create(database, asked)
        elif asked.verb == "list":
            _list(database, as_json=asked.json)
        else:
            _revoke(database, asked.id, as_json=asked.json)
    finally:
        database.dispose()
    return 0


def describe(key: ApiKey) -> dict[str, Any]:
    """Return what may be shown of a key."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "created_at": _format(key.created_at),
        "expires_at": _format(key.expires_at),
        "revoked_at": _format(key.revoked_at),
        "last_used_at": _format(key.last_used_at),
    }


def _create(database: Database, asked: argparse.Namespace) -> None:
    with database.writing() as session:
        row, key = keys.create(
            session, asked.name, asked.scopes, expires_in_days=asked.expires_in_days
        )
        described = describe(row)
    if asked.json:
        _say(json.dumps(described | {"key": key}))
        return
    # The key alone on standard output, for scripts.
    sys.stderr.write("Keep this key: it cannot be shown again.\n")
    _say(key)


def _list(database: Database, *, as_json: bool) -> None:
    with database.reading() as session:
        described = [describe(key) for key in keys.list_all(session)]
    if as_json:
        _say(json.dumps(described))
        return
    for key in described:
        state = "revoked" if key["revoked_at"] else f"expires {key['expires_at'] or 'never'}"
        used = f"last used {key['last_used_at'] or 'never'}"
        _say(f"{key['id']}  {key['name']:<20} {','.join(key['scopes']):<25} {state}, {used}")


def _revoke(database: Database, key_id: str, *, as_json: bool) -> None:
    with database.writing() as session:
        described = describe(keys.revoke(session, key_id))
    if as_json:
        _say(json.dumps(described))
    else:
        _say(f"Key {key_id} ({described['name']}) is revoked.")


def _format(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
