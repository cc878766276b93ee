"""Predictions over HTTP, beside other servers: same machine, same run, same picture, wrk as load.

    python benchmarks/serving.py --cache ~/.cache/tenfold-peers

makes an environment for each peer in the cache folder (several GB, once), then measures. Every
server has its turn in every round, and so have two loops without HTTP: what slows the machine down
for a minute slows them all. Peers that cannot be installed or started are named and
left out. wrk must be installed.
"""

# ruff: noqa: S603 -- it starts the servers that it compares

import argparse
import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers.publish import export_network, publish_network
from surroundings import describe_surroundings

from service.engines import Engine, OnnxEngine, load_engine
from store.cores import count_cores

PEERS = Path(__file__).parent / "peers"
START_SECONDS = 120
PICTURE_SEED = 7
LOOP_BATCH = 64
LOOP_SECONDS = 3.0
BOUNDARY = "tenfold-benchmark"


@dataclass(frozen=True)
class Server:
    """One row of the table: how to start it, and where it takes a picture, by the kind of body."""

    name: str
    paths: dict[str, str]
    script: str | None = None
    options: tuple[str, ...] = ()
    processes: int = 1
    packages: tuple[str, ...] = ()


_TENFOLD_PATHS = {
    "raw": "/predict",
    "multipart": "/predict",
    "v2": "/v2/models/animals/infer",
}
_TORCH = ("torch", "numpy", "pillow")
SERVERS = [
    Server("bare ASGI application", {"raw": "/"}, "bare.py"),
    Server("hand-written handler", {"raw": "/raw", "multipart": "/multipart"}, "handwritten.py"),
    Server(
        "hand-written handler, 2 processes",
        {"raw": "/raw", "multipart": "/multipart"},
        "handwritten.py",
        ("--processes", "2"),
        processes=2,
    ),
    Server("Tenfold", _TENFOLD_PATHS),
    Server("Tenfold, 2 processes", _TENFOLD_PATHS, options=("--workers", "2")),
    Server(
        "LitServe",
        {"multipart": "/multipart"},
        "litserve_server.py",
        packages=("litserve", *_TORCH),
    ),
    Server(
        "LitServe, batches",
        {"multipart": "/multipart"},
        "litserve_server.py",
        ("--batch", "32"),
        packages=("litserve", *_TORCH),
    ),
    Server(
        "BentoML",
        {"raw": "/raw", "multipart": "/multipart"},
        "bentoml_service.py",
        packages=("bentoml", *_TORCH),
    ),
    Server(
        "Ray Serve, batches",
        {"raw": "/raw"},
        "ray_serve_app.py",
        packages=("ray[serve]", *_TORCH),
    ),
    Server(
        "MLServer",
        {"v2": "/v2/models/animals/infer"},
        "mlserver_runtime.py",
        packages=("mlserver", *_TORCH),
    ),
]


@dataclass
class Measurement:
    """The runs of one server with one kind of body and number of connections."""

    rates: list[float] = field(default_factory=list)
    medians_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.medians_ms)


@dataclass
class Loop:
    """The most there is: the same engine on full batches, without any HTTP."""

    engine: Engine
    threads: int
    batch_items: int
    parallel_batches: int
    rates: list[float] = field(default_factory=list)


Key = tuple[str, str, int]  # server, kind of body, connections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder of the peers' packages")
    parser.add_argument("--seconds", type=int, default=4, help="length of one measurement")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each figure")
    parser.add_argument("--networks", nargs="+", default=["small", "large"])
    parser.add_argument("--only", nargs="+", default=[], help="servers to measure, by name")
    arguments = parser.parse_args()
    chosen = [server for server in SERVERS if not arguments.only or server.name in arguments.only]
    if shutil.which("wrk") is None:
        parser.exit(1, "wrk is missing: install it (apt-get install wrk), then run this again.\n")
    with tempfile.TemporaryDirectory() as folder:
        scripts = write_load_scripts(Path(folder))
        for network in arguments.networks:
            found: dict[Key, Measurement] = defaultdict(Measurement)
            loops = build_loops(export_network(network))
            for _ in range(arguments.repeats):
                for loop in loops:
                    loop.rates.append(measure_loop(loop))
                for server in chosen:
                    measure_server(server, network, scripts, arguments, found)
            print_table(network, found, arguments)
            for loop in loops:
                print_loop(loop, found)
        print(f"Versions: {describe_versions(chosen, arguments.cache)}")


