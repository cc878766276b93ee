"""The classic lesson, computed step by step beside a plain loop, and what else a spec can ask."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from store.errors import TrainingError
from store.images import to_grey
from store.packed import Examples, PackedDataset, pack
from store.reports import EpochReport, StepReport
from store.specs import TrainingSpec
from worker.batches import Batches
from worker.reports import CheckpointDue, Report
from worker.training import Training

CPU = torch.device("cpu")


def make_spec(dataset: PackedDataset, **fields: Any) -> TrainingSpec:
    plain = {"dataset": dataset.name, "precision": "fp32", "memory_format": "contiguous"}
    return TrainingSpec(**{**plain, "report_every_steps": 10, **fields})


def run(dataset: PackedDataset, **fields: Any) -> tuple[Training, list[Report]]:
    training = Training(make_spec(dataset, **fields), dataset, CPU)
    return training, list(training)


def epochs_of(reports: list[Report]) -> list[EpochReport]:
    return [report for report in reports if isinstance(report, EpochReport)]


def steps_of(reports: list[Report]) -> list[StepReport]:
    return [report for report in reports if isinstance(report, StepReport)]


def train_by_hand(
    dataset: PackedDataset, spec: TrainingSpec, network: nn.Module, losses: list[float]
) -> None:
    """The lesson's loop in the lesson's words, on the batches that the spec's seed draws."""
    criterion = nn.MSELoss() if spec.loss == "mean_squared_error" else nn.CrossEntropyLoss()
    velocity = [torch.zeros_like(weight) for weight in network.parameters()]
    batches = Batches(dataset, spec, CPU, smallest_side=16)
    for epoch in range(spec.epochs):
        for images, labels in batches.epoch(epoch, first_step=0):
            network.zero_grad()
            targets: Tensor = labels
            if spec.loss == "mean_squared_error":
                targets = F.one_hot(labels, len(dataset.classes)).float()
            loss = criterion(network(images), targets)
            loss.backward()
            losses.append(loss.item())
            with torch.no_grad():
                for weight, speed in zip(network.parameters(), velocity, strict=True):
                    assert weight.grad is not None
                    speed.mul_(spec.momentum).add_(weight.grad)
                    weight.sub_(spec.learning_rate * speed)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"color": "grey"},
        {"loss": "mean_squared_error"},
        {"momentum": 0.0},
        {"color": "grey", "loss": "mean_squared_error", "momentum": 0.0, "batch_size": 33},
    ],
    ids=str,
)
def test_training_computes_what_the_lessons_loop_computes(
    few_shapes: PackedDataset, fields: dict[str, Any]
) -> None:
    """With momentum 0 the update is the one that the lesson writes by hand."""
    fields = {"learning_rate": 0.01, "report_every_steps": 5, **fields}
    spec = make_spec(few_shapes, **fields)
    by_hand = Training(spec, few_shapes, CPU).network  # not trained: the initial weights
    losses: list[float] = []
    train_by_hand(few_shapes, spec, by_hand, losses)

    training, reports = run(few_shapes, **fields)
    for ours, theirs in zip(training.network.parameters(), by_hand.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    running = [report.loss for report in steps_of(reports)]
    of_epochs = np.reshape(losses, (2, -1))
    assert running == pytest.approx(
        [np.mean(epoch[i - 5 : i]) for epoch in of_epochs for i in range(5, len(epoch) + 1, 5)],
        rel=1e-3,
    )
    assert [report.train_loss for report in epochs_of(reports)] == pytest.approx(
        of_epochs.mean(axis=1), rel=1e-3
    )


@pytest.mark.parametrize("batch_size", [4, 64])
def test_the_test_numbers_equal_a_recount(few_shapes: PackedDataset, batch_size: int) -> None:
    training, reports = run(few_shapes, batch_size=batch_size, learning_rate=0.02)
    pixels = torch.from_numpy(np.array(few_shapes.images("test"))).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.array(few_shapes.labels("test")))
    with torch.no_grad():
        outputs = training.network((pixels / 255 - 0.5) / 0.5)
    last = epochs_of(reports)[-1]
    assert last.test_accuracy == (outputs.argmax(1) == labels).sum().item() / 60
    assert last.test_loss == pytest.approx(F.cross_entropy(outputs, labels).item(), rel=1e-4)


def test_each_epoch_sees_every_image_once_in_another_order(few_shapes: PackedDataset) -> None:
    batches = Batches(few_shapes, make_spec(few_shapes, batch_size=7), CPU, smallest_side=16)
    first, second = (
        torch.cat([images for images, _ in batches.epoch(epoch, first_step=0)]) for epoch in (0, 1)
    )
    assert first.shape == second.shape == (200, 3, 32, 32)
    assert not torch.equal(first, second)
    ordered = [torch.sort(images.flatten(1).sum(1)).values for images in (first, second)]
    assert torch.equal(*ordered)
    assert (first.min().item(), first.max().item()) == (-1, 1)


def test_the_last_batch_holds_what_is_left(few_shapes: PackedDataset) -> None:
    batches = Batches(few_shapes, make_spec(few_shapes, batch_size=64), CPU, smallest_side=16)
    sizes = [len(labels) for _, labels in batches.epoch(0, first_step=0)]
    assert sizes == [64, 64, 64, 8]


