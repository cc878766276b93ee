"""The Muon update rule, for convolutions."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

# Newton-Schulz iteration of degree 5 with Jordan's coefficients, which favour speed over
# exactness: singular values end between .7 and 1.2 (kellerjordan.github.io/posts/muon, 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 3
_SMALLEST_NORM = 1e-7


class Muon(Optimizer):
    """Momentum whose update is made orthogonal, on weights of constant norm.

    Each filter bank is taken for a matrix (outputs, inputs * height * width). The update is the
    nearest orthogonal matrix to the Nesterov momentum; before it, the bank is scaled back to norm
    sqrt(outputs), so that the learning rate is a share of the weight. Jordan's rule as in
    `airbench94_muon`. torch.optim.Muon is for matrices alone and keeps no norm.
    """

    def __init__(
        self, filters: Iterable[nn.Parameter], *, learning_rate: float, momentum: float
    ) -> None:
        super().__init__(filters, {"lr": learning_rate, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        if closure is not None:
            raise NotImplementedError("Muon evaluates no closure: call backward before step")
        for group in self.param_groups:
            for filters in group["params"]:
                if filters.grad is not None:
                    self._update(filters, filters.grad, group)
        return None

    def _update(self, filters: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[filters]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(filters)
        momentum = state["momentum_buffer"]
        momentum.mul_(group["momentum"]).add_(gradient)
        direction = torch.add(gradient, momentum, alpha=group["momentum"])
        filters.mul_(len(filters) ** 0.5 / filters.norm())
        filters.sub_(orthogonalise(direction.flatten(1)).view_as(filters) * group["lr"])


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return a matrix of the same singular vectors whose singular values are all near 1."""
    # bf16 is enough for a direction; CPUs without its instructions would be slow in it.
    x = matrix.bfloat16() if matrix.is_cuda else matrix
    x = x / (x.norm() + _SMALLEST_NORM)
    is_tall = len(x) > x.shape[1]
    if is_tall:
        x = x.T
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if is_tall else x).to(matrix.dtype)
