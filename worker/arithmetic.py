"""How a step is computed: number format and memory format, measured where the spec says `auto`."""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from store.specs import MemoryFormat, Precision, TrainingSpec
from worker import parallel, precision
from worker.reports import Notice

_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

# `auto` leaves fp32 and contiguous only for what is clearly faster. So a machine that is busy
# for a moment does not change what a job computes, and tiny networks stay exact.
_WORTHWHILE_SPEEDUP = 1.25
# Enough to keep the device busy; a CPU is busy with few, and would take long for many.
_MEASURED_IMAGES = {"cpu": 64, "cuda": 2_000}
_MEASURED_STEPS = 3


@dataclass(frozen=True)
class Arithmetic:
    """The formats of a run, and what each candidate took where they were measured."""

    precision: Precision
    memory_format: MemoryFormat
    # Milliseconds of a step by candidate; empty where nothing had to be measured.
    milliseconds: dict[str, float] = field(default_factory=dict, compare=False)

    def arrange(self, images: Tensor) -> Tensor:
        """Return `images` (N, C, H, W) in the memory format."""
        return images.contiguous(memory_format=_FORMATS[self.memory_format])

    def arrange_network(self, network: nn.Module) -> None:
        """Bring the network's weights into the memory format, in place."""
        network.to(memory_format=_FORMATS[self.memory_format])

    def list_notices(self) -> Iterator[Notice]:
        """Yield what was measured, for the job's events."""
        if self.milliseconds:
            times = ", ".join(f"{name} {ms:g} ms" for name, ms in self.milliseconds.items())
            yield Notice(
                "arithmetic",
                f"Training in {self.precision} with {self.memory_format} images. "
                f"A small step took: {times}.",
                {**self.describe(), "milliseconds": self.milliseconds},
            )

    def describe(self) -> dict[str, Any]:
        return {"precision": self.precision, "memory_format": self.memory_format}


# A worker that stays up measures once for all jobs of one kind.
_measured: dict[tuple[object, ...], Arithmetic] = {}


def choose(spec: TrainingSpec, network: nn.Module, images: Tensor) -> Arithmetic:
    """Return the formats that `spec` names, or the fastest ones on this device for `auto`.

    Times forward and backward passes of a copy of `network` on a few of `images` (N, C, H, W),
    which are normalised as in training. What wins by less than a quarter is left alone.
    """
    candidates = list(_list_candidates(spec))
    if len(candidates) == 1:
        return candidates[0]
    images = images[: min(_MEASURED_IMAGES[images.device.type], spec.batch_size)]
    key = (type(network), images.shape, images.device, *candidates)
    if key not in _measured:
        _measured[key] = _measure(candidates, network, images)
    return parallel.agree(_measured[key])


def _list_candidates(spec: TrainingSpec) -> Iterator[Arithmetic]:
    """Yield what the spec allows, the plainest first."""
    # fp16 is no faster than bf16 on any device that has both, and needs a loss scale.
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    memory_formats: tuple[MemoryFormat, ...] = ("contiguous", "channels_last")
    for name in precisions if spec.precision == "auto" else (spec.precision,):
        for order in memory_formats if spec.memory_format == "auto" else (spec.memory_format,):
            yield Arithmetic(name, order)


def _measure(candidates: list[Arithmetic], network: nn.Module, images: Tensor) -> Arithmetic:
    times = {candidate: _time_step(candidate, network, images) for candidate in candidates}
    plainest, fastest = candidates[0], min(times, key=times.__getitem__)
    is_worthwhile = times[plainest] > _WORTHWHILE_SPEEDUP * times[fastest]
    chosen = fastest if is_worthwhile else plainest
    milliseconds = {
        f"{candidate.precision} {candidate.memory_format}": round(seconds * 1000, 3)
        for candidate, seconds in times.items()
    }
    return Arithmetic(chosen.precision, chosen.memory_format, milliseconds)


def _time_step(candidate: Arithmetic, network: nn.Module, images: Tensor) -> float:
    """Return the seconds of the fastest of a few forward and backward passes."""
    trial = copy.deepcopy(network).train()
    candidate.arrange_network(trial)
    images = candidate.arrange(images)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    number_format = precision.Precision(candidate.precision, images.device)

    def run() -> float:
        _wait_for(images.device)
        began = time.perf_counter()
        with number_format.autocast():
            loss = F.cross_entropy(trial(images), labels)
        torch.autograd.backward(loss)
        _wait_for(images.device)
        return time.perf_counter() - began

    run()  # the first one also compiles and allocates
    return min(run() for _ in range(_MEASURED_STEPS))


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
