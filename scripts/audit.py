"""Looks for known vulnerabilities of everything that the locks name (`make audit`).

The advisories come from the package index, so this needs one that has them. Exit code 1 means that
something was found, 2 that nothing could be looked up (0 with `--go-on`).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Not among the project's own packages: it runs apart, and brings twenty of its own.
AUDITOR = "pip-audit==2.10.1"
# An old version with a known hole: whether it is found shows that the advisories are there.
PROBE = "pillow==10.0.0"
TIMEOUT_SECONDS = 600


class Unreachable(Exception):  # noqa: N818 -- the ordinary outcome without internet
    """There is no auditor, or there are no advisories."""


def main() -> int:
    """Audit the locks and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--go-on", action="store_true", help="0 where nothing can be looked up")
    arguments = parser.parse_args()
    try:
        check_source()
        holes = [
            hole
            for lock in ("requirements.lock", "docker/requirements.lock")
            for hole in list_holes(look_up(ROOT / lock, "--require-hashes"))
        ]
    except Unreachable as error:
        print(f"The advisories cannot be reached from here ({error}): nothing was audited.")
        return 0 if arguments.go_on else 2
    print(*sorted(set(holes)) or ["No known vulnerabilities."], sep="\n")
    return int(bool(holes))


def check_source() -> None:
    """Raise Unreachable where even a known hole is not known; one question instead of hundreds."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as probe:
        probe.write(f"{PROBE}\n")
        probe.flush()
        if not list_holes(look_up(Path(probe.name), "--no-deps")):
            raise Unreachable("the package index has none")


def look_up(requirements: Path, *options: str) -> list[dict[str, Any]]:
    """Return what is known of each package in a file of pinned requirements."""
    command = [
        *(str(Path(sys.executable).with_name("uv")), "tool", "run", "--quiet", "--from", AUDITOR),
        *("pip-audit", "--requirement", str(requirements), "--disable-pip", *options),
        *("--progress-spinner", "off", "--format", "json"),
    ]
    try:
        done = subprocess.run(  # noqa: S603 -- our own arguments
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreachable(type(error).__name__) from error
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        lines = done.stderr.strip().splitlines() or ["pip-audit said nothing"]
        raise Unreachable(lines[-1][:200]) from error
    return found


def list_holes(packages: list[dict[str, Any]]) -> list[str]:
    """Return a line for each known vulnerability."""
    return [
        f"{package['name']} {package['version']}: {hole['id']}, "
        f"mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in packages
        for hole in package.get("vulns", [])
    ]


if __name__ == "__main__":
    sys.exit(main())
