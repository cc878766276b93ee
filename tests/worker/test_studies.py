"""What the sampler and the pruner answer."""

from typing import Any

import pytest

from store.sweep_requests import SweepRequest
from store.sweeps import RankedTrial
from store.tables import JobStatus
from worker import studies

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 0.0001, "high": 1, "log": True},
    "batch_size": {"low": 8, "high": 64, "step": 8},
    "momentum": {"low": 0, "high": 0.8, "step": 0.2},
    "optimizer": {"choices": ["sgd", "adam"]},
}


def make(space: dict[str, Any] | None = None, **fields: Any) -> SweepRequest:
    job = {"dataset": "shapes"}
    return SweepRequest.model_validate(
        {"job": job, "space": space or SPACE, "trials": 50, **fields}
    )


def make_trial(
    number: int, params: dict[str, Any], accuracy: float | None, **fields: Any
) -> RankedTrial:
    return RankedTrial(
        **{
            "sweep_id": 1,
            "number": number,
            "job_id": number + 1,
            "status": JobStatus.RUNNING if accuracy is None else JobStatus.SUCCEEDED,
            "params": params,
            "epoch": 3,
            "validation_accuracy": accuracy,
            "pruned_after_epoch": None,
            "error": None,
            **fields,
        }
    )


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_proposal_is_in_the_space_and_makes_a_legal_job(sampler: str) -> None:
    request = make(sampler=sampler)
    trials: list[RankedTrial] = []
    for number in range(15):
        params = studies.propose(request, number, trials, {})
        spec = request.make_trial(params).resolve()
        assert 0.0001 <= spec.learning_rate <= 1
        assert spec.batch_size in range(8, 65, 8)
        assert round(spec.momentum / 0.2, 6).is_integer()
        trials.append(make_trial(number, params, None if number % 3 else number / 15))
    assert len({str(trial.params) for trial in trials}) == 15


def test_the_same_history_gets_the_same_proposal_and_another_seed_another_one() -> None:
    history = [make_trial(0, studies.propose(make(), 0, [], {}), 0.5)]
    first, second = (studies.propose(make(sampler_seed=seed), 1, history, {}) for seed in (0, 1))
    assert first == studies.propose(make(sampler_seed=0), 1, history, {})
    assert first != second


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_no_combination_is_tried_twice(sampler: str) -> None:
    space = {
        "batch_size": {"choices": [8, 16, 32]},
        "momentum": {"low": 0.1, "high": 0.9, "step": 0.4},
        "epochs": {"low": 1, "high": 2},
    }
    request = make(space, sampler=sampler, trials=18)
    trials: list[RankedTrial] = []
    for number in range(18):
        params = studies.propose(request, number, trials, {})
        trials.append(make_trial(number, params, params["momentum"]))
    combinations = {
        tuple(round(float(value), 6) for value in trial.params.values()) for trial in trials
    }
    assert len(combinations) == 18


def test_tpe_finds_a_better_place_than_chance() -> None:
    request = make({"learning_rate": {"low": 0.0001, "high": 1, "log": True}})
    trials: list[RankedTrial] = []
    for number in range(40):
        params = studies.propose(request, number, trials, {})
        accuracy = 1 - abs(params["learning_rate"] - 0.01)
        trials.append(make_trial(number, params, accuracy))
    late = [trial.params["learning_rate"] for trial in trials[20:]]
    near = sum(0.003 < rate < 0.03 for rate in late)
    assert near > 10  # chance alone: 5 of 20


def test_a_pruned_trial_is_part_of_what_the_sampler_learns_from() -> None:
    request = make()
    first = studies.propose(request, 0, [], {})
    pruned = make_trial(0, first, None, status=JobStatus.CANCELLED, pruned_after_epoch=2)
    assert studies.propose(request, 1, [pruned], {1: {1: 0.2, 2: 0.3}})


FINISHED = [{1: 0.5, 2: 0.6, 3: 0.7 + number / 100} for number in range(5)]


@pytest.mark.parametrize(
    ("own", "is_hopeless"),
    [
        ({1: 0.1}, False),  # every trial may train one epoch
        ({1: 0.1, 2: 0.59}, True),
        ({1: 0.1, 2: 0.61}, False),
        ({1: 0.65, 2: 0.1}, False),  # it has been good enough before
        ({1: 0.1, 2: 0.1, 3: 0.1, 4: 0.1}, False),  # nobody else has trained that long
    ],
)
def test_a_trial_below_the_median_of_the_finished_ones_is_hopeless(
    own: dict[int, float], *, is_hopeless: bool
) -> None:
    assert studies.is_hopeless(make(), own, FINISHED) is is_hopeless


def test_nothing_is_pruned_before_enough_have_finished_or_without_a_pruner() -> None:
    own = {1: 0.1, 2: 0.1}
    assert not studies.is_hopeless(make(), own, FINISHED[:4])
    assert studies.is_hopeless(make(pruner_startup_trials=4), own, FINISHED[:4])
    assert not studies.is_hopeless(make(pruner_warmup_epochs=2), own, FINISHED)
    assert not studies.is_hopeless(make(pruner="none"), own, FINISHED)
