"""A real service with a worker and one trained job, shared by all tests of the client."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from client import ConflictError, Job, NotFoundError, Tenfold
from tests.acceptance.conftest import Stack
from tests.client.unreliable_proxy import UnreliableProxy

ROOT = Path(__file__).parents[2]
# Enough that the model tells some shapes apart; a second on an idle machine.
TRAINED = {"epochs": 1, "batch_size": 50, "learning_rate": 0.02, "report_every_steps": 20}
# No other test publishes under this name, so that its version 1 is the newest in any order.
TRAINED_MODEL = "well-trained"
# Longer than any test looks at it.
ENDLESS = {"epochs": 1000, "report_every_steps": 20}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("client-stack"))
    # Threads that wait for each other are slow where other tests have the cores.
    stack.environment["OMP_NUM_THREADS"] = "1"
    try:
        stack.start_api()
        stack.start_worker()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def idle_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service without a worker: jobs stay in the queue."""
    stack = Stack(tmp_path_factory.mktemp("idle-stack"))
    try:
        stack.start_api()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def url(stack: Stack) -> str:
    return str(stack.client.base_url)


@pytest.fixture
def client(url: str) -> Iterator[Tenfold]:
    with Tenfold(url) as client:
        yield client


@pytest.fixture(scope="session")
def trained_job_id(url: str) -> int:
    """A job that has succeeded; its model is version 1 of TRAINED_MODEL."""
    with Tenfold(url) as client:
        job = client.submit_job(
            dataset="shapes",
            model=TRAINED_MODEL,
            **TRAINED,  # type: ignore[arg-type]
        )
        return job.wait(timeout_seconds=400).id


@pytest.fixture
def trained_job(client: Tenfold, trained_job_id: int) -> Job:
    return client.get_job(trained_job_id)


@pytest.fixture
def endless_job(client: Tenfold) -> Iterator[Job]:
    """A job that trains until it is stopped, and is stopped with the test."""
    job = client.submit_job(dataset="shapes", **ENDLESS)  # type: ignore[arg-type]
    yield job
    with suppress(NotFoundError, ConflictError):
        job.cancel()


@pytest.fixture
def picture(trained_job: Job, client: Tenfold) -> bytes:
    """The first test image of the data set that the job was trained on, as a PNG."""
    return client.get_dataset_image(trained_job.spec["dataset"], "test", 0)


@pytest.fixture
def proxy(url: str) -> Iterator[UnreliableProxy]:
    """A way to the service that does what a test tells it to."""
    with UnreliableProxy(url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def environment(url: str) -> dict[str, str]:
    """The environment of a user whose terminal says nothing about colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TENFOLD_")}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES"):
        kept.pop(name, None)
    return kept | {"TENFOLD_URL": url, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tenfold(environment: dict[str, str], tmp_path: Path) -> Run:
    """Return a function that runs `tenfold` with arguments, in a folder of the test's own."""

    def run(
        *arguments: str, stdin: bytes = b"", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "client", *arguments],
            cwd=tmp_path,
            env=environment | variables,
            input=stdin,
            capture_output=True,
            timeout=200,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run