def test_grey_batches_hold_the_luma(few_shapes: PackedDataset) -> None:
    spec = make_spec(few_shapes, batch_size=200, color="grey")
    images, _ = next(Batches(few_shapes, spec, CPU, smallest_side=16).epoch(0, first_step=0))
    luma = to_grey(few_shapes.images("train")).reshape(200, -1)
    ours = ((images * 0.5 + 0.5) * 255).round().to(torch.uint8).flatten(1).numpy()
    assert sorted(map(bytes, ours)) == sorted(map(bytes, luma))


def test_the_running_loss_is_reported_as_the_lesson_prints_it(few_shapes: PackedDataset) -> None:
    """Every so many steps of an epoch; what is left at its end is dropped."""
    _, reports = run(few_shapes, report_every_steps=20)
    places = [(report.epoch, report.step) for report in steps_of(reports)]
    assert places == [(1, 20), (1, 40), (2, 70), (2, 90)]


def test_an_epoch_ends_with_a_report_and_a_checkpoint(few_shapes: PackedDataset) -> None:
    training, reports = run(few_shapes, report_every_steps=1000)
    assert [type(report) for report in reports] == [EpochReport, CheckpointDue] * 2
    assert [report.step for report in epochs_of(reports)] == [50, 100]
    assert training.finished
    assert (training.epoch, training.step, training.steps) == (2, 100, 100)


def test_checkpoints_fall_due_within_an_epoch_too(few_shapes: PackedDataset) -> None:
    spec = make_spec(few_shapes, epochs=1)
    training = Training(spec, few_shapes, CPU, checkpoint_interval_seconds=1e-9)
    due = sum(isinstance(report, CheckpointDue) for report in training)
    assert due == 51


def test_times_and_rates_make_sense(few_shapes: PackedDataset) -> None:
    _, reports = run(few_shapes)
    numbers = [report for report in reports if isinstance(report, StepReport | EpochReport)]
    elapsed = [report.elapsed_seconds for report in numbers]
    assert elapsed == sorted(elapsed)
    assert all(report.images_per_second > 0 for report in numbers)
    assert numbers[0].seconds_left > 0
    assert numbers[-1].seconds_left == 0
    assert all(report.learning_rate == 0.001 for report in numbers)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"momentum": 0.0, "learning_rate": 0.05},
        {"loss": "mean_squared_error", "learning_rate": 0.05},
        {"label_smoothing": 0.1},
        {"augmentation": "flip"},
        {"augmentation": "flip_crop"},
        {"color": "grey"},
        {"schedule": "cosine"},
        {"schedule": "linear"},
        {"schedule": "one_cycle"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"parallelism": "data_parallel"},
        {"batch_size": 32, "learning_rate": 0.05},
    ],
    ids=str,
)
def test_every_kind_of_training_learns(
    bright_or_dark: PackedDataset, fields: dict[str, Any]
) -> None:
    spec = {"epochs": 6, "batch_size": 8, "learning_rate": 0.01, **fields}
    _, reports = run(bright_or_dark, **spec)
    assert epochs_of(reports)[-1].test_accuracy > 0.9


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(
    bright_or_dark: PackedDataset,
) -> None:
    weights = [
        next(run(bright_or_dark, epochs=1, seed=seed)[0].network.parameters()) for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_callers_own_random_numbers_are_left_alone(bright_or_dark: PackedDataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(bright_or_dark, epochs=1, augmentation="flip_crop")
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_not_finite_names_step_rate_and_remedy(few_shapes: PackedDataset) -> None:
    with pytest.raises(TrainingError) as failure:
        run(few_shapes, loss="mean_squared_error", learning_rate=100.0)
    assert "not finite at step 10 with learning rate 100" in failure.value.message
    assert "ten times smaller" in failure.value.message


def test_weights_that_the_last_update_ruined_are_found_by_the_evaluation(
    few_shapes: PackedDataset,
) -> None:
    """All three losses are finite; what they left behind is not."""
    with pytest.raises(TrainingError, match="not finite at step 3"):
        run(few_shapes, loss="mean_squared_error", learning_rate=100.0, batch_size=67)


def test_no_checkpoint_is_taken_of_a_loss_that_is_not_finite(few_shapes: PackedDataset) -> None:
    spec = make_spec(few_shapes, loss="mean_squared_error", learning_rate=100.0)
    training = Training(spec, few_shapes, CPU, checkpoint_interval_seconds=1e-9)
    finite = 0
    with pytest.raises(TrainingError):
        for report in training:
            finite += isinstance(report, CheckpointDue)
    assert finite < 10


def test_images_that_are_too_small_for_the_network_are_refused(tmp_path: Path) -> None:
    examples = Examples(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]))
    tiny = pack(
        tmp_path,
        name="tiny",
        description="",
        source="",
        fingerprint="f",
        classes=("a", "b"),
        splits={"train": examples, "test": examples},
    )
    with pytest.raises(TrainingError, match="use larger images"):
        run(tiny)
