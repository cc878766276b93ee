"""The metrics of a job as named series of numbers, as other tools take them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from client.schemas import JobRecord, Metrics


class Point(NamedTuple):
    """One number of one series."""

    series: str
    step: int
    time: datetime
    value: float


def list_points(job: JobRecord, metrics: Metrics) -> Iterator[Point]:
    """Yield every loss, accuracy, learning rate and pace, with the time when it was measured.

    Accuracies are shares from 0 to 1; `images_per_second` says its unit.
    """
    start = job.started_at or job.created_at
    for step in metrics.steps:
        time = start + timedelta(seconds=step.elapsed_seconds)
        yield Point("loss/running", step.step, time, step.loss)
        yield Point("learning_rate", step.step, time, step.learning_rate)
        yield Point("images_per_second", step.step, time, step.images_per_second)
    for epoch in metrics.epochs:
        time = start + timedelta(seconds=epoch.elapsed_seconds)
        yield Point("loss/train", epoch.step, time, epoch.train_loss)
        yield Point("loss/test", epoch.step, time, epoch.test_loss)
        yield Point("accuracy/train", epoch.step, time, epoch.train_accuracy)
        yield Point("accuracy/test", epoch.step, time, epoch.test_accuracy)
