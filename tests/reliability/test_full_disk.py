"""The disk takes no more, and then it does again: both processes stay, and the work goes on."""

import resource
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import Stack

pytestmark = pytest.mark.timeout(900)

# Larger than a log of these tests, smaller than the database: what is beyond cannot be written.
LITTLE_BYTES = 64 << 10


def set_limit(process: subprocess.Popen[bytes], size: int) -> None:
    """Let the process write no file beyond this size."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_worker_outlives_a_full_disk_and_its_job_can_be_retried(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(checkpoint_interval_seconds="0.3", lease_seconds="300")
    worker = stack.start_worker()
    job_id = stack.submit(epochs=1000, report_every_steps=50)["id"]
    stack.wait(lambda: stack.get(f"/jobs/{job_id}/checkpoints")["items"], 300)
    set_limit(worker, LITTLE_BYTES)
    log = stack.folder / "worker-1.log"
    stack.wait(lambda: "is not recorded yet" in log.read_text(), 300)
    assert worker.poll() is None
    assert stack.get(f"/jobs/{job_id}")["status"] == "running"

    set_limit(worker, resource.RLIM_INFINITY)
    job = stack.wait_for_status(job_id, "failed")
    assert job["error"]["code"] == "database_unusable"
    assert "disk" in job["error"]["message"]
    step = stack.get(f"/jobs/{job_id}/checkpoints")["items"][0]["step"]
    assert stack.client.post(f"/jobs/{job_id}/retry").status_code == 200
    stack.wait(lambda: stack.get(f"/jobs/{job_id}/checkpoints")["items"][0]["step"] > step, 300)
    kinds = stack.list_event_kinds(job_id)
    assert "resumed_from_checkpoint" in kinds[kinds.index("retried") :]


def test_the_api_outlives_a_full_disk_and_says_what_to_do(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    (api,) = stack.processes
    first = stack.submit()
    set_limit(api, LITTLE_BYTES)

    def is_refused() -> dict[str, Any] | None:
        reply = stack.client.post("/jobs", json={"dataset": "shapes"})
        return None if reply.status_code == 201 else reply.json()

    problem = stack.wait(is_refused, 300)
    assert (problem["status"], problem["code"]) == (503, "database_unusable")
    assert "disk" in problem["detail"]
    assert stack.get(f"/jobs/{first['id']}")["status"] == "queued"

    set_limit(api, resource.RLIM_INFINITY)
    assert stack.submit()["status"] == "queued"
