"""Minutes of mixed load on a real service, with every reply compared with offline predictions.

    python benchmarks/soak.py --seconds 600

Clients send pictures in every form, good and bad, small and large; they leave in the middle of
requests; an alias moves between two versions all the time. It fails (exit status 1) when a reply
belongs to another request or version, on any 5xx but 503, and when the memory grows.
"""

import argparse
import asyncio
import base64
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[1]))
from store.images import decode, fit
from tests.service.serving import build_network, encode, make_pixels, make_settings, publish

CLIENTS = 12
PICTURES = 40
SEED = 0
ALIAS_PAUSE_SECONDS = 0.2
SAMPLE_PAUSE_SECONDS = 0.5
START_SECONDS = 60
KEEPALIVE_SECONDS = 1.0
TOLERANCE = 2e-6
# Until then threads start and the allocator's heaps fill up; memory is measured after it.
WARM_UP_PREDICTIONS = 8_000
LONGEST_WARM_UP_SECONDS = 60.0
# Growth between the medians of the two halves that is still called flat, in megabytes. A heap may
# still take a step of 20. Half of 15 s on two idle cores is 20,000 predictions: were the 3 kB of
# each picture's pixels kept, they would make 60.
ALLOWED_GROWTH = 32.0
PNG = {"Content-Type": "image/png"}


