"""A training step of recipe `tutorial`: called operation by operation, and recorded.

    python benchmarks/steps.py [--rounds 100]

Both steps train a network of their own on random images, in turns of 50 steps, on one thread.
"""

import argparse
import statistics
import time

import torch
from surroundings import describe_surroundings
from torch import Tensor

from store.specs import RECIPES
from worker import networks
from worker.optimizers import build_loss, build_optimizers
from worker.precision import Precision
from worker.steps import EagerStep, RecordedStep, Step

_STEPS_A_ROUND = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = [(torch.randn(4, 3, 32, 32), torch.randint(10, (4,))) for _ in range(_STEPS_A_ROUND)]
    steps = {"eager": _make_step(recorded=False), "recorded": _make_step(recorded=True)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        _time_step(step, batches)
    for _ in range(options.rounds):
        for name, step in steps.items():
            times[name].append(_time_step(step, batches))
    print("step       median µs   least µs")
    for name, of_step in times.items():
        print(f"{name:8}   {statistics.median(of_step):9.0f}   {min(of_step):8.0f}")
    shares = [b / a for a, b in zip(times["eager"], times["recorded"], strict=True)]
    print(f"recorded / eager: {statistics.median(shares):.2f}, n = {options.rounds}, seed 0")
    print(describe_surroundings())


def _make_step(*, recorded: bool) -> Step:
    spec, device = RECIPES["tutorial"].spec, torch.device("cpu")
    network = networks.build(spec.network, channels=3, classes=10, height=32, width=32)
    compute_loss = build_loss(spec, 10, device)
    optimizers = build_optimizers(spec, network)
    if recorded:
        return RecordedStep(network, compute_loss, optimizers)
    return EagerStep(network, compute_loss, optimizers, Precision("fp32", device))


def _time_step(step: Step, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Return the microseconds of a step, over one round."""
    began = time.perf_counter()
    for images, labels in batches:
        step(images, labels)
    return (time.perf_counter() - began) / len(batches) * 1e6


if __name__ == "__main__":
    main()
