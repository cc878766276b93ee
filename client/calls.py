"""Every request to the service, as data: what to send, and how to read the reply. Sends nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from client import schemas
from client.errors import UnexpectedReplyError

Value = TypeVar("Value")
ReplyModel = TypeVar("ReplyModel", bound=BaseModel)
LARGEST_PAGE = 200
PictureFormat = Literal["png", "svg"]


class Sink(Protocol):
    """Takes the body of a reply in chunks."""

    def restart(self) -> None:
        """Forget what was written: the body begins anew."""

    def write(self, chunk: bytes) -> None: ...


@dataclass(frozen=True)
class Call(Generic[Value]):
    """One request. One that is not repeatable is never sent where it may already have arrived."""

    method: str
    path: str
    read: Callable[[httpx.Response], Value]
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    files: Sequence[tuple[str, tuple[str, bytes]]] | None = None
    is_repeatable: bool = True
    sink: Sink | None = None
    # The reply is read event by event instead of whole.
    is_stream: bool = False

    def make_request(self, http: "httpx.Client | httpx.AsyncClient") -> httpx.Request:
        return http.build_request(
            self.method,
            self.path,
            params={name: value for name, value in self.query.items() if value is not None},
            headers=dict(self.headers),
            json=self.json,
            content=self.content,
            files=self.files,
        )


def _read_as(model: type[ReplyModel]) -> Callable[[httpx.Response], ReplyModel]:
    def read(response: httpx.Response) -> ReplyModel:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "body"
            raise UnexpectedReplyError.from_response(
                response, f"{place}: {first['msg']}"
            ) from error

    return read


def _read_nothing(response: httpx.Response) -> None:
    """The status said it all."""


def _read_bytes(response: httpx.Response) -> bytes:
    return response.content


def _path(*parts: str | int) -> str:
    return "/" + "/".join(quote(str(part), safe="") for part in parts)


def _get(model: type[ReplyModel], *parts: str | int, **query: Any) -> Call[ReplyModel]:
    return Call("GET", _path(*parts), _read_as(model), query=query)


def _delete(*parts: str | int) -> Call[None]:
    return Call("DELETE", _path(*parts), _read_nothing)


def submit_job(body: Mapping[str, Any], idempotency_key: str) -> Call[schemas.JobRecord]:
    return Call(
        "POST",
        "/jobs",
        _read_as(schemas.JobRecord),
        json=dict(body),
        # The key makes the service return the first job when the request comes twice.
        headers={"Idempotency-Key": idempotency_key},
    )


def list_jobs(
    status: str | None, sweep_id: int | None, limit: int, cursor: str | None
) -> Call[schemas.JobPage]:
    query = {"status": status, "sweep": sweep_id, "limit": limit, "cursor": cursor}
    return _get(schemas.JobPage, "jobs", **query)


def get_job(job_id: int) -> Call[schemas.JobRecord]:
    return _get(schemas.JobRecord, "jobs", job_id)


def delete_job(job_id: int) -> Call[None]:
    return _delete("jobs", job_id)


def change_job(job_id: int, verb: str) -> Call[schemas.JobRecord]:
    """`verb` is cancel, pause, resume or retry.

    A second resume or retry would be refused, so neither is sent again once it may have arrived.
    """
    is_repeatable = verb in {"cancel", "pause"}
    path = _path("jobs", job_id, verb)
    return Call("POST", path, _read_as(schemas.JobRecord), is_repeatable=is_repeatable)


def start_sweep(body: Mapping[str, Any], idempotency_key: str) -> Call[schemas.Sweep]:
    return Call(
        "POST",
        "/sweeps",
        _read_as(schemas.Sweep),
        json=dict(body),
        headers={"Idempotency-Key": idempotency_key},
    )


def list_sweeps(status: str | None, limit: int, cursor: str | None) -> Call[schemas.SweepPage]:
    return _get(schemas.SweepPage, "sweeps", status=status, limit=limit, cursor=cursor)


def get_sweep(sweep_id: int) -> Call[schemas.Sweep]:
    return _get(schemas.Sweep, "sweeps", sweep_id)


def cancel_sweep(sweep_id: int) -> Call[schemas.Sweep]:
    return Call("POST", _path("sweeps", sweep_id, "cancel"), _read_as(schemas.Sweep))


def delete_sweep(sweep_id: int) -> Call[None]:
    return _delete("sweeps", sweep_id)


def list_metrics(job_id: int, cursor: str | None) -> Call[schemas.MetricPage]:
    return _get(schemas.MetricPage, "jobs", job_id, "metrics", limit=LARGEST_PAGE, cursor=cursor)


def list_events(job_id: int, cursor: str | None) -> Call[schemas.EventPage]:
    return _get(schemas.EventPage, "jobs", job_id, "events", limit=LARGEST_PAGE, cursor=cursor)


def follow_events(job_id: int, last_event_id: str | None) -> Call[None]:
    """The stream of events after `last_event_id`; answered with 204 when the job has no more."""
    return _follow(_path("jobs", job_id, "events"), last_event_id)


def follow_metrics(job_id: int, last_event_id: str | None) -> Call[None]:
    """The stream of metrics after `last_event_id`; answered with 204 when the job has no more."""
    return _follow(_path("jobs", job_id, "metrics"), last_event_id)


def _follow(path: str, last_event_id: str | None) -> Call[None]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    return Call("GET", path, _read_nothing, headers=headers, is_stream=True)


def get_report(job_id: int) -> Call[schemas.Report]:
    return _get(schemas.Report, "jobs", job_id, "report")


def list_predictions(
    job_id: int, label: str | None, predicted: str | None, cursor: str | None
) -> Call[schemas.ClassifiedImagePage]:
    return _get(
        schemas.ClassifiedImagePage,
        "jobs",
        job_id,
        "predictions",
        label=label,
        predicted=predicted,
        limit=LARGEST_PAGE,
        cursor=cursor,
    )


def draw_curves(job_id: int, picture_format: PictureFormat, *, log: bool) -> Call[bytes]:
    path = _path("jobs", job_id, f"curves.{picture_format}")
    return Call("GET", path, _read_bytes, query={"log": "true" if log else None})


def draw_confusion_matrix(job_id: int, picture_format: PictureFormat) -> Call[bytes]:
    return Call("GET", _path("jobs", job_id, f"confusion-matrix.{picture_format}"), _read_bytes)


def list_checkpoints(job_id: int) -> Call[schemas.CheckpointList]:
    return _get(schemas.CheckpointList, "jobs", job_id, "checkpoints")


def get_checkpoint(job_id: int, checkpoint_id: int) -> Call[schemas.Checkpoint]:
    return _get(schemas.Checkpoint, "jobs", job_id, "checkpoints", checkpoint_id)


def download_checkpoint_file(job_id: int, checkpoint_id: int, name: str, sink: Sink) -> Call[None]:
    path = _path("jobs", job_id, "checkpoints", checkpoint_id, "files", name)
    return Call("GET", path, _read_nothing, sink=sink)


def list_models(limit: int, cursor: str | None) -> Call[schemas.ModelPage]:
    return _get(schemas.ModelPage, "models", limit=limit, cursor=cursor)


def get_model(name: str) -> Call[schemas.Model]:
    return _get(schemas.Model, "models", name)


def get_model_version(name: str, version: int) -> Call[schemas.ModelVersion]:
    return _get(schemas.ModelVersion, "models", name, "versions", version)


def delete_model_version(name: str, version: int) -> Call[None]:
    return _delete("models", name, "versions", version)


def download_model_file(name: str, version: int, file_name: str, sink: Sink) -> Call[None]:
    path = _path("models", name, "versions", version, "files", file_name)
    return Call("GET", path, _read_nothing, sink=sink)


def set_model_alias(name: str, alias: str, version: int) -> Call[schemas.Alias]:
    path = _path("models", name, "aliases", alias)
    return Call("PUT", path, _read_as(schemas.Alias), json={"version": version})


def delete_model_alias(name: str, alias: str) -> Call[None]:
    return _delete("models", name, "aliases", alias)


def list_datasets() -> Call[schemas.DatasetList]:
    return _get(schemas.DatasetList, "datasets")


def get_dataset(name: str) -> Call[schemas.Dataset]:
    return _get(schemas.Dataset, "datasets", name)


def draw_dataset_samples(
    name: str, split: str | None, seed: int | None, count: int | None
) -> Call[bytes]:
    query = {"split": split, "seed": seed, "count": count}
    return Call("GET", _path("datasets", name, "samples"), _read_bytes, query=query)


def draw_dataset_samples_svg(
    name: str, split: str | None, seed: int | None, count: int | None
) -> Call[bytes]:
    query = {"split": split, "seed": seed, "count": count}
    return Call("GET", _path("datasets", name, "samples.svg"), _read_bytes, query=query)


def get_dataset_image(name: str, split: str, index: int) -> Call[bytes]:
    return Call("GET", _path("datasets", name, "images", split, index), _read_bytes)


def list_networks() -> Call[schemas.NetworkList]:
    return _get(schemas.NetworkList, "networks")


def get_network(name: str) -> Call[schemas.Network]:
    return _get(schemas.Network, "networks", name)


def list_recipes() -> Call[schemas.RecipeList]:
    return _get(schemas.RecipeList, "recipes")


def get_recipe(name: str) -> Call[schemas.Recipe]:
    return _get(schemas.Recipe, "recipes", name)


def list_workers() -> Call[schemas.WorkerList]:
    return _get(schemas.WorkerList, "workers")


def check_readiness() -> Call[schemas.Readiness]:
    return _get(schemas.Readiness, "health", "ready")


def measure_storage() -> Call[schemas.Storage]:
    return _get(schemas.Storage, "storage")


def create_key(body: Mapping[str, Any]) -> Call[schemas.CreatedKey]:
    """Not repeatable: a second key would be one that nobody knows of."""
    return Call("POST", "/keys", _read_as(schemas.CreatedKey), json=dict(body), is_repeatable=False)


def list_keys() -> Call[schemas.KeyList]:
    return _get(schemas.KeyList, "keys")


def revoke_key(key_id: str) -> Call[schemas.ApiKey]:
    return Call("POST", _path("keys", key_id, "revoke"), _read_as(schemas.ApiKey))


def explain_prediction(
    picture: bytes, model: str | None, class_name: str | None
) -> Call[schemas.Explanation]:
    return Call(
        "POST",
        "/explain",
        _read_as(schemas.Explanation),
        query={"model": model, "class": class_name},
        content=picture,
        headers={"Content-Type": "application/octet-stream"},
    )


def predict_one(picture: bytes, model: str | None, top_k: int | None) -> Call[schemas.PredictReply]:
    """The picture as the body itself: the shortest way for one."""
    return Call(
        "POST",
        "/predict",
        _read_as(schemas.PredictReply),
        query={"model": model, "top_k": top_k},
        content=picture,
        headers={"Content-Type": "application/octet-stream"},
    )


def predict_many(
    pictures: Sequence[bytes], model: str | None, top_k: int | None
) -> Call[schemas.PredictReply]:
    # The replies come in the order of the files, so that names need not be told apart.
    files = [("file", (str(number), picture)) for number, picture in enumerate(pictures)]
    return Call(
        "POST",
        "/predict",
        _read_as(schemas.PredictReply),
        query={"model": model, "top_k": top_k},
        files=files,
    )
