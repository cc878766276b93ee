"""The whole of Tenfold in one run, over HTTP alone: train, report, classify (`make demo`)."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from rich.console import Console

from client.cli.main import run as run_command
from client.errors import (
    ConnectionFailedError,
    JobEndedError,
    JobFailedError,
    ProblemError,
    TenfoldError,
)
from client.jobs import Job
from client.progress import ProgressDisplay
from client.retries import RetryPolicy
from client.spec import TrainingSpec
from client.tenfold import Tenfold
from store.settings import Settings

RECIPE = "tutorial"
CIFAR10 = TrainingSpec(dataset="cifar10")
# Ten times fewer images, hence a report more often.
WITHOUT_NETWORK = TrainingSpec(dataset="shapes", report_every_steps=250)
START_SECONDS = 120.0
POLL_SECONDS = 0.3
# More than the launcher gives its own children.
STOP_SECONDS = 20.0


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class DatasetUnavailableError(DemoError):
    """The job's data set is neither on this machine nor to be had."""


@contextmanager
def run_server(data_folder: Path) -> Iterator[Tenfold]:
    """Run API and worker on a free port; yield a client of them; stop both whatever happens."""
    port = find_free_port()
    log_path = data_folder / "demo.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "client", "up"],
            env={
                **os.environ,
                "TENFOLD_DATA": str(data_folder),
                # Its own machine alone, where no key is needed.
                "TENFOLD_HOST": "127.0.0.1",
                "TENFOLD_PORT": str(port),
            },
            stdout=log,
            stderr=log,
            # A Ctrl-C reaches this process, which then stops the server in its own time.
            process_group=0,
        )
    try:
        # It is on this machine: an answer that does not come at once never comes.
        with Tenfold(f"http://127.0.0.1:{port}", retries=RetryPolicy(attempts=1)) as client:
            wait_until_ready(client, server)
            yield client
    except (DemoError, TenfoldError) as error:
        if server.poll() is None:
            raise
        log_end = "\n".join(log_path.read_text(errors="replace").splitlines()[-15:])
        raise DemoError(f"The API or the worker ended by itself:\n{log_end}") from error
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(client: Tenfold, server: subprocess.Popen[bytes]) -> None:
    """Wait for the API and for a worker, which describes its data sets before it says hello."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(ConnectionFailedError, ProblemError):
            if client.check_readiness().workers_alive:
                return
        time.sleep(POLL_SECONDS)
    raise DemoError(f"The API and a worker were not ready within {START_SECONDS:.0f} s.")


def train(client: Tenfold, spec: TrainingSpec, console: Console) -> Job:
    """Submit the job, show its progress, and return the job once it has succeeded.

    Raises DatasetUnavailableError when the data set cannot be had, TenfoldError on other failures.
    """
    try:
        job = client.submit_job(RECIPE, **spec)
        console.print(f"Job {job.id}: recipe {RECIPE} on {spec['dataset']}")
        return watch(job, console)
    except ProblemError as error:
        if "dataset" in error.code:
            raise DatasetUnavailableError(str(error)) from error
        raise
    except JobFailedError as error:
        if error.job.error is not None and error.job.error.code == "dataset_unavailable":
            raise DatasetUnavailableError(error.job.error.message) from error
        raise


def watch(job: Job, console: Console) -> Job:
    try:
        return job.wait(progress=ProgressDisplay(console))
    except JobEndedError:
        raise
    except BaseException:
        # Else the next worker on this data folder would go on with it.
        with suppress(TenfoldError):
            job.cancel()
        raise


def show_command(client: Tenfold, console: Console, *arguments: str) -> None:
    """Run a command of `tenfold`, with the line that a user would type above it."""
    console.print(f"\n$ tenfold {' '.join(arguments)}", style="bold", soft_wrap=True)
    if run_command([*arguments, "--url", client.url]) != 0:
        raise DemoError("That command failed: its message stands above.")


def classify(client: Tenfold, job: Job, data_folder: Path, console: Console) -> None:
    """Save the first test image as a PNG and send it to `/predict`."""
    dataset = job.spec["dataset"]
    first = next(iter(job.list_predictions()))
    path = data_folder / f"demo-{dataset}-{first.index}.png"
    path.write_bytes(client.get_dataset_image(dataset, "test", first.index))
    options = ["--model", f"{job.model.name}@{job.model.version}"] if job.model else []
    show_command(client, console, "predict", *options, str(path))
    console.print(f"The label says: {first.label}")


def link_cifar10(folder: Path, data_folder: Path) -> None:
    """Make the images in `folder` the data set `cifar10` of the data folder.

    Raises DemoError when they are not there, or when other images have that name already.
    """
    parts = [("train", "test"), ("cifar-10-batches-py",), ("cifar-10-python.tar.gz",)]
    if not any(all((folder / name).exists() for name in names) for names in parts):
        raise DemoError(
            f"{folder} holds no CIFAR-10: expected train/<class>/* and test/<class>/*, or the "
            "official cifar-10-python.tar.gz."
        )
    link = data_folder / "datasets" / "cifar10"
    if link.exists() and not link.samefile(folder):
        raise DemoError(f"{link} is there already: run without CIFAR10=, or move it away.")
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)  # a link to a place that is gone
        link.symlink_to(folder.resolve(), target_is_directory=True)


def run(arguments: argparse.Namespace, console: Console) -> None:
    data_folder = Settings().data.resolve()
    data_folder.mkdir(parents=True, exist_ok=True)
    if arguments.cifar10 is not None:
        link_cifar10(arguments.cifar10, data_folder)
    console.print(f"Starting the API and a worker on {data_folder}", soft_wrap=True)
    with run_server(data_folder) as client:
        try:
            job = train(client, CIFAR10, console)
        except DatasetUnavailableError as error:
            console.print(f"[bold]No CIFAR-10:[/bold] {error}", soft_wrap=True)
            console.print("Training on the built-in drawn shapes instead.")
            job = train(client, WITHOUT_NETWORK, console)
        show_command(client, console, "report", str(job.id))
        classify(client, job, data_folder, console)
    console.print("All stopped. The model is kept: `make serve` serves it.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar10", type=Path, help="folder with the CIFAR-10 images")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        run(arguments, console)
    except (DemoError, TenfoldError) as error:
        console.print(f"[bold red]The demo stopped:[/bold red] {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; all stopped.")
        return 130
    return 0


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
