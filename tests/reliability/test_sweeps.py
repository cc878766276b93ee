"""Sweeps under kill -9: every trial once, whoever submits it, and the best one published."""

import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from store import models, sweeps
from store.sweep_requests import SweepRequest
from store.sweeps import RankedTrial
from store.tables import JobStatus, SweepStatus
from tests.reliability.sites import SMALL, Site

pytestmark = pytest.mark.timeout(600)

TRIALS = 4


def start(site: Site, **fields: Any) -> int:
    request = {
        "job": SMALL,
        "space": {
            "learning_rate": {"low": 0.00001, "high": 0.05, "log": True},
            "momentum": {"choices": [0.5, 0.9]},
        },
        "trials": TRIALS,
        "parallel_trials": 2,
        "pruner": "none",
        **fields,
    }
    with site.database.writing() as session:
        return sweeps.submit(session, SweepRequest.model_validate(request))[0].id


def rank(site: Site, sweep_id: int) -> list[RankedTrial]:
    with site.database.reading() as session:
        return sweeps.list_trials(session, [sweep_id])


def read_status(site: Site, sweep_id: int) -> SweepStatus:
    with site.database.reading() as session:
        return sweeps.get(session, sweep_id).status


def has_ended(site: Site, sweep_id: int) -> bool:
    return read_status(site, sweep_id).is_ended


def have_succeeded(site: Site, sweep_id: int) -> bool:
    """Tell whether all is done; on a busy machine a worker may seem silent once more."""
    job_ids = [trial.job_id for trial in rank(site, sweep_id)]
    return site.have_succeeded(*job_ids) and has_ended(site, sweep_id)


def find_published(site: Site, sweep_id: int) -> list[int]:
    """Return the numbers of the trials with a model, in the order of the versions."""
    trials = {trial.job_id: trial.number for trial in rank(site, sweep_id)}
    with site.database.reading() as session:
        versions = models.list_versions(session, "shapes-tutorial")[::-1]
    return [trials[version.job_id] for version in versions if version.job_id is not None]


def test_a_sweep_goes_on_after_its_workers_were_killed(make_site: Callable[..., Site]) -> None:
    site = make_site(checkpoint_interval_seconds=3.0)
    sweep_id = start(site)
    # A third one in a row would make poison of a trial.
    for kills in (1, 2):
        with site.worker(signal.SIGKILL) as first, site.worker(signal.SIGKILL):
            site.wait(lambda: site.is_working(first) or has_ended(site, sweep_id))
            site.watch(seconds=0.3 * kills)
        site.check()
    with site.worker(signal.SIGTERM):
        site.wait(partial(have_succeeded, site, sweep_id))
    site.check()

    trials = rank(site, sweep_id)
    assert read_status(site, sweep_id) is SweepStatus.SUCCEEDED
    assert Counter(trial.number for trial in trials) == Counter(range(TRIALS))
    assert {trial.status for trial in trials} == {JobStatus.SUCCEEDED}
    assert len({str(trial.params) for trial in trials}) == TRIALS
    accuracies = [trial.validation_accuracy or 0 for trial in trials]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1]
    assert find_published(site, sweep_id)[-1] == trials[0].number


def test_bad_trials_are_pruned_and_publish_nothing(make_site: Callable[..., Site]) -> None:
    site = make_site(checkpoint_interval_seconds=3.0)
    sweep_id = start(
        site,
        job=SMALL | {"epochs": 4},
        space={"learning_rate": {"choices": [0.02, 0.01, 0.03, 0.0000001, 0.0000002]}},
        trials=5,
        parallel_trials=1,
        pruner="median",
        pruner_startup_trials=1,
    )
    with site.worker(signal.SIGTERM):
        site.wait(partial(has_ended, site, sweep_id))
    site.check()
    trials = rank(site, sweep_id)
    pruned = [trial for trial in trials if trial.pruned_after_epoch is not None]
    assert pruned
    for trial in pruned:
        assert trial.status is JobStatus.CANCELLED
        assert trial.epoch == trial.pruned_after_epoch
        assert 1 < trial.epoch < 4
    assert not {trial.number for trial in pruned} & set(find_published(site, sweep_id))
    assert trials[0].params["learning_rate"] >= 0.01


def test_a_sweep_that_is_cancelled_stops_its_running_trials(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(checkpoint_interval_seconds=3.0)
    sweep_id = start(site, job=SMALL | {"epochs": 1000})
    with site.worker(signal.SIGTERM) as pid:
        site.wait(partial(site.is_working, pid))
        with site.database.writing() as session:
            sweeps.cancel(session, sweep_id)
        site.wait(partial(has_ended, site, sweep_id))
    assert read_status(site, sweep_id) is SweepStatus.CANCELLED
    assert {trial.status for trial in rank(site, sweep_id)} == {JobStatus.CANCELLED}
    site.check()
