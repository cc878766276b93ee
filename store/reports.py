"""The numbers that a training yields and that the job keeps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """The running loss: the mean over the last `report_every_steps` steps of this epoch."""

    epoch: int  # counted from 1
    step: int  # counted from 1 over the whole job
    loss: float
    learning_rate: float
    images_per_second: float  # since the last report
    elapsed_seconds: float  # since the job's first step, interruptions left out
    seconds_left: float


@dataclass(frozen=True)
class EpochReport:
    """An epoch's end: means over the epoch's training batches, and over the test images.

    `validation_accuracy` is that on the held-out training images; None where none are held out.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float  # 0..1, of the network as it was at each step
    test_loss: float
    test_accuracy: float
    learning_rate: float
    images_per_second: float  # of training, over the epoch
    elapsed_seconds: float
    seconds_left: float
    validation_accuracy: float | None = None  # 0..1
