"""What torch.compile costs and gains in a job: cold, and in a worker that stays up.

    python benchmarks/compilation.py FOLDER [--recipes tutorial quick] [--modes off default]

Each pair of recipe and mode has a process of its own, with an empty compiler cache. There the first
steps of two jobs are timed, one after the other, from the network's building on: the first one
compiles, the second one finds what the process has kept. Images have their full size from the first
step, so one program is compiled; a recipe whose images grow compiles one for each size.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from surroundings import describe_surroundings, find_device, load_dataset
from tutorial import run_apart

from store.reports import StepReport
from store.specs import RECIPES, Compilation, JobRequest, RecipeName, TrainingSpec
from worker.training import Training

_LAPS = 8


@dataclass(frozen=True)
class Times:
    first_lap_seconds: float  # with building and, where there is any, compiling
    step_seconds: float  # median of the laps after


def measure(data: Path, spec: TrainingSpec, device: str) -> tuple[Times, Times]:
    """Return the times of a first and of a second job in this process."""
    with tempfile.TemporaryDirectory(prefix="tenfold-compiler-") as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        return _run_job(data, spec, device), _run_job(data, spec, device)


def _run_job(data: Path, spec: TrainingSpec, device: str) -> Times:
    began = time.perf_counter()
    training = Training(
        spec, load_dataset(data, "images"), find_device(device), checkpoint_interval_seconds=1e9
    )
    laps: list[float] = []
    for report in training:
        if isinstance(report, StepReport):
            laps.append(time.perf_counter() - began)
            began = time.perf_counter()
        if len(laps) == _LAPS:
            break
    return Times(laps[0], statistics.median(laps[1:]) / spec.report_every_steps)


def main() -> None:
    options = _parse()
    print("recipe     mode             first lap, cold   warm s   step ms   steps until it pays")
    with tempfile.TemporaryDirectory(prefix="tenfold-benchmark-") as data:
        link = Path(data) / "datasets" / "images"
        link.parent.mkdir()
        link.symlink_to(options.folder.resolve())
        run_apart(load_dataset, Path(data), "images")
        for recipe in options.recipes:
            plain: Times | None = None
            for mode in options.modes:
                spec = _specify(recipe, mode, options.steps)
                cold, warm = run_apart(measure, Path(data), spec, options.device)
                plain = plain or cold
                _print_row(recipe, mode, cold, warm, plain)
    print(f"n = 1, laps of {options.steps} steps, seed 0; {describe_surroundings()}")


def _specify(recipe: RecipeName, mode: Compilation, steps: int) -> TrainingSpec:
    return JobRequest(
        recipe=recipe,
        compilation=mode,
        start_scale=1,
        report_every_steps=steps,
    ).resolve()


def _print_row(recipe: str, mode: str, cold: Times, warm: Times, plain: Times) -> None:
    saved = plain.step_seconds - warm.step_seconds
    spent = cold.first_lap_seconds - plain.first_lap_seconds
    steps = "-" if mode == "off" else f"{spent / saved:,.0f}" if saved > 0 else "never"
    print(
        f"{recipe:10} {mode:16} {cold.first_lap_seconds:15.1f} {warm.first_lap_seconds:8.1f} "
        f"{warm.step_seconds * 1000:9.2f} {steps:>21}",
        flush=True,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument(
        "--recipes", nargs="+", choices=list(RECIPES), default=["tutorial", "quick"]
    )
    parser.add_argument(
        "--modes",
        nargs="+",
        choices=["off", "default", "reduce_overhead"],
        default=["off", "default"],
    )
    parser.add_argument("--steps", type=int, default=10, help="steps a lap")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
