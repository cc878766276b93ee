"""Early stopping looks at images that no batch has, and keeps the best weights."""

from typing import Any

import pytest
import torch

from store.packed import PackedDataset
from store.reports import EpochReport
from store.specs import TrainingSpec
from worker.batches import Batches
from worker.early_stopping import EarlyStopping
from worker.reports import Notice
from worker.training import Training

CPU = torch.device("cpu")


def make_spec(dataset: PackedDataset, **fields: Any) -> TrainingSpec:
    own = {"dataset": dataset.name, "batch_size": 16, "precision": "fp32"}
    stopping = {"validation_share": 0.25, "patience_epochs": 2, "memory_format": "contiguous"}
    return TrainingSpec(**{**own, **stopping, **fields})


def test_no_batch_has_a_held_out_image(few_shapes: PackedDataset) -> None:
    batches = Batches(few_shapes, make_spec(few_shapes), CPU, smallest_side=16)
    trained = torch.cat([images for images, _ in batches.epoch(0, first_step=0)])
    held_out = batches.held_out.images.float().div(255).sub(0.5).div(0.5)
    assert (len(trained), len(held_out)) == (150, 50)
    distances = torch.cdist(trained.flatten(1), held_out.flatten(1))
    assert distances.min() > 1


def test_training_stops_when_the_patience_is_over(bright_or_dark: PackedDataset) -> None:
    # Held-out accuracy cannot rise any more once it is 100 %.
    spec = make_spec(bright_or_dark, epochs=60, learning_rate=0.05)
    training = Training(spec, bright_or_dark, CPU)
    reports = list(training)
    epochs = [report for report in reports if isinstance(report, EpochReport)]
    notices = [r for r in reports if isinstance(r, Notice) and r.kind == "validation"]
    best = notices[-1].data["best_epoch"]
    assert training.finished
    assert len(epochs) == best + 2 < 60


def test_the_best_weights_are_published() -> None:
    network = torch.nn.Linear(1, 1)
    stopping = EarlyStopping(patience_epochs=3)
    for epoch, (accuracy, weight) in enumerate([(0.5, 1.0), (0.9, 2.0), (0.7, 3.0)], start=1):
        torch.nn.init.constant_(network.weight, weight)
        list(stopping.observe(epoch, accuracy, network))
    stopping.restore_best(network)
    assert network.weight.item() == 2.0
    assert not stopping.should_stop


@pytest.mark.parametrize(("epochs_since_best", "stops"), [(2, False), (3, True)])
def test_a_restored_patience_counts_on(epochs_since_best: int, stops: bool) -> None:  # noqa: FBT001
    network = torch.nn.Linear(1, 1)
    first = EarlyStopping(patience_epochs=3)
    list(first.observe(1, 0.9, network))
    second = EarlyStopping(patience_epochs=3)
    second.restore(*first.state())
    for epoch in range(epochs_since_best):
        list(second.observe(2 + epoch, 0.9, network))
    assert second.should_stop is stops
