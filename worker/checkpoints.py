"""The resume state of a training as files without pickles: safetensors and JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.optim import Optimizer

from store.errors import ArtifactError

FORMAT_VERSION = 1
_TENSORS = "training.safetensors"
_ABOUT = "training.json"


def to_files(tensors: dict[str, Tensor], about: dict[str, Any]) -> dict[str, bytes]:
    """Return the state as file names and contents."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {"format_version": FORMAT_VERSION, "torch_version": torch.__version__, **about}
    return {_TENSORS: save(on_cpu), _ABOUT: json.dumps(about, indent=2).encode()}


@dataclass(frozen=True)
class SavedState:
    """What `to_files` was given."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose name begins with `prefix`, without it."""
        start = f"{prefix}."
        return {
            name[len(start) :]: tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def from_files(files: dict[str, bytes]) -> SavedState:
    """Return what `to_files` was given; raises ArtifactError where the files are damaged."""
    try:
        about = json.loads(files[_ABOUT])
        tensors = load(files[_TENSORS])
    except (KeyError, ValueError, SafetensorError) as error:
        raise ArtifactError(
            f"the checkpoint is incomplete or damaged ({error}): submit the job again"
        ) from error
    if about["format_version"] != FORMAT_VERSION:
        raise ArtifactError(
            f"the checkpoint has format {about['format_version']}, this version reads "
            f"{FORMAT_VERSION}: submit the job again"
        )
    return SavedState(tensors, about)


def optimizers_state(optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """Return the state as `<optimizer>.<parameter>.<name>` (both are indices) and tensor."""
    return {
        f"{number}.{index}.{name}": value
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizers(optimizers: Sequence[Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizers_state` returned; the hyperparameters stay as they are."""
    for number, optimizer in enumerate(optimizers):
        parameters = [
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            of_optimizer, index, name = key.split(".", 2)
            if int(of_optimizer) == number:
                arranged = _arrange_like(parameters[int(index)], value)
                state.setdefault(int(index), {})[name] = arranged
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _arrange_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return `value` in the memory format of its parameter, as fused update rules need it."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
