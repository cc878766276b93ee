"""`python -m store`: back up, restore, examine and give out keys, on the machine itself."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from store import backup, key_commands
from store.clock import utc_now
from store.database import Database
from store.doctor import Doctor
from store.errors import TenfoldError
from store.settings import Settings

_SIGNS = {"good": "ok  ", "warning": "look", "bad": "BAD "}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, or 1 where something failed or the doctor found something bad."""
    asked = _build_parser().parse_args(arguments)
    try:
        settings = Settings()
        if asked.command == "backup":
            return _back_up(settings, asked.folder)
        if asked.command == "restore":
            return _restore(settings, asked.folder)
        if asked.command == "keys":
            return key_commands.run(settings, asked)
        return _examine(settings, mend=asked.mend, as_json=asked.json)
    except ValidationError as error:
        return _explain(f"The settings are not right: {error}")
    except TenfoldError as error:
        return _explain(error.message)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m store", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in [
        ("backup", "copy jobs, metrics, checkpoints and models to a new folder, while jobs run"),
        ("restore", "put a backup back, where nothing is in the way"),
    ]:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("folder", type=Path, nargs="?" if name == "backup" else None)
    text = "examine database, artifacts, disk and GPU, and say what to do"
    command = commands.add_parser("doctor", help=text, description=text)
    command.add_argument("--mend", action="store_true", help="remove orphans, give space back")
    command.add_argument("--json", action="store_true", help="one JSON document")
    key_commands.add_to(commands)
    return parser


def _back_up(settings: Settings, folder: Path | None) -> int:
    target = folder or Path(f"tenfold-backup-{utc_now():%Y%m%d-%H%M%S}")
    database = Database(settings.resolved_database_url)
    try:
        if database.path is not None and not database.path.exists():
            return _explain(f"There is no database at {database.path}: nothing to back up.")
        made = backup.back_up(database, settings, target)
    finally:
        database.dispose()
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    _say(f"{target}: {made.jobs} jobs and {made.models} models, {size / 1e6:,.1f} MB.")
    return 0


def _restore(settings: Settings, folder: Path) -> int:
    made = backup.restore(settings, folder)
    _say(f"Restored {made.jobs} jobs and {made.models} models as of {made.created_at:%F %T} UTC.")
    return 0


def _examine(settings: Settings, *, mend: bool, as_json: bool) -> int:
    doctor = Doctor(settings, mend=mend)
    findings = []
    try:
        for finding in doctor.examine():
            findings.append(finding)
            if not as_json:
                _say(f"{_SIGNS[finding.verdict]}  {finding.subject:<12} {finding.text}")
    finally:
        doctor.close()
    if as_json:
        _say(json.dumps([asdict(finding) for finding in findings], indent=2))
    return int(any(finding.verdict == "bad" for finding in findings))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _explain(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
