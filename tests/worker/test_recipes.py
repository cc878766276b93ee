"""Every recipe from end to end, small: it trains, stops, goes on bit for bit, and is published."""

import itertools
from pathlib import Path

import pytest
import torch

from store.packed import PackedDataset
from store.specs import RECIPES, JobRequest, RecipeName, TrainingSpec
from worker import networks
from worker.export import export
from worker.training import Training

CPU = torch.device("cpu")
NAMES: list[RecipeName] = ["tutorial", "quick", "speed94", "best"]


def specify(recipe: RecipeName) -> TrainingSpec:
    # As many steps as show every change: both sides of a flip, growing images, two epochs.
    return JobRequest(recipe=recipe, dataset="brightness", epochs=2, batch_size=40).resolve()


def weights_of(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.result.state_dict().items()}


def test_the_recipes_are_those_of_the_requests() -> None:
    assert set(NAMES) == set(RECIPES)
    assert {recipe.spec.network for recipe in RECIPES.values()} <= set(networks.NETWORKS)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("recipe", NAMES)
def test_a_recipe_that_is_stopped_goes_on_bit_for_bit(
    recipe: RecipeName, bright_or_dark: PackedDataset, tmp_path: Path
) -> None:
    spec = specify(recipe)
    whole = Training(spec, bright_or_dark, CPU)
    list(whole)
    # Stopped in the middle of the second epoch: each step and each test batch asks once.
    questions = itertools.count()
    first = Training(spec, bright_or_dark, CPU, should_stop=lambda: next(questions) >= 6)
    list(first)
    assert 3 < first.step < 6
    second = Training(spec, bright_or_dark, CPU, resume=first.state())
    list(second)

    assert second.finished
    expected, actual = weights_of(whole), weights_of(second)
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())
    manifest = export(second.result, spec, bright_or_dark, CPU, tmp_path).manifest
    assert manifest["spec"]["network"] == spec.network
    assert (tmp_path / "model.onnx").stat().st_size > 0
