"""Half an hour of requests made from the OpenAPI document, right ones and wrong ones.

    make fuzz-api SECONDS=1800

schemathesis sends them to a service with something at every address, and checks each reply:
no server error, no status, header or body that the document does not have. Its exit status is
this script's.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.service.populated import create_key, populate
from tests.service.serving import serve

CONFIGURATION = Path(__file__).parents[1] / "tests" / "service" / "schemathesis.toml"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tenfold-fuzz-") as folder:
        settings = populate(Path(folder))
        with serve(settings) as client:
            return run(f"{client.base_url}/openapi.json", create_key(settings), options)


def run(address: str, key: str, options: argparse.Namespace) -> int:
    """Run schemathesis, and return its exit status."""
    return subprocess.run(  # noqa: S603 -- a program of this environment
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(CONFIGURATION), "run", address),
            *("--checks", "all", "--suppress-health-check", "all"),
            # The run's own key would be gone.
            *("--exclude-operation-id", "revoke_key"),
            *("--header", f"Authorization: Bearer {key}"),
            *("--max-time", str(options.seconds), "--seed", str(options.seed)),
        ],
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