def measure_server(
    server: Server,
    network: str,
    scripts: dict[str, Path],
    arguments: argparse.Namespace,
    found: dict[Key, Measurement],
) -> None:
    """Measure each kind of body and number of connections once, after a second of warming up."""
    try:
        with start(server, network, arguments.cache) as port:
            for kind, path in server.paths.items():
                url = f"http://127.0.0.1:{port}{path}"
                wait_until_it_answers(url, kind)
                for connections in (1, 32):
                    run_wrk(url, scripts[kind], connections, 1)
                    rate, p50, p99 = run_wrk(url, scripts[kind], connections, arguments.seconds)
                    measurement = found[server.name, kind, connections]
                    measurement.rates.append(rate)
                    measurement.medians_ms.append(p50)
                    measurement.p99_ms.append(p99)
                    print(
                        f"{network}, {server.name}, {kind}, {connections} connections: "
                        f"{rate:.0f} requests/s, p50 {p50:.2f} ms",
                        file=sys.stderr,
                    )
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"{server.name} is left out: {error}", file=sys.stderr)


@contextmanager
def start(server: Server, network: str, cache: Path) -> Iterator[int]:
    """Run the server on a free port until the block ends."""
    port = find_free_port()
    with tempfile.TemporaryDirectory() as folder:
        # Two processes with as many threads as there are cores each would only disturb each other.
        threads = max(1, count_cores() // server.processes)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        if server.script is None:
            publish_network(Path(folder), network)
            environment |= {"TENFOLD_DATA": folder, "TENFOLD_PORT": str(port)}
            command = [sys.executable, "-m", "service", *server.options]
            place = Path(__file__).parents[1]
        else:
            python = find_python(server, cache)
            options = ["--port", str(port), "--network", network, *server.options]
            command = [str(python), server.script, *options]
            place = PEERS
        log = (Path(folder) / "log").open("wb")
        process = subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield port
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{(Path(folder) / 'log').read_text()[-2000:]}") from error
        finally:
            stop(process)
            log.close()


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and the processes that it started, which share its session."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def find_python(server: Server, cache: Path) -> Path:
    """Return the interpreter of the server's own environment; make the environment at first."""
    if not server.packages:
        return Path(sys.executable)
    folder = cache / server.packages[0].partition("[")[0]
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"Installing {server.name} into {folder} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *server.packages], check=True)
    return python


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_picture() -> bytes:
    """Return a PNG of 32 x 32 pixels that compresses about as well as a photograph."""
    coarse = np.random.default_rng(PICTURE_SEED).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def make_body(kind: str) -> tuple[str, bytes]:
    """Return the Content-Type and the body that carry the picture."""
    picture = make_picture()
    if kind == "raw":
        return "image/png", picture
    if kind == "v2":
        text = base64.b64encode(picture).decode()
        tensor = {"name": "images", "shape": [1], "datatype": "BYTES", "data": [text]}
        return "application/json", json.dumps({"inputs": [tensor]}).encode()
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    return f"multipart/form-data; boundary={BOUNDARY}", body


def write_load_scripts(folder: Path) -> dict[str, Path]:
    scripts = {}
    for kind in ("raw", "multipart", "v2"):
        content_type, body = make_body(kind)
        (folder / f"{kind}.body").write_bytes(body)
        scripts[kind] = folder / f"{kind}.lua"
        scripts[kind].write_text(
            'wrk.method = "POST"\n'
            f'wrk.headers["Content-Type"] = "{content_type}"\n'
            f'local file = io.open("{folder / kind}.body", "rb")\n'
            'wrk.body = file:read("*a")\nfile:close()\n'
        )
    return scripts


def wait_until_it_answers(url: str, kind: str) -> None:
    content_type, body = make_body(kind)
    request = urllib.request.Request(url, body, {"Content-Type": content_type})  # noqa: S310
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
                reply.read()
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"it does not answer at {url}: {error}") from error
            time.sleep(0.2)


