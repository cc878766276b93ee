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
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from store.settings import Settings

CIFAR10 = {"recipe": "tutorial", "dataset": "cifar10"}
# Ten times fewer images, hence a report more often.
WITHOUT_NETWORK = {"recipe": "tutorial", "dataset": "shapes", "report_every_steps": 250}
START_SECONDS = 120.0
POLL_SECONDS = 0.3
# More than the launcher gives its own children.
STOP_SECONDS = 20.0

Json = dict[str, Any]


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class DatasetUnavailableError(DemoError):
    """The job's data set is neither on this machine nor to be had."""


@contextmanager
def run_server(data_folder: Path) -> Iterator[httpx.Client]:
    """Run API and worker on a free port; yield a client of them; stop both whatever happens."""
    port = find_free_port()
    log_path = data_folder / "demo.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 -- our own launcher
            [sys.executable, str(Path(__file__).with_name("serve.py"))],
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
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(client, server)
            yield client
    except (DemoError, httpx.TransportError) as error:
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


def wait_until_ready(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    """Wait for the API and for a worker, which describes its data sets before it says hello."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(httpx.TransportError):
            reply = client.get("/health/ready")
            if reply.is_success and reply.json()["workers_alive"]:
                return
        time.sleep(POLL_SECONDS)
    raise DemoError(f"The API and a worker were not ready within {START_SECONDS:.0f} s.")


def call(client: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
    """Return the reply. Raises DemoError with the API's own sentence when it refuses."""
    reply = client.request(method, path, **options)
    if reply.is_error:
        problem = reply.json()
        kind = DatasetUnavailableError if "dataset" in problem.get("code", "") else DemoError
        raise kind(problem.get("detail") or reply.text)
    return reply


def train(client: httpx.Client, request: Json, console: Console) -> Json:
    """Submit the job, show its progress, and return the job once it has succeeded.

    Raises DatasetUnavailableError when the data set cannot be had, DemoError on other failures.
    """
    job = call(client, "POST", "/jobs", json=request).json()
    console.print(f"Job {job['id']}: recipe {request['recipe']} on {request['dataset']}")
    try:
        job = follow(client, job, console)
    except BaseException:
        # Else the next worker on this data folder would go on with it.
        with suppress(httpx.HTTPError):
            client.post(f"/jobs/{job['id']}/cancel")
        raise
    if job["status"] == "failed":
        error = job["error"]
        unavailable = error["code"] == "dataset_unavailable"
        raise (DatasetUnavailableError if unavailable else DemoError)(error["message"])
    if job["status"] != "succeeded":
        raise DemoError(f"Job {job['id']} was {job['status']} by somebody else.")
    return job


def follow(client: httpx.Client, job: Json, console: Console) -> Json:
    """Show events and metrics as they come, until the job has ended."""
    path = f"/jobs/{job['id']}"
    cursors: dict[str, str] = {}

    def read_news(resource: str) -> Json:
        cursor = {"cursor": cursors[resource]} if resource in cursors else {}
        page: Json = call(client, "GET", f"{path}/{resource}", params=cursor).json()
        cursors[resource] = page["next_cursor"]
        return page

    with open_progress(console) as progress:
        task = progress.add_task("waiting for the worker", total=None, details="")
        while True:
            job = call(client, "GET", path).json()
            for event in read_news("events")["items"]:
                console.print(f"  {event['message']}", style="dim", highlight=False)
            metrics = read_news("metrics")
            for step in metrics["steps"]:
                show_step(progress, task, step, job)
            for epoch in metrics["epochs"]:
                console.print(
                    f"  epoch {epoch['epoch']}: accuracy {epoch['test_accuracy']:.1%} on the test "
                    f"images, {epoch['train_accuracy']:.1%} while training"
                )
            if job["status"] in {"succeeded", "failed", "cancelled"}:
                return job
            time.sleep(POLL_SECONDS)


def open_progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[details]}"),
        console=console,
        # Where no bar can be drawn, a line a report is printed instead.
        disable=not console.is_terminal,
        transient=True,
    )


def show_step(progress: Progress, task: Any, step: Json, job: Json) -> None:
    total_steps = (job["progress"] or {}).get("steps")
    description = f"epoch {step['epoch']} of {job['spec']['epochs']}"
    details = (
        f"loss {step['loss']:.3f}, {step['images_per_second']:,.0f} images/s, "
        f"{step['seconds_left']:.0f} s left"
    )
    progress.update(
        task, total=total_steps, completed=step["step"], description=description, details=details
    )
    if not progress.console.is_terminal:
        progress.console.print(f"  {description}, step {step['step']}: {details}", highlight=False)


def print_report(client: httpx.Client, job: Json, console: Console) -> None:
    report = call(client, "GET", f"/jobs/{job['id']}/report").json()
    table = Table(title=f"{report['images']:,} test images of {report['dataset']}")
    table.add_column("class")
    for column in ("images", "accuracy", "precision", "recall", "F1"):
        table.add_column(column, justify="right")
    shares = ("accuracy", "precision", "recall", "f1")
    for row in report["classes"]:
        table.add_row(row["name"], str(row["images"]), *(f"{row[share]:.1%}" for share in shares))
    table.add_section()
    macro = report["macro_average"]
    table.add_row(
        "all",
        str(report["images"]),
        f"{report['accuracy']:.1%}",
        *(f"{macro[share]:.1%}" for share in shares[1:]),
    )
    console.print(table)


def classify(client: httpx.Client, job: Json, data_folder: Path, console: Console) -> None:
    """Save the first test image as a PNG and send it to `/predict`."""
    dataset, model = job["spec"]["dataset"], job["model"]
    (first,) = call(client, "GET", f"/jobs/{job['id']}/predictions?limit=1").json()["items"]
    image = call(client, "GET", f"/datasets/{dataset}/images/test/{first['index']}").content
    path = data_folder / f"demo-{dataset}-{first['index']}.png"
    path.write_bytes(image)
    reply = call(
        client,
        "POST",
        "/predict",
        params={"model": f"{model['name']}@{model['version']}"},
        headers={"Content-Type": "image/png"},
        content=image,
    ).json()
    (prediction,) = reply["predictions"]
    ranking = ", ".join(f"{top['class']} {top['probability']:.0%}" for top in prediction["top_k"])
    console.print(f"{path} shows: [bold]{prediction['class']}[/bold] ({ranking})", soft_wrap=True)
    console.print(f"The label says: {first['label']}")


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
        print_report(client, job, console)
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
    except DemoError as error:
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