@dataclass
class Findings:
    """What the clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    compared: int = 0
    resident_bytes: list[int] = field(default_factory=list)


class Soak:
    """The clients, and what they know to be right."""

    def __init__(self, url: str, networks: dict[int, bytes], findings: Findings) -> None:
        self.url = url
        self.findings = findings
        self.is_over = False
        small = [encode(make_pixels(seed)) for seed in range(PICTURES)]
        large = [encode(make_pixels(seed, 300, 400)) for seed in range(PICTURES, PICTURES + 4)]
        self.pictures = small + large
        pixels = np.stack([fit(decode(data), 32, 32, "rgb") for data in self.pictures])
        self.expected = {
            version: onnxruntime.InferenceSession(network).run(None, {"images": pixels})[0]
            for version, network in networks.items()
        }

    def open_client(self) -> httpx.AsyncClient:
        """Return a client that gives up idle connections before the server does.

        A request on a connection that is being closed would get no reply, whoever is right.
        """
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS)
        return httpx.AsyncClient(base_url=self.url, timeout=60, limits=limits)

    async def run_client(self, seed: int) -> None:
        """Send one random request after the other until the soak is over."""
        draw = random.Random(seed)  # noqa: S311 -- load, not secrets
        kinds: list[Callable[[httpx.AsyncClient, random.Random], Awaitable[None]]] = [
            *[self.send_raw] * 6,
            *[self.send_form] * 2,
            *[self.send_json, self.send_tensor, self.send_bad, self.send_and_leave],
        ]
        async with self.open_client() as client:
            while not self.is_over:
                try:
                    await draw.choice(kinds)(client, draw)
                except httpx.TransportError as error:
                    self.findings.faults.append(f"no reply: {error!r}")

    async def send_raw(self, client: httpx.AsyncClient, draw: random.Random) -> None:
        place = self.draw_place(draw)
        reply = await client.post(
            "/predict?model=animals@moving", content=self.pictures[place], headers=PNG
        )
        self.check_predictions(reply, [place])

    async def send_form(self, client: httpx.AsyncClient, draw: random.Random) -> None:
        """Several pictures, one of them no picture: it alone fails."""
        places = [self.draw_place(draw) for _ in range(draw.randint(2, 90))]
        bad = draw.randrange(len(places))
        files = [
            ("file", (f"{n}.png", b"no picture" if n == bad else self.pictures[place]))
            for n, place in enumerate(places)
        ]
        reply = await client.post("/predict?model=animals@moving", files=files)
        self.check_predictions(reply, [None if n == bad else p for n, p in enumerate(places)])

    async def send_json(self, client: httpx.AsyncClient, draw: random.Random) -> None:
        places = [self.draw_place(draw) for _ in range(3)]
        images = [base64.b64encode(self.pictures[place]).decode() for place in places]
        reply = await client.post("/predict?model=animals@moving", json={"images": images})
        self.check_predictions(reply, places)

    async def send_tensor(self, client: httpx.AsyncClient, draw: random.Random) -> None:
        place = self.draw_place(draw)
        headers = {"Inference-Header-Content-Length": "0"}
        reply = await client.post(
            "/v2/models/animals@moving/infer", content=self.pictures[place], headers=headers
        )
        self.note(reply)
        if reply.status_code == httpx.codes.OK:
            content = reply.json()
            values = next(
                output["data"] for output in content["outputs"] if output["name"] == "probabilities"
            )
            self.compare(int(content["model_version"]), place, values)

    async def send_bad(self, client: httpx.AsyncClient, draw: random.Random) -> None:
        data = draw.choice([b"", b"no picture", self.pictures[0][:100]])
        reply = await client.post("/predict?model=animals@moving", content=data, headers=PNG)
        self.note(reply)
        if reply.status_code not in {415, 422, 503}:
            self.findings.faults.append(f"a bad picture got {reply.status_code}")

    async def send_and_leave(self, client: httpx.AsyncClient, draw: random.Random) -> None:
        """Close the connection before the reply can come."""
        files = [("file", self.pictures[self.draw_place(draw)])] * 60
        request = asyncio.create_task(client.post("/predict?model=animals@moving", files=files))
        await asyncio.sleep(draw.random() * 0.02)
        request.cancel()
        try:
            await request
        except asyncio.CancelledError:
            self.findings.statuses["left"] += 1

    def draw_place(self, draw: random.Random) -> int:
        """Return the place of a picture; one in twenty is a large one."""
        large = draw.random() < 0.05  # noqa: PLR2004
        return draw.randrange(PICTURES, len(self.pictures)) if large else draw.randrange(PICTURES)

    def note(self, reply: httpx.Response) -> None:
        self.findings.statuses[str(reply.status_code)] += 1
        if reply.is_server_error and reply.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            self.findings.faults.append(f"{reply.status_code}: {reply.text[:200]}")

    def check_predictions(self, reply: httpx.Response, places: list[int | None]) -> None:
        """Compare each prediction; a place of None stands for a picture that cannot be read."""
        self.note(reply)
        if reply.status_code != httpx.codes.OK:
            return
        content = reply.json()
        for place, prediction in zip(places, content["predictions"], strict=True):
            if (place is None) != ("error" in prediction):
                self.findings.faults.append(f"picture {place} got {prediction}")
            elif place is not None:
                values = list(prediction["probabilities"].values())
                self.compare(content["version"], place, values)

    def compare(self, version: int, place: int, values: list[float]) -> None:
        self.findings.compared += 1
        if np.abs(np.array(values) - self.expected[version][place]).max() > TOLERANCE:
            self.findings.faults.append(f"picture {place} got the reply of another one")

    async def move_alias(self) -> None:
        async with self.open_client() as client:
            version = 1
            while not self.is_over:
                version = 3 - version
                body = {"version": version}
                self.note(await client.put("/models/animals/aliases/moving", json=body))
                await asyncio.sleep(ALIAS_PAUSE_SECONDS)

    async def watch_memory(self, pid: int) -> None:
        while not self.is_over:
            self.findings.resident_bytes.append(read_resident_bytes(pid))
            await asyncio.sleep(SAMPLE_PAUSE_SECONDS)

    async def run(self, seconds: float, pid: int) -> None:
        async with self.open_client() as client:
            reply = await client.put("/models/animals/aliases/moving", json={"version": 1})
            reply.raise_for_status()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.move_alias())
            group.create_task(self.watch_memory(pid))
            for seed in range(CLIENTS):
                group.create_task(self.run_client(SEED + seed))
            await self.warm_up()
            await asyncio.sleep(seconds)
            self.is_over = True

    async def warm_up(self) -> None:
        """Wait for so much work that memory should be flat from here on."""
        deadline = time.monotonic() + LONGEST_WARM_UP_SECONDS
        while self.findings.compared < WARM_UP_PREDICTIONS and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(SAMPLE_PAUSE_SECONDS)
        self.findings.resident_bytes.clear()


def read_resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=600, help="length after the warm-up")
    seconds: float = parser.parse_args().seconds
    findings = Findings()
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings(Path(folder))
        networks = {version: build_network(seed=version) for version in (1, 2)}
        for network in networks.values():
            publish(settings, "animals", network)
        process, url = start_service(Path(folder))
        try:
            soak = Soak(url, networks, findings)
            asyncio.run(soak.run(seconds, process.pid))
        finally:
            process.terminate()
            process.wait(30)
    return report(findings, seconds)


def start_service(folder: Path) -> tuple["subprocess.Popen[bytes]", str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "TENFOLD_DATA": str(folder),
        "TENFOLD_PORT": str(port),
        "TENFOLD_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], env=environment, cwd=Path(__file__).parents[1]
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{url}/health/ready").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline or process.poll() is not None:
                process.kill()
                raise
            time.sleep(0.1)
        else:
            return process, url


def report(findings: Findings, seconds: float) -> int:
    """Print what was found, and return the exit status."""
    growth = measure_growth(findings.resident_bytes) / 1e6
    statuses = ", ".join(f"{name}: {count}" for name, count in sorted(findings.statuses.items()))
    print(f"{seconds:.0f} s, {CLIENTS} clients, seed {SEED}; replies by status: {statuses}")
    print(f"{findings.compared} predictions compared, {len(findings.faults)} faults")
    medians = ", ".join(f"{size / 1e6:.0f}" for size in measure_windows(findings.resident_bytes))
    print(f"resident memory in each tenth of the time: {medians} MB; growth {growth:.1f} MB")
    for fault, count in Counter(findings.faults).most_common(10):
        print(f"{count} x {fault}")
    if growth > ALLOWED_GROWTH:
        print(f"The memory grew by more than {ALLOWED_GROWTH:.0f} MB.")
    passed = not findings.faults and findings.compared and growth <= ALLOWED_GROWTH
    return 0 if passed else 1


def measure_growth(samples: list[int]) -> float:
    """Return the median of the second half less that of the first."""
    middle = len(samples) // 2
    return statistics.median(samples[middle:]) - statistics.median(samples[:middle] or samples)


def measure_windows(samples: list[int], count: int = 10) -> list[float]:
    """Return the median of each of `count` stretches of equal length."""
    edges = [len(samples) * window // count for window in range(count + 1)]
    return [
        statistics.median(samples[start:stop])
        for start, stop in itertools.pairwise(edges)
        if start < stop
    ]


if __name__ == "__main__":
    sys.exit(main())
