"""`python -m store`: look after an installation, and give out keys, without the service."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from store import key_commands, upkeep_commands
from store.errors import ConflictError, InvalidRequestError, NotFoundError, TenfoldError
from store.settings import Settings

# As those of `tenfold`, which runs this.
FAILED, USAGE, REFUSED, INTERRUPTED = 1, 2, 4, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0; 1 where something failed or was found bad; another code of docs/command-line.md."""
    asked = _build_parser().parse_args(arguments)
    try:
        code: int = asked.run(Settings(), asked)
    except ValidationError as error:
        reasons = [f"TENFOLD_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        return _explain("; ".join(reasons), "invalid_settings", USAGE, as_json=asked.json)
    except TenfoldError as error:
        is_refused = isinstance(error, (ConflictError, InvalidRequestError, NotFoundError))
        code = REFUSED if is_refused else FAILED
        return _explain(error.message, error.code, code, as_json=asked.json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be written, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m store", description=__doc__)
    commands = parser.add_subparsers(required=True)
    upkeep_commands.add_to(commands)
    key_commands.add_to(commands)
    return parser


def _explain(message: str, code: str, exit_code: int, *, as_json: bool) -> int:
    line = json.dumps({"code": code, "message": message}) if as_json else f"Error: {message}"
    sys.stderr.write(f"{line}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
