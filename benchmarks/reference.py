"""A recipe for GPUs beside a reference script, in turns, on the same images and the same GPU.

    python benchmarks/reference.py FOLDER --recipe speed94 --reference /airbench94_muon.py

FOLDER holds train/<class>/ and test/<class>/; which scripts can be a reference is told in
`reference_script.py`. A time of the recipe is that of preparation (images to the device,
whitening), training and the evaluation with all views; a reference leaves out the reading of its
images. The evaluations at the ends of epochs are left out on both sides. The first run of each
warms up: it is shown apart and takes part in no figure.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

import torch
from figures import describe_mean
from reference_script import ReferenceScript, Run
from surroundings import describe_surroundings, find_device, open_cifar10

from store.packed import PackedDataset
from store.reports import EpochReport
from store.specs import JobRequest, TrainingSpec
from worker.training import Training

Runs = dict[str, list[Run]]


def run_recipe(spec: TrainingSpec, dataset: PackedDataset, device: torch.device) -> Run:
    began = time.perf_counter()
    training = Training(spec, dataset, device, checkpoint_interval_seconds=1e9)
    preparation = time.perf_counter() - began
    epochs = [report for report in training if isinstance(report, EpochReport)]
    images = training.steps_per_epoch * spec.batch_size
    trained = sum(images / report.images_per_second for report in epochs)
    began = time.perf_counter()
    accuracy = training.measure_accuracy()
    evaluation = time.perf_counter() - began
    return Run(preparation + trained + evaluation, preparation, accuracy, epochs[-1].test_accuracy)


def main() -> None:
    options = _parse()
    device = find_device(options.device)
    runs: Runs = {}
    with open_cifar10(options.folder) as dataset, contextlib.ExitStack() as stack:
        script = None
        if options.reference:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            script = ReferenceScript(options.reference, dataset, folder)
            stack.callback(script.close)
        for seed in range(options.runs + 1):
            if script is not None:
                runs.setdefault("reference", []).append(script.take_run())
            for mode in options.compilation:
                spec = _specify(options, seed, mode)
                name = options.recipe if mode == "off" else f"{options.recipe}, {mode}"
                runs.setdefault(name, []).append(run_recipe(spec, dataset, device))
    _print_table(runs)
    print(f"n = {options.runs}, seeds 1 to {options.runs}; {describe_surroundings()}")


def _specify(options: argparse.Namespace, seed: int, compilation: str) -> TrainingSpec:
    fields = {"epochs": options.epochs} if options.epochs else {}
    request = {"recipe": options.recipe, "seed": seed, "compilation": compilation, **fields}
    return JobRequest.model_validate(request).resolve()


def _print_table(runs: Runs) -> None:
    print(
        "                          median s   least    most  of it preparation  first run s  "
        "accuracy, standard error  of one view  reference / this"
    )
    reference = _median(runs["reference"][1:]) if "reference" in runs else None
    for name, (first, *rest) in runs.items():
        seconds = [run.seconds for run in rest]
        preparation = statistics.median(run.preparation_seconds for run in rest)
        ratio = f"{reference / _median(rest):.2f}" if reference else "-"
        print(
            f"{name:25} {_median(rest):8.2f} {min(seconds):7.2f} {max(seconds):7.2f} "
            f"{preparation:18.2f} {first.seconds:12.2f}  "
            f"{describe_mean([run.accuracy for run in rest]):>24}  "
            f"{statistics.mean(run.single_view_accuracy for run in rest):11.2%}  {ratio:>16}"
        )


def _median(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--recipe", choices=["speed94", "best"], default="speed94")
    parser.add_argument("--reference", type=Path, help="path of the reference script")
    parser.add_argument("--runs", type=int, default=20, help="timed runs of each")
    parser.add_argument("--epochs", type=int, help="another number than the recipe's")
    parser.add_argument(
        "--compilation",
        nargs="+",
        default=["off"],
        choices=["off", "default", "reduce_overhead", "max_autotune"],
    )
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


if __name__ == "__main__":
    main()
