"""How close a recipe's steps come to the matrix-multiplication rate of this GPU or these cores.

    python benchmarks/utilisation.py FOLDER [--recipes tutorial quick] [--device cpu]

Images a second come from steps on images of full size, augmentation included: the median of four
laps of a fifth of an epoch, after one that warms up. Operations an image come from counting those
of one step (torch.utils.flop_counter: convolutions and matrix products, forward and backward); the
limit is the fastest of twenty square matrix products, in the number format of the recipe, on all
cores.
"""

import argparse
import statistics
import time
from itertools import islice
from pathlib import Path

import torch
from surroundings import describe_surroundings, find_device, open_cifar10
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from store.cores import count_cores
from store.packed import PackedDataset
from store.reports import StepReport
from store.specs import RECIPES, JobRequest, RecipeName, TrainingSpec
from worker.batches import count_steps_per_epoch
from worker.reports import Notice
from worker.training import Training

_MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
_PRODUCTS = 20
_LAPS = 4


def measure_matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the most operations a second of a square matrix product over a few rounds."""
    torch.set_num_threads(count_cores())
    side = _MATRIX_SIDE[device.type]
    left = torch.randn(side, side, device=device).to(dtype)
    best = float("inf")
    for _ in range(_PRODUCTS):
        _wait_for(device)
        began = time.perf_counter()
        left @ left
        _wait_for(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def count_operations(network: nn.Module, side: int, channels: int, device: torch.device) -> float:
    """Return the operations an image of one forward and backward pass."""
    images = torch.randn(2, channels, side, side, device=device)
    with FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    return float(counter.get_total_flops()) / len(images)


def measure_rate(spec: TrainingSpec, dataset: PackedDataset, device: torch.device) -> float:
    """Return the images a second of a median lap; the evaluations between epochs are left out."""
    training = Training(spec, dataset, device, checkpoint_interval_seconds=1e9)
    reports = (report for report in training if isinstance(report, StepReport))
    laps = islice(reports, 1, 1 + _LAPS)
    return statistics.median(report.images_per_second for report in laps)


def main() -> None:
    options = _parse()
    device = find_device(options.device)
    print("recipe     format  images/s  GFLOP/image  GFLOP/s  matrix product GFLOP/s   share")
    with open_cifar10(options.folder) as dataset:
        for name in options.recipes:
            _print_row(name, dataset, device)
    print(f"n = {_LAPS} laps of one run each, seed 0; {describe_surroundings()}")


def _print_row(name: RecipeName, dataset: PackedDataset, device: torch.device) -> None:
    spec = JobRequest(recipe=name, start_scale=1, epochs=1 + _LAPS).resolve()
    steps = count_steps_per_epoch(dataset.count("train"), spec)
    spec = spec.model_copy(update={"report_every_steps": max(1, steps // (1 + _LAPS))})
    probe = Training(spec, dataset, device, should_stop=lambda: True)
    chosen = _read_precision(probe, spec)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[chosen]
    limit = measure_matrix_rate(device, dtype)
    side = min(dataset.height, dataset.width)
    operations = count_operations(probe.network, side, dataset.channels, device)
    rate = measure_rate(spec, dataset, device)
    achieved = rate * operations
    print(
        f"{name:10} {chosen:6} {rate:9,.0f} {operations / 1e9:12.3f} "
        f"{achieved / 1e9:8,.0f} {limit / 1e9:23,.0f} {achieved / limit:7.1%}",
        flush=True,
    )


def _read_precision(training: Training, spec: TrainingSpec) -> str:
    for report in training:
        if isinstance(report, Notice) and report.kind == "arithmetic":
            return str(report.data["precision"])
    return spec.precision


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=["quick"])
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
