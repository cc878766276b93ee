"""The recipe speed94 beside a reference implementation, in one run on one GPU.

The reference is a script that you have: `airbench94_muon.py` of github.com/KellerJordan/
cifar10-airbench, or one that prints the same table (rows between bars, one `eval` row a run, whose
last two values are the accuracy with test-time augmentation and the seconds). None of its code is
here. Its first run is left out, because it warms up; so is ours, whose cold time is shown.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from surroundings import describe_surroundings, open_cifar10

from store.packed import PackedDataset
from store.reports import EpochReport
from store.specs import JobRequest, TrainingSpec
from worker.parallel import choose_device
from worker.training import Training

_EVALUATION_ROW = re.compile(r"\|\s*(?:\S+\s*)?\|\s*eval\s*\|(.*)\|")


@dataclass(frozen=True)
class Run:
    seconds: float
    accuracy: float  # with test-time augmentation


def run_ours(spec: TrainingSpec, dataset: PackedDataset, device: torch.device) -> Run:
    """Train once; the time is that of preparation, training and the last evaluation.

    The evaluations at the ends of the epochs, which the reference does not time, are left out.
    """
    began = time.perf_counter()
    training = Training(spec, dataset, device, checkpoint_interval_seconds=1e9)
    preparation = time.perf_counter() - began
    epochs = [report for report in training if isinstance(report, EpochReport)]
    trained = sum(dataset.count("train") / report.images_per_second for report in epochs)
    began = time.perf_counter()
    accuracy = training.measure_accuracy()
    return Run(preparation + trained + time.perf_counter() - began, accuracy)


def run_reference(script: Path, count: int) -> list[Run]:
    """Start the script, read its table until `count` runs are done, and stop it."""
    process = subprocess.Popen(  # noqa: S603 -- the user names the script to run
        [sys.executable, script.name], cwd=script.parent, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None  # noqa: S101 -- asked for above
    runs: list[Run] = []
    for line in process.stdout:
        found = _EVALUATION_ROW.search(line)
        if found is None:
            continue
        accuracy, seconds = (float(cell) for cell in found[1].split("|")[-2:])
        runs.append(Run(seconds, accuracy))
        if len(runs) == count:
            break
    process.terminate()
    process.wait()
    return runs


def main() -> None:
    options = _parse()
    device = choose_device(options.device)
    runs = []
    with open_cifar10(options.folder) as dataset:
        for seed in range(options.runs + 1):
            request = JobRequest(recipe="speed94", seed=seed, compilation=options.compilation)
            runs.append(run_ours(request.resolve(), dataset, device))
    cold, warm = runs[0], runs[1:]
    print("                n   median s   least   most   mean accuracy (test-time augmentation)")
    _print_row("speed94", warm)
    if options.reference:
        reference = run_reference(options.reference, options.runs + 1)[1:]
        _print_row("reference", reference)
        ratio = _median(reference) / _median(warm)
        print(f"reference / speed94: {ratio:.2f} in median time")
    print(f"first run of the process: {cold.seconds:.2f} s; seeds 0 to {options.runs}")
    print(describe_surroundings())


def _print_row(name: str, runs: list[Run]) -> None:
    seconds = [run.seconds for run in runs]
    accuracy = statistics.mean(run.accuracy for run in runs)
    print(
        f"{name:12} {len(runs):4d} {_median(runs):10.2f} {min(seconds):7.2f} {max(seconds):6.2f}   "
        f"{accuracy:.2%}"
    )


def _median(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--runs", type=int, default=20, help="timed runs of each")
    parser.add_argument("--reference", type=Path, help="path of the reference script")
    parser.add_argument(
        "--compilation", default="off", choices=["off", "default", "reduce_overhead"]
    )
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


if __name__ == "__main__":
    main()
