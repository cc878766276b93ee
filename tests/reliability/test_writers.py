"""Many writers beside a worker: nobody hears that the database is locked; and an API that dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from store.database import Database
from tests.acceptance.conftest import Stack
from tests.reliability.effort import IS_CHAOS
from tests.soundness import assert_sound

ROOT = Path(__file__).parents[2]
WRITERS = 8
WRITING_SECONDS = 600.0 if IS_CHAOS else 5.0
SUBMISSIONS = 50

pytestmark = pytest.mark.timeout(900 + WRITING_SECONDS)

WRITER = """
import sys, time
from store import jobs
from store.artifacts import open_store
from store.database import Database
from store.specs import JobRequest
from store.tables import JobStatus

database, until, count = Database(sys.argv[1]), time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < until:
    with database.writing() as session:
        job_id = jobs.submit(session, JobRequest(dataset="shapes", priority=-100))[0].id
    with database.writing() as session:
        jobs.cancel(session, job_id)
    with database.reading() as session:
        jobs.list_page(session)
        # A worker that was quicker than the cancel ends the job itself.
        has_ended = jobs.get(session, job_id).status.is_ended
    if has_ended:
        with database.writing() as session:
            jobs.delete(session, job_id, open_store("database:"))
    count += 1
print(count)
"""


def open_database(stack: Stack) -> Database:
    return Database(f"sqlite:///{stack.folder / 'tenfold.db'}")


def test_writers_beside_a_worker_never_hear_that_the_database_is_locked(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(checkpoint_interval_seconds="0.2", heartbeat_interval_seconds="0.2")
    worker = stack.start_worker()
    job_id = stack.submit(epochs=10_000, report_every_steps=10, priority=100)["id"]
    stack.wait_for_step(job_id)
    command = [sys.executable, "-c", WRITER, f"sqlite:///{stack.folder / 'tenfold.db'}"]
    command.append(str(WRITING_SECONDS))
    writers = [
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(WRITERS)
    ]
    outcomes = [writer.communicate() for writer in writers]
    assert [error for _, error in outcomes] == [""] * WRITERS
    assert all(int(count) > 0 for count, _ in outcomes)
    print(f"{sum(int(count) for count, _ in outcomes)} rounds")  # noqa: T201 -- for docs
    assert stack.get(f"/jobs/{job_id}")["status"] == "running"
    worker.terminate()
    assert worker.wait(60) == 0
    assert "locked" not in (stack.folder / "worker-1.log").read_text()
    database = open_database(stack)
    assert_sound(database)
    database.dispose()


def test_an_api_that_is_killed_has_every_job_that_it_acknowledged_once(
    start_stack: Callable[..., Stack],
) -> None:
    """50 clients at once; whoever got no reply asks again with the same key."""
    stack = start_stack()
    api = stack.processes[0]
    acknowledged: dict[str, int] = {}

    def submit(number: int) -> None:
        key = f"key-{number}"
        body = {"dataset": "shapes", "seed": number}
        with httpx.Client(base_url=stack.client.base_url, timeout=30) as client:
            for _ in range(100_000):
                try:
                    reply = client.post("/jobs", json=body, headers={"Idempotency-Key": key})
                except httpx.TransportError:
                    time.sleep(0.05)
                    continue
                assert reply.status_code == 201, reply.text
                job_id = acknowledged.setdefault(key, reply.json()["id"])
                assert job_id == reply.json()["id"]
                if is_restarted:
                    return
            pytest.fail("the API did not come back")

    is_restarted: list[bool] = []
    with ThreadPoolExecutor(SUBMISSIONS) as pool:
        clients = [pool.submit(submit, number) for number in range(SUBMISSIONS)]
        stack.wait(lambda: len(acknowledged) > SUBMISSIONS // 4, 300)
        os.kill(api.pid, signal.SIGKILL)
        api.wait()
        stack.processes.remove(api)
        stack.start_api()
        is_restarted.append(True)
        for client in clients:
            client.result()

    items: list[dict[str, Any]] = stack.get("/jobs", limit=200)["items"]
    assert sorted(job["spec"]["seed"] for job in items) == list(range(SUBMISSIONS))
    assert {job["id"] for job in items} == set(acknowledged.values())
    database = open_database(stack)
    assert_sound(database)
    database.dispose()
