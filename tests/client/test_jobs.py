"""Jobs through the client: submitted, waited for, followed, stopped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import assert_type

import pytest

from client import (
    AsyncTenfold,
    ConflictError,
    Job,
    JobCancelledError,
    JobFailedError,
    JobStatus,
    JobUpdate,
    Tenfold,
    WaitTimeoutError,
)
from client.jobs import AsyncJob
from client.schemas import EpochMetric, ModelSummary, Report, StepMetric
from tests.acceptance.conftest import Stack
from tests.client.conftest import TRAINED, TRAINED_MODEL
from tests.client.unreliable_proxy import UnreliableProxy

pytestmark = pytest.mark.timeout(300)


def test_a_waited_for_job_has_its_model(trained_job: Job) -> None:
    assert trained_job.status is JobStatus.SUCCEEDED
    assert trained_job.model is not None
    assert trained_job.model.name == TRAINED_MODEL
    assert {name: trained_job.spec[name] for name in TRAINED} == TRAINED  # type: ignore[literal-required]


def test_progress_tells_every_event_and_metric_once(client: Tenfold) -> None:
    updates: list[JobUpdate] = []
    job = client.submit_job(
        dataset="shapes", epochs=1, batch_size=500, report_every_steps=2, model="watched"
    )
    done = job.wait(progress=updates.append, timeout_seconds=120)
    metrics = done.read_metrics()
    assert [event for update in updates for event in update.events] == list(done.list_events())
    assert [step for update in updates for step in update.steps] == metrics.steps
    assert [epoch for update in updates for epoch in update.epochs] == metrics.epochs
    assert len(metrics.steps) == 5
    assert updates[-1].job.status is JobStatus.SUCCEEDED


def test_a_job_begins_with_a_model_in_formats_that_were_measured(
    client: Tenfold, trained_job: Job
) -> None:
    measured = {"precision": "auto", "memory_format": "auto", "init_from": TRAINED_MODEL}
    fields = {"dataset": "shapes", "model": "trained-on", **TRAINED, **measured}
    job = client.submit_job(**fields).wait(timeout_seconds=200)  # type: ignore[arg-type]
    events = {event.kind: event for event in job.list_events()}
    assert events["warm_start"].data == {"model": TRAINED_MODEL, "version": 1}
    chosen = events["arithmetic"].data
    assert f"{chosen['precision']} {chosen['memory_format']}" in chosen["milliseconds"]
    first, again = (one.read_metrics().steps[0].loss for one in (trained_job, job))
    assert again < first


def test_a_failed_job_is_raised_with_its_reason(client: Tenfold) -> None:
    job = client.submit_job(dataset="cifar10", model="nothing-to-train-on")
    with pytest.raises(JobFailedError, match="datasets/cifar10") as caught:
        job.wait(timeout_seconds=120)
    assert caught.value.job.error is not None
    assert caught.value.job.error.code == "dataset_unavailable"
    with pytest.raises(ConflictError):
        job.get_report()


def test_a_cancelled_job_is_raised_while_waiting(endless_job: Job) -> None:
    endless_job.cancel()
    with pytest.raises(JobCancelledError):
        endless_job.wait(timeout_seconds=120)
    endless_job.delete()


def test_a_wait_that_takes_too_long_is_ended_and_the_job_goes_on(endless_job: Job) -> None:
    with pytest.raises(TimeoutError) as caught:
        endless_job.wait(timeout_seconds=0.1)
    assert isinstance(caught.value, WaitTimeoutError)
    assert not endless_job.refresh().status.is_ended


def test_a_job_is_paused_and_resumed(idle_stack: Stack) -> None:
    with Tenfold(str(idle_stack.client.base_url)) as client:
        job = client.submit_job(dataset="shapes")
        assert job.pause().status is JobStatus.PAUSED
        assert job.resume().status is JobStatus.QUEUED


def test_jobs_are_iterated_over_all_pages(idle_stack: Stack) -> None:
    with Tenfold(str(idle_stack.client.base_url)) as client:
        made = [client.submit_job(dataset="shapes", seed=seed).id for seed in range(55)]
        listed = [job.id for job in client.list_jobs(status="queued")]
    assert listed[:55] == made[::-1]
    assert len(set(listed)) == len(listed)


def test_only_the_pages_that_are_needed_are_fetched(proxy: UnreliableProxy) -> None:
    with Tenfold(proxy.url) as client:
        next(client.list_jobs(), None)
    assert len(proxy.requests) == 1


def test_events_are_followed_to_the_end(trained_job: Job) -> None:
    kinds = [event.kind for event in trained_job.follow_events()]
    assert kinds[:2] == ["submitted", "claimed"]
    assert kinds[-1] == "succeeded"


def test_followed_events_come_once_though_the_stream_breaks(
    proxy: UnreliableProxy, trained_job: Job
) -> None:
    with Tenfold(proxy.url) as client:
        job = client.get_job(trained_job.id)
        proxy.faults.extend(["cut_after_event", "busy", "cut_after_event", "lose_reply"])
        followed = list(job.follow_events())
    assert followed == list(trained_job.list_events())


def test_followed_metrics_come_once_and_in_order_though_the_stream_breaks(
    proxy: UnreliableProxy, trained_job: Job
) -> None:
    with Tenfold(proxy.url) as client:
        job = client.get_job(trained_job.id)
        proxy.faults.extend(["cut_after_event", "busy", "cut_after_event", "lose_reply"])
        followed = list(job.follow_metrics())
    everything = trained_job.read_metrics()
    assert [metric for metric in followed if isinstance(metric, StepMetric)] == everything.steps
    assert [metric for metric in followed if isinstance(metric, EpochMetric)] == everything.epochs
    assert [metric.step for metric in followed] == sorted(metric.step for metric in followed)


def test_events_are_followed_from_the_last_that_one_has(trained_job: Job) -> None:
    events = list(trained_job.list_events())
    rest = list(trained_job.follow_events(last_event_id=events[0].id))
    assert rest == events[1:]


def test_leaving_a_stream_early_leaves_no_connection(client: Tenfold, endless_job: Job) -> None:
    first = list(islice(endless_job.follow_events(), 1))
    assert first[0].kind == "submitted"
    assert client.check_readiness().status == "ready"


def test_the_predictions_of_a_cell_of_the_matrix_are_listed(trained_job: Job) -> None:
    report = trained_job.get_report()
    names = [row.name for row in report.classes]
    listed = list(trained_job.list_predictions(label=names[0], predicted=names[0]))
    assert len(listed) == report.confusion_matrix[0][0]


def test_the_same_operations_are_awaited(url: str, trained_job: Job) -> None:
    async def use() -> None:
        async with AsyncTenfold(url) as client:
            job = await client.get_job(trained_job.id)
            assert isinstance(job, AsyncJob)
            assert (await job.wait()).model == trained_job.model
            assert await job.get_report() == trained_job.get_report()
            followed = [event async for event in job.follow_events()]
            assert followed == list(trained_job.list_events())
            assert trained_job.id in [listed.id async for listed in client.list_jobs()]

    asyncio.run(use())


def test_type_checkers_know_what_each_client_returns(url: str, trained_job: Job) -> None:
    """mypy reads this test too: `assert_type` fails there."""

    async def use() -> None:
        async with AsyncTenfold(url) as client:
            job = assert_type(await client.get_job(trained_job.id), AsyncJob)
            assert_type(await job.get_report(), Report)
            assert_type(client.list_models(), AsyncIterator[ModelSummary])

    asyncio.run(use())
    with Tenfold(url) as client:
        job = assert_type(client.get_job(trained_job.id), Job)
        assert_type(job.get_report(), Report)
        assert_type(client.list_jobs(), Iterator[Job])
        assert_type(client.list_models(), Iterator[ModelSummary])


def test_many_jobs_are_awaited_at_once(idle_stack: Stack) -> None:
    async def use() -> list[int]:
        async with AsyncTenfold(str(idle_stack.client.base_url)) as client:
            jobs = await asyncio.gather(
                *(client.submit_job(dataset="shapes", seed=seed) for seed in range(20))
            )
            cancelled = await asyncio.gather(*(job.cancel() for job in jobs))
            return [job.id for job in cancelled if job.status is JobStatus.CANCELLED]

    assert len(set(asyncio.run(use()))) == 20
