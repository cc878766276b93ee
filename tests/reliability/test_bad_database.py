"""The database is damaged or locked under a worker: it stays, and goes on once that is mended."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from store.tables import JobStatus
from tests.damage import Damage
from tests.reliability.sites import Site

pytestmark = pytest.mark.timeout(600)

LONG: dict[str, Any] = {"epochs": 1000, "report_every_steps": 50}


def begin(site: Site) -> int:
    job_id = site.submit(**LONG)
    site.wait(lambda: len(site.list_checkpoints(job_id)) > 0)
    return job_id


def wait_for_log(site: Site, words: str) -> None:
    deadline = time.monotonic() + 300
    while words not in site.log.read_text():
        assert time.monotonic() < deadline, site.log.read_text()
        time.sleep(0.05)


def check_that_it_failed(site: Site, job_id: int, words: str) -> None:
    site.wait(lambda: site.read(job_id).status is JobStatus.FAILED)
    error = site.read(job_id).error
    assert error is not None
    assert error["code"] == "database_unusable"
    assert words in error["message"]


def check_that_it_goes_on(site: Site, job_id: int) -> None:
    """The worker that met the trouble is still there, and takes the job up again."""
    reached = site.list_checkpoints(job_id)[0].step
    site.retry(job_id)
    site.wait(lambda: site.list_checkpoints(job_id)[0].step > reached)
    assert site.count_events(job_id, "abandoned") == 0


def test_a_worker_outlives_a_damaged_page_and_its_job_can_be_retried(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(lease_seconds=300)
    path = site.database.path
    assert path is not None
    with site.worker(signal.SIGTERM) as pid:
        job_id = begin(site)
        damage = Damage(path)
        while True:
            # Whoever stands still between two transactions writes nothing over the damage.
            os.kill(pid, signal.SIGSTOP)
            is_done = damage.do()
            os.kill(pid, signal.SIGCONT)
            if is_done:
                break
            time.sleep(0.01)
        wait_for_log(site, "is not recorded yet: The database file is damaged")
        damage.mend()
        check_that_it_failed(site, job_id, "damaged: restore it")
        check_that_it_goes_on(site, job_id)
    site.check()


def test_a_worker_outlives_a_lock_that_somebody_keeps_and_its_job_can_be_retried(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(lease_seconds=300)
    site.busy_timeout_seconds = 0.1
    with site.worker(signal.SIGTERM):
        job_id = begin(site)
        with site.database.writing() as session:
            session.connection()  # takes the lock
            wait_for_log(site, "is not recorded yet: Another process held")
        check_that_it_failed(site, job_id, "Another process held the database")
        check_that_it_goes_on(site, job_id)
    site.check()
