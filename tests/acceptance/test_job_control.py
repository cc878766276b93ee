"""Cancelling, stopping and losing workers, seen from outside."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import Stack

pytestmark = pytest.mark.timeout(180)

# Long enough that no test meets its end; about a millisecond a step.
LONG: dict[str, Any] = {"epochs": 1000, "report_every_steps": 50}


def test_a_running_job_is_cancelled_within_two_seconds_and_keeps_a_checkpoint(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    stack.start_worker()
    job_id = stack.submit(**LONG)["id"]
    stack.wait_for_step(job_id)
    asked = time.monotonic()
    reply = stack.client.post(f"/jobs/{job_id}/cancel")
    assert reply.status_code == 202
    stack.wait_for_status(job_id, "cancelled")
    assert time.monotonic() - asked < 2

    checkpoint = stack.get(f"/jobs/{job_id}/checkpoints")["items"][0]
    last_step = stack.get(f"/jobs/{job_id}/metrics")["steps"][-1]["step"]
    assert checkpoint["step"] >= last_step


def test_a_job_without_a_worker_waits_and_says_so(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack()
    job = stack.submit(epochs=1)
    waiting = stack.get(f"/jobs/{job['id']}")
    assert waiting["status"] == "queued"
    assert "python -m worker" in waiting["waiting_reason"]
    stack.start_worker()
    done = stack.wait_for_status(job["id"], "succeeded", "failed")
    assert done["status"] == "succeeded", done["error"]
    assert done["waiting_reason"] is None


def test_the_data_set_of_a_running_job_can_be_looked_at(start_stack: Callable[..., Stack]) -> None:
    """A worker that trains has no time to look at the folders, and may not have had any before."""
    stack = start_stack()
    job_id = stack.submit(**LONG)["id"]
    stack.start_worker()
    stack.wait_for_step(job_id)
    assert stack.get("/datasets/shapes")["state"] == "ready"


def test_a_stopped_worker_hands_its_job_on(start_stack: Callable[..., Stack]) -> None:
    """SIGTERM: checkpoint, back into the queue, and the next worker goes on from there."""
    stack = start_stack()
    worker = stack.start_worker()
    job_id = stack.submit(**LONG)["id"]
    stack.wait_for_step(job_id)
    worker.terminate()
    assert worker.wait(10) == 0
    queued = stack.get(f"/jobs/{job_id}")
    assert queued["status"] == "queued"
    step = stack.get(f"/jobs/{job_id}/checkpoints")["items"][0]["step"]

    stack.start_worker()
    stack.wait_for_status(job_id, "running")
    stack.wait(lambda: stack.get(f"/jobs/{job_id}/metrics")["steps"][-1]["step"] > step, 60)
    assert "resumed_from_checkpoint" in stack.list_event_kinds(job_id)


def test_a_killed_worker_is_noticed_and_its_job_goes_on(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(
        lease_seconds="2", heartbeat_interval_seconds="0.5", checkpoint_interval_seconds="0.5"
    )
    worker = stack.start_worker()
    job_id = stack.submit(**LONG)["id"]
    stack.wait(lambda: stack.get(f"/jobs/{job_id}/checkpoints")["items"], 60)
    worker.kill()
    worker.wait()
    stack.start_worker()
    # The second attempt begins before it has read the checkpoint.
    stack.wait(lambda: "resumed_from_checkpoint" in stack.list_event_kinds(job_id), 60)
    kinds = stack.list_event_kinds(job_id)
    assert kinds.index("abandoned") < kinds.index("resumed_from_checkpoint")
    assert stack.get(f"/jobs/{job_id}")["attempt"] > 1


def test_a_worker_that_slept_past_its_lease_is_refused(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(lease_seconds="2", heartbeat_interval_seconds="0.5")
    sleeper = stack.start_worker()
    job_id = stack.submit(**LONG)["id"]
    stack.wait_for_step(job_id)
    sleeper.send_signal(signal.SIGSTOP)
    stack.start_worker()
    # A busy machine may be too slow for this lease, and begin more attempts.
    stack.wait(lambda: stack.get(f"/jobs/{job_id}")["attempt"] > 1, 60)
    sleeper.send_signal(signal.SIGCONT)
    log = stack.folder / "worker-1.log"
    stack.wait(lambda: "Attempt 1 of job 1 no longer owns the job" in log.read_text(), 60)
    assert stack.get(f"/jobs/{job_id}")["attempt"] > 1


def test_a_data_set_that_is_nowhere_fails_the_job_with_what_to_do(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    stack.start_worker()
    job_id = stack.submit(dataset="cifar10")["id"]
    job = stack.wait_for_status(job_id, "failed")
    assert job["error"]["code"] == "dataset_unavailable"
    assert "datasets/cifar10" in job["error"]["message"]
