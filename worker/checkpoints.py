"""The resume state of a training as files without pickles: safetensors and JSON."""

import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from store.errors import ArtifactError

FORMAT_VERSION = 1
_TENSORS = "training.safetensors"
_ABOUT = "training.json"


def to_files(tensors: dict[str, Tensor], about: dict[str, Any]) -> dict[str, bytes]:
    """Return the state as file names and contents."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {"format_version": FORMAT_VERSION, "torch_version": torch.__version__, **about}
    return {_TENSORS: save(on_cpu), _ABOUT: json.dumps(about, indent=2).encode()}


def from_files(files: dict[str, bytes]) -> tuple[dict[str, Tensor], dict[str, Any]]:
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
    return tensors, about


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as `<parameter index>.<name>` and tensor."""
    return {
        f"{index}.{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_state` returned; the hyperparameters stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name begins with `prefix`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
