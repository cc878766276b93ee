"""The ends of a job that only real workers bring about."""

import signal
import time
from collections.abc import Callable

import pytest

from store.tables import JobStatus
from tests.reliability.effort import IS_CHAOS
from tests.reliability.sites import Site
from tests.reliability.test_worker_kills import TINY, draw_tiny_dataset

pytestmark = pytest.mark.timeout(900)


def test_a_job_that_kills_its_worker_three_times_fails_with_the_last_stack(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(checkpoint_interval_seconds=1000)
    # An epoch that lasts: its end would be progress, and progress is not poison.
    job_id = site.submit(epochs=1000, batch_size=1)
    for _ in range(3):
        with site.worker(signal.SIGSEGV):
            site.wait(lambda: site.read(job_id).status is JobStatus.RUNNING)
            site.watch(seconds=0.5)
        site.wait(lambda: site.read(job_id).worker_id is None)
    job = site.read(job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "poison"
    assert "Segmentation fault" in job.error["traceback"]
    assert "worker/loop.py" in job.error["traceback"]
    site.check()


def test_a_job_that_ran_for_as_long_as_it_may_fails_and_can_go_on(
    make_site: Callable[..., Site],
) -> None:
    site = make_site()
    job_id = site.submit(epochs=1000, max_run_seconds=3.0)
    with site.worker(signal.SIGTERM):
        site.wait(lambda: site.read(job_id).status.is_ended)
    job = site.read(job_id)
    assert job.error is not None
    assert job.error["code"] == "run_time_exceeded"
    assert job.run_seconds > 1
    reached = site.list_checkpoints(job_id)[0].step
    site.retry(job_id)
    assert site.read(job_id).run_seconds == 0
    with site.worker(signal.SIGTERM):
        site.wait(lambda: site.list_checkpoints(job_id)[0].step > reached)
    assert site.count_events(job_id, "resumed_from_checkpoint") >= 1
    site.check()


def test_workers_that_share_a_queue_do_each_job_once(make_site: Callable[..., Site]) -> None:
    site = make_site()
    job_ids = [site.submit(seed=seed, epochs=1) for seed in range(4)]
    with site.worker(signal.SIGTERM), site.worker(signal.SIGTERM):
        site.wait(lambda: site.have_succeeded(*job_ids))
    for job_id in job_ids:
        assert site.count_events(job_id, "succeeded") == 1
    site.check()


def test_a_worker_whose_step_does_not_end_gives_its_job_back_in_time(
    make_site: Callable[..., Site],
) -> None:
    """A step of a large network, a compilation, the writing of an ONNX program: none can stop."""
    site = make_site()
    job_id = site.submit(epochs=3)
    with site.worker(signal.SIGTERM, hangs_after_step=300):
        site.wait(lambda: "The worker hangs" in site.log.read_text())
    job = site.read(job_id)
    assert (job.status, job.attempt, job.crashes) == (JobStatus.QUEUED, 1, 0)
    assert "is given back as of its last checkpoint" in site.log.read_text()
    assert list(site.settings.crashes_folder.iterdir()) == []
    site.check()
    site.finish(job_id)
    assert site.count_events(job_id, "resumed_from_checkpoint") == 1
    assert site.count_events(job_id, "succeeded") == 1
    site.check()


@pytest.mark.skipif(not IS_CHAOS, reason="it takes minutes: TENFOLD_CHAOS=1")
@pytest.mark.parametrize("recipe", ["speed94", "best"])
def test_a_worker_that_is_stopped_while_it_exports_a_large_network_ends_in_time(
    make_site: Callable[..., Site], recipe: str
) -> None:
    site = make_site()
    draw_tiny_dataset(site.settings.data)
    job_id = site.submit(**TINY | {"recipe": recipe, "epochs": 1})
    with site.worker(signal.SIGTERM) as pid:
        site.wait(lambda: site.read_phase(pid) == "report")
        asked = time.monotonic()
    print(f"{recipe}: ended {time.monotonic() - asked:.1f} s after SIGTERM")  # noqa: T201 -- for docs
    job = site.read(job_id)
    assert job.status in {JobStatus.QUEUED, JobStatus.SUCCEEDED}
    assert (job.attempt, job.crashes) == (1, 0)
    assert site.list_checkpoints(job_id)[0].step == 10
    site.check()
    site.finish(job_id)
    assert site.count_events(job_id, "succeeded") == 1
    site.check()
