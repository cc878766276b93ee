"""The metrics of a job in TensorBoard's own reader, and on an MLflow server."""

import json
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import httpx
import pytest

from client import ExportError, Job
from client.mlflow import MlflowServer
from client.tensorboard import write_events
from tests.client.conftest import Run

pytestmark = pytest.mark.timeout(300)


def read_scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs the extra `tensorboard`",
    )
    reader = event_accumulator.EventAccumulator(str(run))
    reader.Reload()
    return {
        tag: [(event.step, event.value) for event in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def test_tensorboard_reads_every_metric(trained_job: Job, tmp_path: Path) -> None:
    metrics = trained_job.read_metrics()
    run = write_events(trained_job, metrics, tmp_path)
    # Writing again replaces: no number comes twice.
    assert write_events(trained_job, metrics, tmp_path) == run
    assert len(list(run.iterdir())) == 1
    scalars = read_scalars(run)
    assert [step for step, _ in scalars["loss/running"]] == [row.step for row in metrics.steps]
    assert [value for _, value in scalars["accuracy/test"]] == pytest.approx(
        [row.test_accuracy for row in metrics.epochs], abs=1e-6
    )
    assert {"loss/train", "loss/test", "accuracy/train", "learning_rate"} < set(scalars)


def test_the_command_writes_a_run(tenfold: Run, trained_job: Job, tmp_path: Path) -> None:
    done = tenfold("export", "tensorboard", str(trained_job.id), "--json")
    assert done.returncode == 0, done.stderr
    run = tmp_path / json.loads(done.stdout)["folder"]
    assert run.parent == tmp_path / "runs"
    assert "accuracy/test" in read_scalars(run)


@pytest.fixture
def mlflow_uri(tmp_path: Path) -> Iterator[str]:
    program = which("mlflow")
    if program is None:
        pytest.skip("needs an MLflow server: put `mlflow` on the PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [program, "server", "--port", str(port), "--backend-store-uri", database]
    with (tmp_path / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--workers", "1"], cwd=tmp_path, stdout=log, stderr=log
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(uri, process)
        yield uri
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_healthy(uri: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 250
    while time.monotonic() < deadline:
        assert process.poll() is None, "the MLflow server has ended"
        try:
            if httpx.get(f"{uri}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail("the MLflow server did not start")


def test_an_mlflow_server_has_the_run(
    tenfold: Run, trained_job: Job, mlflow_uri: str, tmp_path: Path
) -> None:
    for _ in range(2):  # the experiment is made, and then found
        done = tenfold("export", "mlflow", str(trained_job.id), "--tracking-uri", mlflow_uri)
        assert done.returncode == 0, done.stderr
    run_id = done.stdout.strip().rpartition("/")[2]
    reply = httpx.get(f"{mlflow_uri}/api/2.0/mlflow/runs/get", params={"run_id": run_id})
    run = reply.json()["run"]
    assert run["info"]["status"] == "FINISHED"
    parameters = {item["key"]: item["value"] for item in run["data"]["params"]}
    assert parameters["batch_size"] == str(trained_job.spec["batch_size"])
    latest = {item["key"]: item["value"] for item in run["data"]["metrics"]}
    assert trained_job.model is not None
    assert latest["accuracy/test"] == pytest.approx(
        trained_job.read_metrics().epochs[-1].test_accuracy
    )
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        (count,) = database.execute(
            "SELECT count(*) FROM metrics WHERE run_uuid = ?", [run_id]
        ).fetchone()
    database.close()
    metrics = trained_job.read_metrics()
    assert count == 3 * len(metrics.steps) + 4 * len(metrics.epochs)


def test_a_missing_or_another_server_is_told(tenfold: Run, trained_job: Job, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    done = tenfold("export", "mlflow", str(trained_job.id), "--tracking-uri", nobody)
    assert done.returncode == 1
    assert "mlflow server" in done.stderr
    # The service itself is no MLflow server.
    with MlflowServer(url) as server, pytest.raises(ExportError):
        server.log_job(trained_job, trained_job.read_metrics(), experiment="any")
    with MlflowServer("nonsense") as server, pytest.raises(ExportError, match="nonsense"):
        server.log_job(trained_job, trained_job.read_metrics(), experiment="any")
