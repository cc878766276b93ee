"""The numbers that training yields and `metrics` keeps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """The running loss: the mean over the steps since the report before."""

    epoch: int
    step: int
    loss: float
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float


@dataclass(frozen=True)
class EpochReport:
    """What one pass over the training images came to. Accuracies are shares from 0 to 1."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float
