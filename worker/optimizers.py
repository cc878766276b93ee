"""Update rules, learning-rate schedules and losses, chosen by the spec."""

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from store.specs import TrainingSpec

LossFunction = Callable[[Tensor, Tensor], Tensor]

# one_cycle (Smith and Topin, 2018): the share of the run spent warming up, and the first rate as
# a share of the highest.
_WARM_UP_SHARE = 0.25
_FIRST_RATE_SHARE = 0.1


def build_optimizer(
    spec: TrainingSpec, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Return the update rule of `spec`, in the fused form, which does all tensors in one call."""
    if spec.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=spec.learning_rate,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
            fused=True,
        )
    rule = torch.optim.Adam if spec.optimizer == "adam" else torch.optim.AdamW
    return rule(
        parameters,
        lr=spec.learning_rate,
        betas=(spec.momentum, 0.999),
        weight_decay=spec.weight_decay,
        fused=True,
    )


def learning_rate(spec: TrainingSpec, step: int, total_steps: int) -> float:
    """Return the learning rate of step 0 ≤ `step` < `total_steps`; it depends on nothing else."""
    progress = step / total_steps
    return spec.learning_rate * _SCHEDULES[spec.schedule](progress)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def build_loss(spec: TrainingSpec, classes: int, device: torch.device) -> LossFunction:
    """Return the loss of outputs (N, classes) and labels (N,): a mean over the batch."""
    if spec.loss == "mean_squared_error":
        one_hot = torch.eye(classes, device=device)

        def mean_squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
            return F.mse_loss(outputs, one_hot[labels])  # both (N, classes)

        return mean_squared_error

    def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels, label_smoothing=spec.label_smoothing)

    return cross_entropy


def _one_cycle(progress: float) -> float:
    if progress < _WARM_UP_SHARE:
        return _FIRST_RATE_SHARE + (1 - _FIRST_RATE_SHARE) * progress / _WARM_UP_SHARE
    return (1 - progress) / (1 - _WARM_UP_SHARE)


# Each takes the share of the run that is done and returns the share of the highest rate.
_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "one_cycle": _one_cycle,
}
