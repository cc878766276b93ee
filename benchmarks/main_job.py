"""The main job over HTTP: `tutorial` for several seeds, each checked against its published model.

    python benchmarks/main_job.py FOLDER [--seeds 0 1 2]

FOLDER holds CIFAR-10 as `{train,test}/<class>/*`. API and worker are started on a data folder of
their own. For every seed the classic DataLoader script runs first, then the job; the report is
recomputed from the downloaded model over all test images, and 100 of them are posted as PNG.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import classic
import numpy as np
import onnxruntime
from surroundings import describe_surroundings

from client import Tenfold, TenfoldError
from client.jobs import Job
from client.schemas import PublishedModel
from store.packed import open_newest

POSTED_IMAGES = 100
START_SECONDS = 120.0


@dataclass(frozen=True)
class Row:
    """One seed. Times in seconds, accuracies from 0 to 1."""

    seed: int
    classic_seconds: float
    classic_accuracy: float
    job_seconds: float  # from the claim to the published model
    training_seconds: float
    accuracy: float
    is_report_recomputed: bool
    pictures_as_reported: int


@contextmanager
def run_server(data: Path) -> Iterator[Tenfold]:
    """Run API and worker on a free port; yield a client once a worker is alive."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = [sys.executable, "-P", "-m", "client", "up"]
    settings = {"TENFOLD_DATA": str(data), "TENFOLD_PORT": str(port)}
    with (data / "serve.log").open("wb") as log:
        server = subprocess.Popen(launcher, env=os.environ | settings, stdout=log, stderr=log)  # noqa: S603
    try:
        with Tenfold(f"http://127.0.0.1:{port}") as client:
            wait_for_worker(client)
            yield client
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def wait_for_worker(client: Tenfold) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(TenfoldError):
            if client.check_readiness().workers_alive:
                return
        time.sleep(0.2)
    raise SystemExit(f"no worker was alive within {START_SECONDS:g} s")


def measure(client: Tenfold, data: Path, images: Path, seed: int) -> Row:
    script = classic.train(images, seed=seed)
    job = client.submit_job("tutorial", dataset="cifar10", seed=seed).wait()
    if job.model is None or job.started_at is None or job.finished_at is None:
        raise SystemExit(f"job {job.id} has succeeded without a model")
    return Row(
        seed=seed,
        classic_seconds=script.seconds,
        classic_accuracy=script.accuracy,
        job_seconds=(job.finished_at - job.started_at).total_seconds(),
        training_seconds=job.read_metrics().epochs[-1].elapsed_seconds,
        accuracy=job.get_report().accuracy,
        is_report_recomputed=recompute(client, job, job.model, data),
        pictures_as_reported=post_pictures(client, job, job.model),
    )


def recompute(client: Tenfold, job: Job, model: PublishedModel, data: Path) -> bool:
    """Tell whether the published model gives the report's confusion matrix on the test images."""
    with tempfile.TemporaryDirectory() as folder:
        client.download_model(model.name, model.version, folder)
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx")
    dataset = open_newest(data / "packed", "cifar10")
    if dataset is None:
        raise SystemExit(f"no packed data set in {data}")
    batches = np.array_split(dataset.images("test"), 20)
    predicted = np.concatenate(
        [session.run(None, {"images": np.array(batch)})[0].argmax(1) for batch in batches]
    )
    matrix = np.zeros((len(dataset.classes),) * 2, dtype=int)
    np.add.at(matrix, (dataset.labels("test"), predicted), 1)
    is_equal: bool = matrix.tolist() == job.get_report().confusion_matrix
    return is_equal


def post_pictures(client: Tenfold, job: Job, model: PublishedModel) -> int:
    """Return how many of the posted test images get the class that the report has."""
    reference = f"{model.name}@{model.version}"
    count = 0
    for prediction in islice(job.list_predictions(), POSTED_IMAGES):
        picture = client.get_dataset_image("cifar10", "test", prediction.index)
        count += client.predict(picture, model=reference).class_name == prediction.predicted
    return count


def print_table(rows: list[Row]) -> None:
    print(
        "seed  classic s  accuracy |  job s  of it training s  accuracy  classic/job  "
        "report recomputed  pictures as reported"
    )
    for row in rows:
        print(
            f"{row.seed:4d}  {row.classic_seconds:9.1f}  {row.classic_accuracy:8.2%} | "
            f"{row.job_seconds:6.1f}  {row.training_seconds:16.1f}  {row.accuracy:8.2%}  "
            f"{row.classic_seconds / row.job_seconds:10.1f}x  "
            f"{'equal' if row.is_report_recomputed else 'DIFFERS':>17}  "
            f"{row.pictures_as_reported:10d} of {POSTED_IMAGES}"
        )
    ratios = [row.classic_seconds / row.job_seconds for row in rows]
    print(f"median classic/job: {statistics.median(ratios):.1f}x, n = {len(rows)}")
    print(describe_surroundings())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="CIFAR-10 as an image folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        (data / "datasets").mkdir()
        (data / "datasets" / "cifar10").symlink_to(options.images.resolve())
        with run_server(data) as client:
            rows = [measure(client, data, options.images, seed) for seed in options.seeds]
    print_table(rows)


if __name__ == "__main__":
    main()
