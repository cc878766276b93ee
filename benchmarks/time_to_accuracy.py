"""What a recipe reaches and how long it takes, over several seeds, beside the classic script.

    python benchmarks/time_to_accuracy.py FOLDER [--recipe quick] [--seeds 3] [--classic]

Prints the curve of each seed and one table: time to an accuracy, time and accuracy of whole runs. A
time is that of preparation (images to the device, whitening, choice of the number format) and
training; the evaluations that find the accuracy are left out, for the classic script as well.
Weights are set aside at each look of the first epoch and judged when it is over: evaluations in
between would leave the caches cold, which costs the steps that follow them.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import classic
import torch
from figures import describe_mean
from surroundings import describe_surroundings, find_device, open_cifar10

from store.packed import PackedDataset
from store.reports import EpochReport, StepReport
from store.specs import RECIPES, JobRequest, TrainingSpec
from worker.batches import count_steps_per_epoch
from worker.training import Training

# How often an epoch the weights are looked at, where its steps can be divided so.
_LOOKS_AN_EPOCH = 65
_COARSE_LOOKS = 5


@dataclass(frozen=True)
class Point:
    seconds: float
    accuracy: float


@dataclass(frozen=True)
class Look:
    """The weights at a moment of the training, to be judged later."""

    seconds: float
    weights: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Curve:
    preparation_seconds: float
    points: list[Point]
    single_view_accuracy: float  # at the end
    images_per_second: float

    def time_to(self, accuracy: float) -> float | None:
        """Return the seconds to the first point that is at least so accurate."""
        reached = (point.seconds for point in self.points if point.accuracy >= accuracy)
        return next(reached, None)


def measure(
    spec: TrainingSpec,
    dataset: PackedDataset,
    device: torch.device,
    until: float,
    *,
    stops_there: bool,
) -> Curve:
    """Train as `spec` says; judge every look of the first epoch up to `until`, and every epoch.

    With `stops_there` the run ends with the epoch that reaches `until`.
    The report interval divides the epoch, so that the time between an epoch's last step report
    and its end is evaluation alone.
    """
    began = time.perf_counter()
    training = Training(spec, dataset, device, checkpoint_interval_seconds=1e9)
    preparation = time.perf_counter() - began
    points: list[Point] = []
    looks: list[Look] = []
    trained, images, single_view = 0.0, 0, 0.0
    began = time.perf_counter()
    for report in training:
        if isinstance(report, StepReport):
            trained += time.perf_counter() - began
            images += spec.report_every_steps * spec.batch_size
            if training.step <= training.steps_per_epoch:
                looks.append(Look(preparation + trained, copy_weights(training)))
            if training.step == training.steps_per_epoch:
                points = judge(training, looks, until)
            elif training.step % training.steps_per_epoch == 0:
                points.append(Point(preparation + trained, training.measure_accuracy()))
        elif isinstance(report, EpochReport):
            single_view = report.test_accuracy
            if stops_there and points[-1].accuracy >= until:
                break
        began = time.perf_counter()
    return Curve(preparation, points, single_view, images / trained)


def copy_weights(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.result.state_dict().items()}


def judge(training: Training, looks: list[Look], until: float) -> list[Point]:
    """Return the accuracy of the last look, and of those up to one that reaches `until`.

    Every fifth is judged until one reaches it, then those between that one and the one before.
    """

    def judge_look(look: Look) -> Point:
        training.result.load_state_dict(look.weights)
        return Point(look.seconds, training.measure_accuracy())

    *earlier, last = looks
    points: list[Point] = []
    for start in range(0, len(earlier), _COARSE_LOOKS):
        *between, coarse = earlier[start : start + _COARSE_LOOKS]
        point = judge_look(coarse)
        if point.accuracy >= until:
            points += [*map(judge_look, between), point]
            break
        points.append(point)
    return [*points, judge_look(last)]


def main() -> None:
    options = _parse()
    device = find_device(options.device)
    classic_result = classic.train(options.folder) if options.classic else None
    curves = []
    with open_cifar10(options.folder) as dataset:
        for seed in range(options.seeds):
            spec = _specify(options, seed, dataset)
            until = min(options.targets)
            curve = measure(spec, dataset, device, until, stops_there=options.first_target)
            curves.append(curve)
            points = "  ".join(f"{p.seconds:.1f} s {p.accuracy:.1%}" for p in curve.points)
            print(f"seed {seed}: {points}", flush=True)
    _print_table(options, curves, classic_result)
    print(describe_surroundings())


def _specify(options: argparse.Namespace, seed: int, dataset: PackedDataset) -> TrainingSpec:
    fields = {"epochs": options.epochs} if options.epochs else {}
    spec = JobRequest(recipe=options.recipe, seed=seed, **fields).resolve()
    steps = count_steps_per_epoch(dataset.count("train"), spec)
    most = max(1, steps // _LOOKS_AN_EPOCH)
    interval = next(count for count in range(most, 0, -1) if steps % count == 0)
    return spec.model_copy(update={"report_every_steps": interval})


def _print_table(
    options: argparse.Namespace, curves: list[Curve], classic_result: classic.Result | None
) -> None:
    print(f"\n{options.recipe}, n = {len(curves)}")
    if classic_result is not None:
        print(f"classic script: {classic_result.seconds:.1f} s, {classic_result.accuracy:.2%}")
    targets = list(options.targets)
    if classic_result is not None:
        targets.insert(0, classic_result.accuracy)
    print("accuracy   median seconds   least   most   runs that reach it   classic / this")
    for target in targets:
        times = [seconds for curve in curves if (seconds := curve.time_to(target)) is not None]
        if not times:
            print(f"{target:8.2%}   never")
            continue
        median = statistics.median(times)
        ratio = f"{classic_result.seconds / median:.1f}" if classic_result else "-"
        print(
            f"{target:8.2%}   {median:14.2f}   {min(times):5.1f}   {max(times):4.1f}   "
            f"{len(times):18d}   {ratio:>14}"
        )
    print(_describe_ends(curves))


def _describe_ends(curves: list[Curve]) -> str:
    accuracies = [curve.points[-1].accuracy for curve in curves]
    return (
        f"whole runs: {describe_mean(accuracies)} (standard error), of one view "
        f"{statistics.mean(c.single_view_accuracy for c in curves):.2%}, after "
        f"{statistics.median(c.points[-1].seconds for c in curves):.1f} s in the median, of which "
        f"preparation {statistics.median(c.preparation_seconds for c in curves):.2f} s; "
        f"{statistics.median(c.images_per_second for c in curves):,.0f} images/s; "
        f"seeds 0 to {len(curves) - 1}"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--recipe", choices=list(RECIPES), default="quick")
    parser.add_argument("--epochs", type=int, help="another number than the recipe's")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to n - 1")
    parser.add_argument("--targets", type=float, nargs="+", default=[0.547, 0.88, 0.9])
    parser.add_argument("--first-target", action="store_true", help="end runs that reached it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--classic", action="store_true", help="run the classic script first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
