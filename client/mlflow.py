"""A job as a run on an MLflow server, over its REST API: no package of MLflow is needed.

https://mlflow.org/docs/latest/rest-api.html
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from client.errors import ExportError
from client.metric_series import list_points
from client.schemas import JobRecord, JobStatus, Metrics

# The server takes no more in one request.
_METRICS_PER_REQUEST = 1000
_PARAMETERS_PER_REQUEST = 100
_TIMEOUT_SECONDS = 30.0
_STATUSES = {
    JobStatus.SUCCEEDED: "FINISHED",
    JobStatus.FAILED: "FAILED",
    JobStatus.CANCELLED: "KILLED",
}


class MlflowServer:
    """An MLflow tracking server. Use it in a `with` block.

    `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, are sent
    where they are set, as MLflow's own client does. All methods raise ExportError.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        try:
            self._http = httpx.Client(
                base_url=f"{self.uri}/api/2.0/mlflow",
                headers={"Authorization": f"Bearer {token}"} if token else {},
                auth=(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None,
                timeout=_TIMEOUT_SECONDS,
            )
        except httpx.InvalidURL as error:
            raise ExportError(f"{uri!r} is no address of an MLflow server: {error}") from error

    def log_job(self, job: JobRecord, metrics: Metrics, *, experiment: str) -> str:
        """Make a run of the job in the experiment, which is made if it is missing; return its URL.

        The spec becomes parameters, the metrics keep their steps and times.
        """
        experiment_id = self._find_experiment(experiment)
        run_id = self._create_run(job, experiment_id)
        parameters = [{"key": name, "value": str(value)} for name, value in job.spec.items()]
        for chunk in _split(parameters, _PARAMETERS_PER_REQUEST):
            self._post("runs/log-batch", run_id=run_id, params=chunk)
        points = [
            {
                "key": point.series,
                "value": point.value,
                "timestamp": _to_milliseconds(point.time),
                "step": point.step,
            }
            for point in list_points(job, metrics)
        ]
        for chunk in _split(points, _METRICS_PER_REQUEST):
            self._post("runs/log-batch", run_id=run_id, metrics=chunk)
        end = {"end_time": _to_milliseconds(job.finished_at)} if job.finished_at else {}
        self._post("runs/update", run_id=run_id, status=_STATUSES.get(job.status, "RUNNING"), **end)
        return f"{self.uri}/#/experiments/{experiment_id}/runs/{run_id}"

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _find_experiment(self, name: str) -> str:
        reply = self._send("GET", "experiments/get-by-name", params={"experiment_name": name})
        if reply.status_code == httpx.codes.NOT_FOUND:
            return str(self._post("experiments/create", name=name)["experiment_id"])
        return str(_read(reply)["experiment"]["experiment_id"])

    def _create_run(self, job: JobRecord, experiment_id: str) -> str:
        tags = {
            "tenfold.job": job.id,
            "tenfold.status": job.status,
            "tenfold.model": f"{job.model.name}@{job.model.version}" if job.model else None,
        }
        created = self._post(
            "runs/create",
            experiment_id=experiment_id,
            run_name=f"job-{job.id}-{job.model_name}",
            start_time=_to_milliseconds(job.started_at or job.created_at),
            tags=[{"key": key, "value": str(value)} for key, value in tags.items() if value],
        )
        return str(created["run"]["info"]["run_id"])

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return _read(self._send("POST", path, json=body))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ExportError(
                f"MLflow does not answer at {self.uri} ({error}). Start it with `mlflow server`, "
                "or check the address."
            ) from error


def _read(reply: httpx.Response) -> dict[str, Any]:
    """Return the JSON. Raises ExportError with the server's own words where it refused."""
    try:
        body = reply.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ExportError(
            f"What answers at {reply.url} is no MLflow server: status {reply.status_code}, and no "
            "JSON."
        )
    if not reply.is_success:
        reason = body.get("message") or body.get("error_code") or f"status {reply.status_code}"
        raise ExportError(f"MLflow refused {reply.request.url.path}: {reason}")
    return body


def _split(items: Sequence[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _to_milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