def run_wrk(url: str, script: Path, connections: int, seconds: int) -> tuple[float, float, float]:
    """Return requests per second, and the 50th and 99th percentile in milliseconds."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"not every request was answered:\n{text}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    if not rate:
        raise RuntimeError(f"no request was answered within {seconds} s")
    return rate, read_latency(text, "50%"), read_latency(text, "99%")


def read_latency(text: str, percentile: str) -> float:
    value, unit = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def print_table(network: str, found: dict[Key, Measurement], arguments: argparse.Namespace) -> None:
    print(f"\nNetwork `{network}`, one PNG of 32x32 ({len(make_picture())} bytes) a request")
    print(
        "| server | body | p50 at 1, ms | of hand-written | requests/s at 1 | p50 at 32, ms "
        "| requests/s at 32 | spread at 32 | x hand-written |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for (name, kind, connections), one in found.items():
        if connections != 1 or (name, kind, 32) not in found:
            continue
        many = found[name, kind, 32]
        basis = found.get(("hand-written handler", kind, 32))
        ratio = f"{many.rate / basis.rate:.2f}" if basis else "-"
        basis = found.get(("hand-written handler", kind, 1))
        share = f"{one.p50_ms / basis.p50_ms:.2f}" if basis else "-"
        spread = f"{min(many.rates):.0f}-{max(many.rates):.0f}"
        print(
            f"| {name} | {kind} | {one.p50_ms:.2f} | {share} | {one.rate:.0f} "
            f"| {many.p50_ms:.2f} | {many.rate:.0f} | {spread} | {ratio} |"
        )
    print(
        f"n = {arguments.repeats} rounds, in each {arguments.seconds} s a figure, medians; weights "
        f"and picture seeded; {describe_surroundings()}"
    )


def build_loops(network: bytes) -> list[Loop]:
    """Return the loop that is usually written, and the one that runs as the service does."""
    cores = count_cores()
    tuned = load_engine(network, (32, 32, 3), LOOP_BATCH)
    return [
        Loop(OnnxEngine(network, cores), cores, LOOP_BATCH, parallel_batches=1),
        Loop(tuned.engine, tuned.threads, tuned.batch_items, tuned.parallel_batches),
    ]


def print_loop(loop: Loop, found: dict[Key, Measurement]) -> None:
    rate = statistics.median(loop.rates)
    how = f"batches of {loop.batch_items}, {loop.parallel_batches} at once"
    print(f"In-process loop ({how}, {loop.threads} threads each): {rate:.0f} images/s")
    for name in ("Tenfold", "Tenfold, 2 processes"):
        if served := found.get((name, "raw", 32)):
            print(f"{name} serves {served.rate / rate:.2f} of that")


def measure_loop(loop: Loop) -> float:
    """Return images per second."""
    images = np.random.default_rng(PICTURE_SEED).integers(
        0, 256, (loop.batch_items, 32, 32, 3), dtype=np.uint8
    )
    started_at = time.perf_counter()

    def repeat() -> int:
        runs = 0
        while time.perf_counter() - started_at < LOOP_SECONDS:
            loop.engine.run(images)
            runs += 1
        return runs

    with ThreadPoolExecutor(loop.parallel_batches) as executor:
        repeats = [executor.submit(repeat) for _ in range(loop.parallel_batches)]
        runs = sum(one.result() for one in repeats)
    return runs * len(images) / (time.perf_counter() - started_at)


def describe_versions(servers: Sequence[Server], cache: Path) -> str:
    """Return the versions of what serves: this environment's, and each peer's of its own."""
    here = [f"{name} {version(name)}" for name in ("onnxruntime", "fastapi", "uvicorn")]
    peers = {server.packages[0].partition("[")[0]: server for server in servers if server.packages}
    program = "import sys, importlib.metadata as m; print(sys.argv[1], m.version(sys.argv[1]))"
    for name in peers:
        python = cache / name / "bin" / "python"
        if python.exists():
            command = [str(python), "-c", program, name]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            here.append(done.stdout.strip() or f"{name} (not installed)")
    return ", ".join(here)


if __name__ == "__main__":
    main()
