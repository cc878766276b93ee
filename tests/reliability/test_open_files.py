"""No file can be opened, and then some can again: both processes stay, and the work goes on."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.conftest import Stack

pytestmark = pytest.mark.timeout(600)

# The smallest numbers that are free: all of them are standard input and output.
NO_MORE_FILES = 3


@contextmanager
def no_more_files(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let the process open no file during the block; those that are open stay so."""
    limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (NO_MORE_FILES, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)


def test_the_api_outlives_a_lack_of_open_files_and_says_what_to_do(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    (api,) = stack.processes
    stack.start_worker()
    job_id = stack.submit(epochs=1)["id"]
    stack.wait_for_status(job_id, "succeeded", seconds=300)
    assert stack.client.get("/datasets/shapes/samples").status_code == 200

    with no_more_files(api):
        # A connection that is open already is answered; a new one could not be taken.
        for path in ("/", "/dashboard/scripts/api.js", "/datasets/shapes/samples"):
            reply = stack.client.get(path)
            assert reply.status_code == 503, f"{path}: {reply.status_code} {reply.text}"
            assert reply.json()["code"] == "system_refused"
            assert "`ulimit -n`" in reply.json()["detail"]
        assert stack.get(f"/jobs/{job_id}")["status"] == "succeeded"

    for path in ("/", "/dashboard/scripts/api.js", "/datasets/shapes/samples"):
        assert stack.client.get(path).status_code == 200
    assert stack.submit()["status"] == "queued"


def test_an_idle_worker_outlives_a_lack_of_open_files(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack()
    worker = stack.start_worker()
    stack.wait_for_status(stack.submit(epochs=1)["id"], "succeeded", seconds=300)

    def has_met_it() -> bool:
        return "`ulimit -n`" in (stack.folder / "worker-1.log").read_text()

    with no_more_files(worker):
        stack.wait(has_met_it, 60)
    assert worker.poll() is None

    stack.wait_for_status(stack.submit(epochs=1)["id"], "succeeded", seconds=300)
    names = [dataset["name"] for dataset in stack.get("/datasets")["items"]]
    assert names == ["cifar10", "shapes"]


def test_a_worker_outlives_a_lack_of_open_files_and_its_job_can_be_retried(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    worker = stack.start_worker()
    stack.wait_for_status(stack.submit(epochs=1)["id"], "succeeded", seconds=300)

    with no_more_files(worker):
        job = stack.wait_for_status(stack.submit(epochs=1)["id"], "failed", seconds=300)
    assert job["error"]["code"] == "system_refused"
    assert "`ulimit -n`" in job["error"]["message"]
    assert worker.poll() is None

    assert stack.client.post(f"/jobs/{job['id']}/retry").status_code == 200
    stack.wait_for_status(job["id"], "succeeded", seconds=300)


def test_a_job_that_finds_no_open_file_at_its_end_says_so_and_goes_on_when_retried(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    worker = stack.start_worker()
    job_id = stack.submit(epochs=10)["id"]
    stack.wait(lambda: stack.get(f"/jobs/{job_id}/metrics")["epochs"], 60)

    with no_more_files(worker):
        job = stack.wait_for_status(job_id, "failed", seconds=300)
    assert job["error"]["code"] == "system_refused"
    assert "`ulimit -n`" in job["error"]["message"]
    assert worker.poll() is None

    assert stack.client.post(f"/jobs/{job_id}/retry").status_code == 200
    stack.wait_for_status(job_id, "succeeded", seconds=300)
    assert "resumed_from_checkpoint" in stack.list_event_kinds(job_id)
