"""The losses of the first steps under a fixed seed: a refactoring must not move them."""

import pytest
import torch

from store.packed import PackedDataset
from store.reports import StepReport
from store.specs import RECIPES, JobRequest, RecipeName
from worker.training import Training

CPU = torch.device("cpu")
# As torch 2.15 computes them on an x86-64 CPU in fp32. Another CPU sums in another order, which
# fifty steps amplify: contiguous and channels_last images differ by up to .014 already.
TOLERANCE = 0.05
EXPECTED: dict[RecipeName, list[float]] = {
    "tutorial": [2.3056, 2.3004, 2.2937, 2.2945, 2.2837, 2.2732, 2.2377, 2.2161, 2.0992, 1.9345],
    "quick": [2.3037, 2.2855, 2.2583, 2.2314, 2.1365, 2.0986, 2.0165, 1.9320, 1.9411, 1.8720],
    "speed94": [0.6726, 0.6490, 0.6170, 0.6197, 0.6308, 0.5618, 0.5463, 0.5167, 0.4982, 0.4841],
    "best": [0.6493, 0.5578, 0.5422, 0.4945, 0.5163, 0.4323, 0.4099, 0.4229, 0.3822, 0.4115],
}


@pytest.mark.parametrize("recipe", list(EXPECTED))
def test_the_losses_are_what_they_always_were(
    recipe: RecipeName, few_shapes: PackedDataset, bright_or_dark: PackedDataset
) -> None:
    # Smaller images and fewer steps for the large networks, whose updates alone take long.
    is_small = recipe in {"tutorial", "quick"}
    dataset, batch_size = (few_shapes, 20) if is_small else (bright_or_dark, 9)
    epochs = 5 if is_small else 1
    # Rates at which few images are learned without rounding being amplified.
    spec = JobRequest(
        recipe=recipe,
        dataset=dataset.name,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.02,
        head_learning_rate=0.1,
        bias_learning_rate=0.01,
        precision="fp32",
        memory_format="contiguous",
        report_every_steps=epochs,
        seed=1,
    ).resolve()
    reports = list(Training(spec, dataset, CPU))
    losses = [report.loss for report in reports if isinstance(report, StepReport)]
    assert losses == pytest.approx(EXPECTED[recipe], abs=TOLERANCE)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_no_step_of_a_recipe_waits_for_the_device(
    recipe: RecipeName, bright_or_dark: PackedDataset
) -> None:
    """The steps between two reports read one number back: the running loss."""
    fields = {"precision": "fp32", "memory_format": "contiguous", "report_every_steps": 2}
    request = JobRequest(recipe=recipe, dataset="brightness", batch_size=10, **fields)
    reports = iter(Training(request.resolve(), bright_or_dark, CPU))
    next(reports)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        next(reports)
    calls = {event.key: event.count for event in profile.key_averages()}
    assert calls["aten::_local_scalar_dense"] == 1
