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
from tests.service.populated import populate
from tests.service.serving import serve

CONFIGURATION = Path(__file__).parents[1] / "tests" / "service" / "schemathesis.toml"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tenfold-fuzz-") as folder,
        serve(populate(Path(folder))) as client,
    ):
        run = subprocess.run(  # noqa: S603 -- a program of this environment
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(CONFIGURATION), "run", f"{client.base_url}/openapi.json"),
                *("--checks", "all", "--suppress-health-check", "all"),
                *("--max-time", str(options.seconds), "--seed", str(options.seed)),
            ],
            cwd=folder,
            check=False,
        )
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
