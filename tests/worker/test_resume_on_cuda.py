"""Going on on a GPU: the same position and data, and weights within a tolerance."""

from itertools import pairwise

import pytest
import torch

from store.packed import PackedDataset
from store.reports import StepReport
from store.specs import RECIPES, RecipeName
from tests.worker.test_resume import StopsAfter, weights_of
from worker.training import Training

# Of the length of all weights as one vector: what kernels that add in another order may leave
# after 26 steps. A GPU on which two runs that nobody stopped differ by more gets ten times that.
TOLERANCE = 1e-3
NOISE_FACTOR = 10
POSITIONS = list[tuple[int, int, float]]

with_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def train(
    recipe: RecipeName, dataset: PackedDataset, device: str, *stops: int
) -> tuple[torch.Tensor, POSITIONS]:
    """Train 26 steps, in pieces that end at these steps; return all weights and each position."""
    spec = RECIPES[recipe].spec.model_copy(
        update={
            "dataset": dataset.name,
            "epochs": 2,
            "batch_size": 16,
            "report_every_steps": 1,
            # What is measured could differ between two runs.
            "precision": "fp32",
            "memory_format": "channels_last",
            "compilation": "off",
        }
    )
    state: dict[str, bytes] | None = None
    positions: POSITIONS = []
    for begin, end in pairwise((0, *stops, 10_000)):
        should_stop = StopsAfter(end - begin)
        training = Training(
            spec, dataset, torch.device(device), resume=state, should_stop=should_stop
        )
        positions += [
            (report.epoch, report.step, report.learning_rate)
            for report in training
            if isinstance(report, StepReport)
        ]
        state = training.state()
    assert training.finished
    weights = weights_of(training)
    return torch.cat([weights[name].flatten().double() for name in sorted(weights)]), positions


def measure_distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=with_cuda)])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_was_stopped_twice_in_one_epoch_ends_within_the_tolerance(
    few_shapes: PackedDataset, recipe: RecipeName, device: str
) -> None:
    if device == "cpu" and recipe != "tutorial":
        pytest.skip("test_worker_kills.py asks for more on the CPU")
    whole, expected = train(recipe, few_shapes, device)
    again, _ = train(recipe, few_shapes, device)
    resumed, positions = train(recipe, few_shapes, device, 5, 17, 21)
    assert positions == expected
    noise = measure_distance(again, whole)
    distance = measure_distance(resumed, whole)
    print(f"{recipe} on {device}: noise {noise:.1e}, resumed {distance:.1e}")  # noqa: T201 -- for docs
    assert distance <= max(TOLERANCE, NOISE_FACTOR * noise)
    assert device != "cpu" or distance == 0
