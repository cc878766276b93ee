"""Recipe `tutorial` beside the classic DataLoader script, in turns, on the same images.

    python benchmarks/tutorial.py FOLDER [--seeds 0 1 2]

FOLDER holds train/<class>/ and test/<class>/. Each run has a process of its own and the machine to
itself. A time is that of two epochs of training; start-up, preparation and evaluation are left out
on both sides, and given apart for the recipe.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import classic
import torch
from surroundings import describe_surroundings, load_dataset

from store.reports import EpochReport
from store.specs import JobRequest
from worker.training import Training

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """One run of the recipe, in seconds."""

    preparation_seconds: float  # packed images into memory
    seconds: float  # of training alone
    evaluation_seconds: float  # of both epochs' ends
    accuracy: float


def train(data: Path, seed: int) -> Result:
    """Run recipe `tutorial` on data set `images` of the data folder."""
    dataset = load_dataset(data, "images")
    spec = JobRequest(recipe="tutorial", dataset="images", seed=seed).resolve()
    began = time.perf_counter()
    training = Training(spec, dataset, torch.device("cpu"), checkpoint_interval_seconds=1e9)
    prepared = time.perf_counter()
    epochs = [report for report in training if isinstance(report, EpochReport)]
    ended = time.perf_counter()
    images = dataset.count("train")
    seconds = sum(images / report.images_per_second for report in epochs)
    return Result(
        preparation_seconds=prepared - began,
        seconds=seconds,
        evaluation_seconds=ended - prepared - seconds,
        accuracy=epochs[-1].test_accuracy,
    )


def run_apart(function: Callable[..., T], *arguments: object) -> T:
    """Call `function` in a new process, so that no run finds another's threads or caches."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def train_classic(folder: Path, seed: int) -> classic.Result:
    return classic.train(folder, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    print("seed   classic s   accuracy   tutorial s   accuracy   classic / tutorial", flush=True)
    rows: list[tuple[classic.Result, Result]] = []
    with tempfile.TemporaryDirectory(prefix="tenfold-benchmark-") as data:
        link = Path(data) / "datasets" / "images"
        link.parent.mkdir()
        link.symlink_to(options.folder.resolve())
        run_apart(load_dataset, Path(data), "images")
        for seed in options.seeds:
            theirs = run_apart(train_classic, options.folder, seed)
            ours = run_apart(train, Path(data), seed)
            rows.append((theirs, ours))
            print(
                f"{seed:4d}   {theirs.seconds:9.1f}   {theirs.accuracy:8.2%}   "
                f"{ours.seconds:10.1f}   {ours.accuracy:8.2%}   "
                f"{theirs.seconds / ours.seconds:18.1f}",
                flush=True,
            )
    _print_summary(rows)
    print(describe_surroundings())


def _print_summary(rows: list[tuple[classic.Result, Result]]) -> None:
    theirs, ours = [row[0] for row in rows], [row[1] for row in rows]
    ratio = statistics.median(a.seconds / b.seconds for a, b in rows)
    print(
        f"n = {len(rows)}; mean accuracy {statistics.mean(r.accuracy for r in theirs):.2%} and "
        f"{statistics.mean(r.accuracy for r in ours):.2%}; median ratio {ratio:.1f}"
    )
    print(
        f"apart, the recipe's median preparation "
        f"{statistics.median(r.preparation_seconds for r in ours):.2f} s and evaluation "
        f"{statistics.median(r.evaluation_seconds for r in ours):.2f} s"
    )


if __name__ == "__main__":
    main()
