"""Number formats: full precision, or half precision under autocast with a loss scale for fp16."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from store import specs


class Precision:
    """Runs the forward pass in a number format; parameters and updates stay float32.

    `name` is no `auto`: see `worker.arithmetic`.
    """

    def __init__(self, name: specs.Precision, device: torch.device) -> None:
        formats = {"bf16": torch.bfloat16, "fp16": torch.float16}
        self._format = formats.get(name)
        self._device = device
        # fp16 gradients underflow without a scale (Micikevicius et al., 2018); bf16 ones do not.
        self._scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        if self._format is None:
            return nullcontext()
        return torch.autocast(self._device.type, self._format)

    def backward_and_update(self, loss: Tensor, optimizers: Sequence[Optimizer]) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        if self._scaler is None:
            torch.autograd.backward(loss)
            for optimizer in optimizers:
                optimizer.step()
        else:
            torch.autograd.backward(self._scaler.scale(loss))
            for optimizer in optimizers:
                self._scaler.step(optimizer)
            self._scaler.update()

    def state(self) -> dict[str, Any]:
        return {} if self._scaler is None else self._scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        if self._scaler is not None:
            self._scaler.load_state_dict(state)
