"""Update rules, learning-rate schedules and losses, chosen by the spec."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from store.specs import TrainingSpec
from worker.muon import Muon

LossFunction = Callable[[Tensor, Tensor], Tensor]

# one_cycle (Smith and Topin, 2018): the share of the run spent warming up, and the first rate as
# a share of the highest.
_WARM_UP_SHARE = 0.25
_FIRST_RATE_SHARE = 0.5

# Of what Muon does not train (Jordan, `airbench94_muon`).
_BIAS_AND_HEAD_MOMENTUM = 0.85


def build_optimizers(spec: TrainingSpec, network: nn.Module) -> list[Optimizer]:
    """Return the update rules of `spec`, which together train each weight of `network` once."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizers = _build_muon(spec, trained) if spec.optimizer == "muon" else [_build(spec, trained)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["highest_lr"] = group["lr"]
    return optimizers


def _build(spec: TrainingSpec, parameters: list[nn.Parameter]) -> Optimizer:
    # The fused form does all tensors in one call.
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


def _build_muon(spec: TrainingSpec, parameters: list[nn.Parameter]) -> list[Optimizer]:
    """Muon for the convolutions; SGD for vectors (biases) and matrices (linear layers)."""
    of_rank = {
        rank: [parameter for parameter in parameters if parameter.ndim == rank]
        for rank in {parameter.ndim for parameter in parameters}
    }
    # PyTorch multiplies the decay by the rate, which is a hundred times higher for the biases.
    sgd = torch.optim.SGD(
        [
            {"params": of_rank.get(rank, []), "lr": rate, "weight_decay": spec.weight_decay / rate}
            for rank, rate in ((1, spec.bias_learning_rate), (2, spec.head_learning_rate))
        ],
        momentum=_BIAS_AND_HEAD_MOMENTUM,
        nesterov=True,
        fused=True,
    )
    muon = Muon(of_rank.get(4, []), learning_rate=spec.learning_rate, momentum=spec.momentum)
    return [muon, sgd]


def schedule_share(spec: TrainingSpec, step: int, total_steps: int) -> float:
    """Return what share of the highest learning rate step 0 ≤ `step` < `total_steps` takes."""
    return _SCHEDULES[spec.schedule](step / total_steps)


def set_learning_rates(optimizers: Sequence[Optimizer], share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["highest_lr"] * share


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
