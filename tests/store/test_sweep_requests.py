"""What can be asked of a sweep, and what is said of what cannot."""

from typing import Any

import pytest
from pydantic import ValidationError

from store.sweep_requests import SweepRequest


def make(space: dict[str, Any], **fields: Any) -> SweepRequest:
    job = {"dataset": "shapes", **fields.pop("job", {})}
    return SweepRequest.model_validate({"job": job, "space": space, "trials": 2, **fields})


RATE = {"low": 0.001, "high": 1, "log": True}


@pytest.mark.parametrize(
    "space",
    [
        {"learning_rate": RATE},
        {"batch_size": {"low": 4, "high": 64, "log": True}, "optimizer": {"choices": ["sgd"]}},
        {"epochs": {"low": 2, "high": 8, "step": 2}, "momentum": {"low": 0, "high": 0.9}},
        {"label_smoothing": {"low": 0, "high": 0.3, "step": 0.1}},
        {"patience_epochs": {"choices": [1, 2]}},
    ],
)
def test_a_sound_space_has_no_fault(space: dict[str, Any]) -> None:
    assert make(space).list_faults() == []


@pytest.mark.parametrize(
    ("space", "path", "told"),
    [
        ({"lr": RATE}, "space.lr", "Known fields: network"),
        ({"dataset": {"choices": ["a", "b"]}}, "space.dataset", "set it in job"),
        ({"seed": {"low": 0, "high": 9}}, "space.seed", "set it in job"),
        ({"validation_share": RATE}, "space.validation_share", "set it in job"),
        ({"learning_rate": {"low": 1}}, "space.learning_rate", "low and high"),
        ({"learning_rate": {}}, "space.learning_rate", "low and high"),
        ({"epochs": {"choices": [1], "low": 1}}, "space.epochs", "alone"),
        ({"epochs": {"choices": [1, 2, 1]}}, "space.epochs.choices", "once"),
        ({"epochs": {"low": 5, "high": 2}}, "space.epochs.high", "5 or more"),
        ({"epochs": {"low": 0, "high": 2}}, "space.epochs.low", "greater than or equal to 1"),
        ({"epochs": {"low": 1.5, "high": 2}}, "space.epochs.low", "valid integer"),
        ({"epochs": {"low": 1, "high": 8, "step": 2}}, "space.epochs.high", "set it to 7"),
        ({"epochs": {"low": 1, "high": 2, "step": 0.5}}, "space.epochs.step", "whole step"),
        ({"momentum": {"low": 0, "high": 1}}, "space.momentum.high", "less than 1"),
        ({"momentum": {"low": 0, "high": 0.9, "log": True}}, "space.momentum.low", "above 0"),
        (
            {"momentum": {"low": 0.1, "high": 0.9, "log": True, "step": 0.1}},
            "space.momentum.step",
            "leave out one",
        ),
        ({"optimizer": {"low": 1, "high": 2}}, "space.optimizer", "send choices"),
        ({"optimizer": {"choices": ["sgd", "sdg"]}}, "space.optimizer.choices.1", "'adam'"),
        (
            {
                "loss": {"choices": ["mean_squared_error"]},
                "label_smoothing": {"choices": [0.1, 0, 0.2]},
            },
            "space",
            "label_smoothing applies to the loss cross_entropy only",
        ),
        ({"start_scale": {"low": 0.5, "high": 1}}, "space", "images of one size only"),
        ({"optimizer": {"choices": ["sgd"]}}, "trials", "set trials to 1"),
        (
            {"epochs": {"low": 2, "high": 4, "step": 2}, "optimizer": {"choices": ["sgd"]}},
            "trials",
            "The space has 2 combinations",
        ),
    ],
)
def test_a_fault_names_the_field_and_what_would_be_right(
    space: dict[str, Any], path: str, told: str
) -> None:
    faults = make(space, trials=3).list_faults()
    assert [".".join(fault.path) for fault in faults] == [path]
    assert told in faults[0].message


def test_every_wrong_field_is_told() -> None:
    faults = make({"lr": RATE, "epochs": {"low": 0, "high": 0}}).list_faults()
    assert len(faults) == 3


def test_values_that_only_meet_in_some_trials_are_found() -> None:
    space = {
        "optimizer": {"choices": ["sgd", "adam"]},
        "network": {"choices": ["whitened_small", "lenet"]},
        "start_scale": {"choices": [1, 0.5]},
    }
    (fault,) = make(space).list_faults()
    assert fault.message.startswith("optimizer sgd, network lenet, start_scale 0.5: lenet takes")


def test_a_contradiction_in_the_common_part_is_told_there() -> None:
    job = {"loss": "mean_squared_error", "label_smoothing": 0.5}
    (fault,) = make({"learning_rate": RATE}, job=job).list_faults()
    assert fault.path == ("job",)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        make({"learning_rate": {"low": 0.1, "high": value}})


def test_a_trial_has_held_out_images_also_where_nobody_asked_for_them() -> None:
    request = make({"learning_rate": RATE})
    spec = request.make_trial({"learning_rate": 0.5}).resolve()
    assert (spec.learning_rate, spec.validation_share) == (0.5, 0.1)
    assert (
        make({"learning_rate": RATE}, job={"validation_share": 0.3})
        .complete_job()
        .resolve()
        .validation_share
        == 0.3
    )
