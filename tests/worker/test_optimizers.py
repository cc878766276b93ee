"""Schedules, and who trains which weight how."""

import pytest
import torch
from torch import nn

from store.specs import RECIPES, Schedule, TrainingSpec
from worker import networks
from worker.optimizers import build_optimizers, schedule_share

STEPS = 1000


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, 0.854, 0.5, 0.146, 0]),
        ("one_cycle", [0.5, 1, 0.667, 0.333, 0]),
    ],
)
def test_a_schedule_moves_the_rate_over_the_whole_run(
    schedule: Schedule, shares: list[float]
) -> None:
    spec = TrainingSpec(schedule=schedule)
    steps = [0, 250, 500, 750, STEPS - 1]
    actual = [schedule_share(spec, step, STEPS) for step in steps]
    assert actual == pytest.approx(shares, abs=0.002)
    assert min(schedule_share(spec, step, STEPS) for step in range(STEPS)) > 0


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_each_weight_is_trained_by_one_rule(recipe: str) -> None:
    spec = RECIPES[recipe].spec
    network = networks.build(spec.network, channels=3, classes=10, height=32, width=32)
    trained = [
        parameter
        for optimizer in build_optimizers(spec, network)
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    expected = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert sorted(map(id, trained)) == sorted(map(id, expected))


def test_weight_decay_takes_the_same_share_whatever_the_rates() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    biases_and_matrices = [one for one in network.parameters() if one.ndim < 3]
    before = [parameter.detach().clone() for parameter in biases_and_matrices]
    for parameter in biases_and_matrices:
        parameter.grad = torch.zeros_like(parameter)
    spec = TrainingSpec(
        optimizer="muon", weight_decay=0.01, bias_learning_rate=20, head_learning_rate=0.5
    )
    for optimizer in build_optimizers(spec, network):
        optimizer.step()
    shares = [now / then for now, then in zip(biases_and_matrices, before, strict=True)]
    first = shares[0].flatten()[0]
    assert 0.97 < first < 0.99
    assert all(torch.allclose(share, first) for share in shares)
