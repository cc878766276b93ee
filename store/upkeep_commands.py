"""`python -m store backup`, `restore` and `doctor`: what needs no running service."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from store import backup, restoration
from store.clock import utc_now
from store.database import Database
from store.doctor import Doctor
from store.errors import NotFoundError
from store.settings import Settings

# What `add_subparsers` returns has no public name.
Commands = Any

_SIGNS = {"good": "ok  ", "warning": "look", "bad": "BAD "}


def add_to(commands: Commands) -> None:
    """Add the subcommands to a parser."""
    text = "copy jobs, metrics, checkpoints and models to a new folder, while jobs run"
    command = commands.add_parser("backup", help=text, description=text)
    command.add_argument("folder", type=Path, nargs="?")
    command.set_defaults(run=_back_up)
    text = "put a backup back"
    command = commands.add_parser("restore", help=text, description=text)
    command.add_argument("folder", type=Path)
    command.add_argument(
        "--replace", action="store_true", help="move what is in the way aside; nothing is deleted"
    )
    command.set_defaults(run=_restore)
    text = "examine database, artifacts, disk, GPU and workers, and say what to do"
    command = commands.add_parser("doctor", help=text, description=text)
    command.add_argument("--mend", action="store_true", help="remove orphans, give space back")
    command.set_defaults(run=_examine)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="one JSON document")


def _back_up(settings: Settings, asked: argparse.Namespace) -> int:
    folder = asked.folder or Path(f"tenfold-backup-{utc_now():%Y%m%d-%H%M%S}")
    database = Database(settings.resolved_database_url)
    try:
        if database.path is not None and not database.path.exists():
            raise NotFoundError(
                f"There is no database at {database.path}: nothing to back up. TENFOLD_DATA (or "
                "`tenfold backup --data`) says where it is.",
                code="database_missing",
            )
        made = backup.back_up(database, settings, folder)
    finally:
        database.dispose()
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if asked.json:
        _say(_describe(made, folder) | {"size_bytes": size_bytes})
    else:
        counts = f"{made.jobs} jobs and {made.models} models"
        _say(f"{folder}: {counts}, {size_bytes / 1e6:,.1f} MB.")
    return 0


def _restore(settings: Settings, asked: argparse.Namespace) -> int:
    made, kept = restoration.restore(settings, asked.folder, replace=asked.replace)
    if asked.json:
        _say(_describe(made, asked.folder) | {"moved_to": [str(path) for path in kept]})
        return 0
    counts = f"{made.jobs} jobs and {made.models} models"
    _say(f"Restored {counts} as of {made.created_at:%F %T} UTC.")
    for path in kept:
        _say(f"What was there is at {path} now: delete it when you are sure.")
    return 0


def _describe(made: backup.Backup, folder: Path) -> dict[str, Any]:
    about = made.model_dump(mode="json", include={"created_at", "jobs", "models"})
    return {"folder": str(folder), **about}


def _examine(settings: Settings, asked: argparse.Namespace) -> int:
    doctor = Doctor(settings, mend=asked.mend)
    findings = []
    try:
        for finding in doctor.examine():
            findings.append(finding)
            if not asked.json:
                _say(f"{_SIGNS[finding.verdict]}  {finding.subject:<12} {finding.text}")
    finally:
        doctor.close()
    if asked.json:
        _say([asdict(finding) for finding in findings])
    return int(any(finding.verdict == "bad" for finding in findings))


def _say(what: str | dict[str, Any] | list[Any]) -> None:
    sys.stdout.write(what if isinstance(what, str) else json.dumps(what, indent=2))
    sys.stdout.write("\n")
    sys.stdout.flush()
