"""Recipes, overrides and their checks."""

import pytest
from pydantic import ValidationError

from store.specs import RECIPES, JobRequest, TrainingSpec


def test_a_request_without_fields_is_the_whole_recipe() -> None:
    assert JobRequest().resolve() == RECIPES["tutorial"].spec


def test_the_tutorial_is_the_classic_lesson() -> None:
    spec = RECIPES["tutorial"].spec
    assert (spec.dataset, spec.network, spec.epochs, spec.batch_size) == ("cifar10", "lenet", 2, 4)
    assert (spec.optimizer, spec.learning_rate, spec.momentum) == ("sgd", 0.001, 0.9)
    assert (spec.loss, spec.report_every_steps, spec.schedule) == (
        "cross_entropy",
        2000,
        "constant",
    )


def test_explicit_fields_override_the_recipe() -> None:
    spec = JobRequest(recipe="tutorial", epochs=9, optimizer="adam").resolve()
    assert (spec.epochs, spec.optimizer, spec.batch_size) == (9, "adam", 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"momentum": 1},
        {"seed": -1},
        {"network": "resnet-9000"},
        {"dataset": "../../etc"},
        {"model": "Upper Case"},
        {"colour": "grey"},
    ],
)
def test_a_field_out_of_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JobRequest(**fields)


def test_a_combination_that_means_nothing_is_refused() -> None:
    request = JobRequest(loss="mean_squared_error", label_smoothing=0.1)
    with pytest.raises(ValidationError, match="cross_entropy"):
        request.resolve()


def test_a_spec_survives_json() -> None:
    spec = JobRequest(epochs=3, color="grey").resolve()
    assert TrainingSpec.model_validate_json(spec.model_dump_json()) == spec
