"""The losses of fifty steps under a fixed seed: a refactoring must not move them."""

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
    "quick": [2.6690, 2.3911, 2.4720, 2.0337, 1.9633, 1.7165, 1.5745, 1.5882, 1.6399, 1.5192],
}


@pytest.mark.parametrize("recipe", list(EXPECTED))
def test_fifty_steps_give_the_losses_that_they_always_gave(
    recipe: RecipeName, few_shapes: PackedDataset
) -> None:
    # Rates at which two hundred images are learned without rounding being amplified.
    spec = JobRequest(
        recipe=recipe,
        dataset="shapes",
        epochs=5,
        batch_size=20,
        learning_rate=0.02,
        head_learning_rate=0.1,
        bias_learning_rate=0.01,
        precision="fp32",
        memory_format="contiguous",
        report_every_steps=5,
        seed=1,
    ).resolve()
    reports = list(Training(spec, few_shapes, CPU))
    losses = [report.loss for report in reports if isinstance(report, StepReport)]
    assert losses == pytest.approx(EXPECTED[recipe], abs=TOLERANCE)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_no_step_of_a_recipe_waits_for_the_device(
    recipe: RecipeName, bright_or_dark: PackedDataset
) -> None:
    """The steps between two reports read one number back: the running loss."""
    fields = {"precision": "fp32", "memory_format": "contiguous", "report_every_steps": 3}
    request = JobRequest(recipe=recipe, dataset="brightness", batch_size=10, **fields)
    reports = iter(Training(request.resolve(), bright_or_dark, CPU))
    next(reports)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        next(reports)
    calls = {event.key: event.count for event in profile.key_averages()}
    assert calls["aten::_local_scalar_dense"] == 1
