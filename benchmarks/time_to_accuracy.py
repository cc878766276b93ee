"""How long a recipe trains until it reaches an accuracy, beside the classic script.

Prints the curve of each seed and one table. A time is that of preparation (images to the device,
whitening, choice of the number format) and training; the evaluations that find the accuracy are
left out, for the classic script as well.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import classic
import torch
from surroundings import describe_surroundings, open_cifar10

from store.packed import PackedDataset
from store.reports import StepReport
from store.specs import RECIPES, JobRequest, TrainingSpec
from worker.parallel import choose_device
from worker.training import Training


@dataclass(frozen=True)
class Point:
    seconds: float
    accuracy: float


@dataclass(frozen=True)
class Curve:
    preparation_seconds: float
    points: list[Point]
    images_per_second: float

    def time_to(self, accuracy: float) -> float | None:
        """Return the seconds to the first point that is at least so accurate."""
        reached = (point.seconds for point in self.points if point.accuracy >= accuracy)
        return next(reached, None)


def measure(
    spec: TrainingSpec, dataset: PackedDataset, device: torch.device, until: float
) -> Curve:
    """Train as `spec` says; judge at every step report up to `until`, then at every epoch's end.

    The report interval divides the epoch, so that the time between an epoch's last step report
    and its end is evaluation alone.
    """
    began = time.perf_counter()
    training = Training(spec, dataset, device, checkpoint_interval_seconds=1e9)
    preparation = time.perf_counter() - began
    points: list[Point] = []
    trained, images, best = 0.0, 0, 0.0
    began = time.perf_counter()
    for report in training:
        if isinstance(report, StepReport):
            trained += time.perf_counter() - began
            images += spec.report_every_steps * spec.batch_size
            is_epoch_end = training.step % training.steps_per_epoch == 0
            if best < until or is_epoch_end:
                best = training.measure_accuracy()
                points.append(Point(preparation + trained, best))
        began = time.perf_counter()
    return Curve(preparation, points, images / trained)


def main() -> None:
    options = _parse()
    device = choose_device(options.device)
    classic_result = classic.train(options.folder) if options.classic else None
    curves = []
    with open_cifar10(options.folder) as dataset:
        for seed in range(options.seeds):
            spec = _specify(options, seed)
            curve = measure(spec, dataset, device, min(options.targets))
            curves.append(curve)
            points = "  ".join(f"{p.seconds:.1f} s {p.accuracy:.1%}" for p in curve.points)
            print(f"seed {seed}: {points}", flush=True)
    _print_table(options, curves, classic_result)
    print(describe_surroundings())


def _specify(options: argparse.Namespace, seed: int) -> TrainingSpec:
    fields = {"report_every_steps": options.report_every_steps}
    if options.epochs:
        fields["epochs"] = options.epochs
    return JobRequest(recipe=options.recipe, seed=seed, **fields).resolve()


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
    print(
        f"end of the run: {statistics.mean(c.points[-1].accuracy for c in curves):.2%} after "
        f"{statistics.median(c.points[-1].seconds for c in curves):.1f} s, of which preparation "
        f"{statistics.median(c.preparation_seconds for c in curves):.2f} s; "
        f"{statistics.median(c.images_per_second for c in curves):,.0f} images/s"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--recipe", choices=list(RECIPES), default="quick")
    parser.add_argument("--epochs", type=int, help="another number than the recipe's")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to n - 1")
    parser.add_argument("--targets", type=float, nargs="+", default=[0.547, 0.88, 0.9])
    parser.add_argument("--report-every-steps", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--classic", action="store_true", help="run the classic script first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
