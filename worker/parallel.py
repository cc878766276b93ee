"""The device of a job, and the splitting of each batch over several GPUs."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from store.errors import TrainingError
from store.specs import TrainingSpec
from worker.precision import Precision
from worker.reports import Notice

T = TypeVar("T")


def choose_device(name: str) -> torch.device:
    """Return the device that the setting `TENFOLD_DEVICE` names; `auto` prefers CUDA.

    Raises TrainingError where CUDA is asked for and missing.
    """
    available = torch.cuda.is_available()
    if name.startswith("cuda"):
        device = torch.device(name)
        if not available or (device.index or 0) >= torch.cuda.device_count():
            raise TrainingError(
                f"TENFOLD_DEVICE is {name}, but this machine has {torch.cuda.device_count()} CUDA "
                "devices: set it to auto or cpu, or repair the driver"
            )
        return device
    return torch.device("cuda" if name == "auto" and available else "cpu")


class InPrecision(nn.Module):
    """Enters the number format where the network runs.

    Replicas run in threads of their own, to which PyTorch hands on that autocast is on, but not
    the format.
    """

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        super().__init__()
        self._network = network
        self._precision = precision

    def forward(self, images: Tensor) -> Tensor:
        with self._precision.autocast():
            return self._network(images)  # type: ignore[no-any-return]


def wrap(
    network: nn.Module, spec: TrainingSpec, device: torch.device, precision: Precision
) -> nn.Module:
    """Return `network`, or what splits each batch around it where several are to share it.

    As in the lesson, `auto` uses every GPU that is present. A device with a number (`cuda:1`)
    keeps the job on that one; without CUDA the network passes through.
    """
    if dist.is_available() and dist.is_initialized():
        return DistributedDataParallel(
            network, device_ids=[device.index] if device.type == "cuda" else None
        )
    several = device == torch.device("cuda") and torch.cuda.device_count() > 1
    # Replicas would run a compiled network uncompiled.
    if spec.parallelism == "single" or spec.compilation != "off" or not several:
        return network
    return nn.DataParallel(InPrecision(network, precision))


def agree(value: T) -> T:
    """Return the first process's value in every process that shares the job."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def observe_replicas(model: nn.Module, network: nn.Module, images: Tensor) -> Notice:
    """Return what each replica of `network` inside `model` receives and gives for `images`."""
    replicas: list[dict[str, Any]] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        # Replicas run in threads; appending is atomic.
        replicas.append(
            {
                "device": str(inputs[0].device),
                "input_size": list(inputs[0].shape),
                "output_size": list(outputs.shape),
            }
        )

    hook = network.register_forward_hook(record)
    was_training = network.training
    network.eval()  # a look must not move the statistics of a batch normalisation
    with torch.no_grad():
        outputs = model(images)
    network.train(was_training)
    hook.remove()
    return _describe_replicas(replicas, list(images.shape), list(outputs.shape))


def _describe_replicas(
    replicas: list[dict[str, Any]], input_size: list[int], output_size: list[int]
) -> Notice:
    replicas.sort(key=lambda replica: str(replica["device"]))
    parts = ", ".join(
        f"{replica['device']} received {replica['input_size']} and gave {replica['output_size']}"
        for replica in replicas
    )
    return Notice(
        "data_parallel",
        f"a batch {input_size} is split over {len(replicas)} GPUs: {parts}; together {output_size}",
        {
            "gpus": len(replicas),
            "input_size": input_size,
            "output_size": output_size,
            "replicas": replicas,
        },
    )
