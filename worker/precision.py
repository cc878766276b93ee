"""Number formats: full precision, or half precision under autocast with a loss scale for fp16."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from store import specs


class Precision:
    """Runs the forward pass in the spec's format; parameters and updates stay float32.

    `auto` is fp32: for networks as small as lenet the conversions cost more than they save.
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

    def backward_and_update(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        if self._scaler is None:
            torch.autograd.backward(loss)
            optimizer.step()
        else:
            torch.autograd.backward(self._scaler.scale(loss))
            self._scaler.step(optimizer)
            self._scaler.update()

    def state(self) -> dict[str, Any]:
        return {} if self._scaler is None else self._scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        if self._scaler is not None:
            self._scaler.load_state_dict(state)
