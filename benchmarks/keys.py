"""What asking for a key costs a prediction: one service with keys beside one without, in turns.

    python benchmarks/keys.py

wrk must be installed.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers.publish import publish_network
from serving import find_free_port, make_body, run_wrk
from surroundings import describe_surroundings

from store import keys
from store.database import Database
from store.keys import Scope
from store.settings import Settings

ROOT = Path(__file__).parents[1]
CONNECTIONS = 32
START_SECONDS = 120


class Server(NamedTuple):
    """A service that runs, and the script of its load."""

    url: str
    script: Path
    pid: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each service")
    arguments = parser.parse_args()
    rates: list[tuple[float, float]] = []
    costs: list[tuple[float, float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        start(Path(folder) / "open", has_key=False) as without,
        start(Path(folder) / "key", has_key=True) as with_key,
    ):
        for is_warm in (False, *[True] * arguments.repeats):
            pair = [measure(server, arguments.seconds) for server in (without, with_key)]
            if is_warm:
                rates.append((pair[0][0], pair[1][0]))
                costs.append((pair[0][1], pair[1][1]))
    print(f"POST /predict, {CONNECTIONS} connections, without keys and with one:")
    print_pairs("requests/s", rates)
    print_pairs("microseconds of the server's processor time a request", costs)
    print(
        f"n = {arguments.repeats} pairs of {arguments.seconds} s each, medians; network `small`, "
        f"one PNG of 32x32 a request; {describe_surroundings()}"
    )


def print_pairs(unit: str, pairs: list[tuple[float, float]]) -> None:
    ratios = [after / before for before, after in pairs]
    before, after = (statistics.median(values) for values in zip(*pairs, strict=True))
    print(
        f"  {before:.0f} and {after:.0f} {unit}: ratio {statistics.median(ratios):.3f} "
        f"(from {min(ratios):.3f} to {max(ratios):.3f})"
    )


def measure(server: Server, seconds: int) -> tuple[float, float]:
    """Return requests per second, and microseconds of processor time a request.

    The second is hardly touched by what else the machine does.
    """
    began = read_processor_seconds(server.pid)
    rate, *_ = run_wrk(server.url, server.script, CONNECTIONS, seconds)
    spent = read_processor_seconds(server.pid) - began
    return rate, 1e6 * spent / (rate * seconds)


def read_processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


@contextmanager
def start(folder: Path, *, has_key: bool) -> Iterator[Server]:
    """Run a service until the block ends."""
    publish_network(folder, "small")
    key = make_key(folder) if has_key else None
    port = find_free_port()
    settings = {
        "TENFOLD_DATA": str(folder),
        "TENFOLD_PORT": str(port),
        # Each request is counted, and none is refused.
        "TENFOLD_KEY_REQUESTS_PER_SECOND": "1000000",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        script = write_load_script(folder, key)
        url = f"http://127.0.0.1:{port}/predict"
        wait_until_it_answers(url, script)
        yield Server(url, script, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def make_key(folder: Path) -> str:
    database = Database(Settings(_env_file=None, data=folder).resolved_database_url)
    with database.writing() as session:
        _, key = keys.create(session, "benchmark", [Scope.PREDICT])
    database.dispose()
    return key


def write_load_script(folder: Path, key: str | None) -> Path:
    content_type, body = make_body("raw")
    (folder / "body").write_bytes(body)
    script = folder / "load.lua"
    authorization = "" if key is None else f'wrk.headers["Authorization"] = "Bearer {key}"\n'
    script.write_text(
        'wrk.method = "POST"\n'
        f'wrk.headers["Content-Type"] = "{content_type}"\n{authorization}'
        f'local file = io.open("{folder / "body"}", "rb")\n'
        'wrk.body = file:read("*a")\nfile:close()\n'
    )
    return script


def wait_until_it_answers(url: str, script: Path) -> None:
    for _ in range(START_SECONDS):
        try:
            run_wrk(url, script, 1, 1)
        except (RuntimeError, subprocess.CalledProcessError):
            time.sleep(1)
        else:
            return
    raise RuntimeError(f"it does not answer at {url}")


if __name__ == "__main__":
    main()
