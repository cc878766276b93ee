"""The client: `Tenfold` blocks, `AsyncTenfold` is awaited; both have the same operations."""

import uuid
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from client import calls, downloads, pictures, sweep_flows
from client.calls import PictureFormat
from client.errors import NotFoundError, Problem
from client.flows import Flow, Item, Items, ask
from client.jobs import AsyncJob, Job
from client.operations import (
    Asynchronous,
    Synchronous,
    iteration,
    job_iteration,
    job_operation,
    operation,
)
from client.pictures import Picture
from client.retries import RetryPolicy
from client.runners import AsyncRunner, Connection, SyncRunner
from client.schemas import (
    Alias,
    ApiKey,
    ClassifiedPicture,
    CreatedKey,
    Dataset,
    Explanation,
    JobRecord,
    Model,
    ModelSummary,
    ModelVersion,
    Network,
    Prediction,
    Readiness,
    Recipe,
    Storage,
    Sweep,
    SweepSummary,
    Worker,
)
from client.spec import TrainingSpec
from client.sweep_flows import ObserveSweep

PAGE_ITEMS = 50


class TenfoldOperations:
    """What both clients can do. All raise the exceptions of `client.errors`."""

    @job_operation
    def submit_job(
        self,
        recipe: str = "tutorial",
        *,
        model: str | None = None,
        priority: int | None = None,
        max_run_seconds: float | None = None,
        max_wait_seconds: float | None = None,
        idempotency_key: str | None = None,
        **spec: Unpack[TrainingSpec],
    ) -> Flow[JobRecord]:
        """Queue a training job: a recipe, and the fields of its spec that are to differ.

        Sending again after a broken connection never makes two jobs, because every submission
        has an idempotency key; give your own to make that true across restarts of your program.
        `max_run_seconds` and `max_wait_seconds` (in the queue) fail the job when they are over.
        """
        own = {
            "recipe": recipe,
            "model": model,
            "priority": priority,
            "max_run_seconds": max_run_seconds,
            "max_wait_seconds": max_wait_seconds,
            **spec,
        }
        body = {name: value for name, value in own.items() if value is not None}
        return ask(calls.submit_job(body, idempotency_key or str(uuid.uuid4())))

    @job_operation
    def get_job(self, job_id: int) -> Flow[JobRecord]:
        """Return one job."""
        return ask(calls.get_job(job_id))

    @job_iteration
    def list_jobs(
        self, *, status: str | None = None, sweep_id: int | None = None
    ) -> Items[JobRecord]:
        """Iterate over the jobs, newest first; pages are fetched as they are needed.

        `sweep_id` leaves only the trials of that sweep.
        """
        cursor: str | None = None
        while True:
            page = yield from ask(calls.list_jobs(status, sweep_id, PAGE_ITEMS, cursor))
            for job in page.items:
                yield Item(job)
            cursor = page.next_cursor
            if cursor is None:
                return

    @operation
    def start_sweep(
        self,
        space: Mapping[str, Mapping[str, Any]],
        trials: int,
        recipe: str = "tutorial",
        *,
        model: str | None = None,
        parallel_trials: int | None = None,
        sampler: str | None = None,
        sampler_seed: int | None = None,
        pruner: str | None = None,
        pruner_startup_trials: int | None = None,
        pruner_warmup_epochs: int | None = None,
        idempotency_key: str | None = None,
        **spec: Unpack[TrainingSpec],
    ) -> Flow[Sweep]:
        """Train `trials` jobs that differ in the fields of `space`, and rank them.

        `space` has for each field `{"low": 0.001, "high": 1, "log": True}`, with `step` instead of
        `log` where that is wanted, or `{"choices": [16, 64]}`. `spec` is what all trials have in
        common.
        """
        job = {"recipe": recipe, "model": model, **spec}
        own = {
            "trials": trials,
            "parallel_trials": parallel_trials,
            "sampler": sampler,
            "sampler_seed": sampler_seed,
            "pruner": pruner,
            "pruner_startup_trials": pruner_startup_trials,
            "pruner_warmup_epochs": pruner_warmup_epochs,
        }
        body = {
            "job": {name: value for name, value in job.items() if value is not None},
            "space": {name: dict(dimension) for name, dimension in space.items()},
            **{name: value for name, value in own.items() if value is not None},
        }
        return ask(calls.start_sweep(body, idempotency_key or str(uuid.uuid4())))

    @operation
    def get_sweep(self, sweep_id: int) -> Flow[Sweep]:
        """Return one sweep with its trials, the best on top."""
        return ask(calls.get_sweep(sweep_id))

    @iteration
    def list_sweeps(self, *, status: str | None = None) -> Items[SweepSummary]:
        """Iterate over the sweeps, newest first, each with its best trial."""
        cursor: str | None = None
        while True:
            page = yield from ask(calls.list_sweeps(status, PAGE_ITEMS, cursor))
            for sweep in page.items:
                yield Item(sweep)
            cursor = page.next_cursor
            if cursor is None:
                return

    @operation
    def wait_for_sweep(
        self,
        sweep_id: int,
        *,
        observe: ObserveSweep | None = None,
        timeout_seconds: float | None = None,
    ) -> Flow[Sweep]:
        """Wait until a sweep has ended, and return it, also where it failed or was cancelled.

        `observe` is called with the sweep at each look, once a second.
        Raises WaitTimeoutError, ConnectionFailedError.
        """
        return sweep_flows.wait_for(sweep_id, observe, timeout_seconds)

    @operation
    def cancel_sweep(self, sweep_id: int) -> Flow[Sweep]:
        """Queue no more trials of a sweep, and cancel those that have not ended."""
        return ask(calls.cancel_sweep(sweep_id))

    @operation
    def delete_sweep(self, sweep_id: int) -> Flow[None]:
        """Delete an ended sweep with the jobs of its trials. Published models stay."""
        return ask(calls.delete_sweep(sweep_id))

    @iteration
    def list_models(self) -> Items[ModelSummary]:
        """Iterate over the models by name, each with its newest version."""
        cursor: str | None = None
        while True:
            page = yield from ask(calls.list_models(PAGE_ITEMS, cursor))
            for model in page.items:
                yield Item(model)
            cursor = page.next_cursor
            if cursor is None:
                return

    @operation
    def get_model(self, name: str) -> Flow[Model]:
        """Return a model with all its versions."""
        return ask(calls.get_model(name))

    @operation
    def get_model_version(self, name: str, version: int) -> Flow[ModelVersion]:
        """Return one version with its manifest and files."""
        return ask(calls.get_model_version(name, version))

    @operation
    def find_model_version(self, reference: str) -> Flow[ModelVersion]:
        """Return what `name`, `name@3` or `name@alias` stands for.

        A bare name means its alias `production`, else its newest version, as for `predict`.
        Raises NotFoundError where there is none.
        """
        name, _, wanted = reference.partition("@")
        if wanted.isdecimal():
            return (yield from ask(calls.get_model_version(name, int(wanted))))
        model = yield from ask(calls.get_model(name))
        version = model.aliases.get(wanted or "production")
        if version is None and wanted:
            known = ", ".join(model.aliases) or "none"
            raise NotFoundError(
                Problem(
                    title="The model has no such alias",
                    status=404,
                    detail=f"{name} has no alias {wanted!r}. Its aliases: {known}.",
                    code="alias_not_found",
                )
            )
        if version is None:
            version = model.versions[0].version
        return (yield from ask(calls.get_model_version(name, version)))

    @operation
    def delete_model_version(self, name: str, version: int) -> Flow[None]:
        """Delete one version, its files and its aliases."""
        return ask(calls.delete_model_version(name, version))

    @operation
    def download_model(
        self, name: str, version: int, folder: str | PathLike[str]
    ) -> Flow[list[Path]]:
        """Download the files of a version into a folder, checked, and return their paths."""
        found = yield from ask(calls.get_model_version(name, version))
        return (
            yield from downloads.download_all(
                found.files,
                Path(folder),
                lambda file, sink: calls.download_model_file(name, version, file, sink),
            )
        )

    @operation
    def set_model_alias(self, name: str, alias: str, version: int) -> Flow[Alias]:
        """Point an alias at a version. `production` answers when no version is named."""
        return ask(calls.set_model_alias(name, alias, version))

    @operation
    def delete_model_alias(self, name: str, alias: str) -> Flow[None]:
        """Remove an alias; the version stays."""
        return ask(calls.delete_model_alias(name, alias))

    @operation
    def predict(
        self, picture: Picture, *, model: str | None = None, top_k: int | None = None
    ) -> Flow[Prediction]:
        """Classify one picture: a path, or the bytes of a PNG, JPEG or WebP file.

        `model` is `name`, `name@3` or `name@alias`; without it the newest model answers.
        """
        return pictures.predict_one(picture, model, top_k)

    @iteration
    def predict_many(
        self,
        pictures_or_folders: Picture | Iterable[Picture],
        *,
        model: str | None = None,
        top_k: int | None = None,
    ) -> Items[ClassifiedPicture]:
        """Classify pictures, and all pictures of folders, and iterate over the results in order.

        A picture that cannot be read has an `error` where others have a `prediction`.
        """
        return pictures.predict_many(pictures_or_folders, model, top_k)

    @operation
    def explain(
        self, picture: Picture, *, model: str | None = None, class_name: str | None = None
    ) -> Flow[Explanation]:
        """Show what in a picture spoke for a class, by default the most probable one.

        Raises ConflictError where the service lacks its extra `explain`.
        """
        return pictures.explain(picture, model, class_name)

    @operation
    def list_datasets(self) -> Flow[list[Dataset]]:
        """Return the data sets that can be trained on."""
        return (yield from ask(calls.list_datasets())).items

    @operation
    def get_dataset(self, name: str) -> Flow[Dataset]:
        """Return one data set."""
        return ask(calls.get_dataset(name))

    @operation
    def draw_dataset_samples(
        self,
        name: str,
        *,
        split: str | None = None,
        seed: int | None = None,
        count: int | None = None,
        picture_format: PictureFormat = "png",
    ) -> Flow[bytes]:
        """Return a picture of some images of a data set and their classes."""
        draw = {"png": calls.draw_dataset_samples, "svg": calls.draw_dataset_samples_svg}
        return ask(draw[picture_format](name, split, seed, count))

    @operation
    def get_dataset_image(self, name: str, split: str, index: int) -> Flow[bytes]:
        """Return one image of a data set as a PNG."""
        return ask(calls.get_dataset_image(name, split, index))

    @operation
    def list_networks(self) -> Flow[list[Network]]:
        """Return the networks that a job can train."""
        return (yield from ask(calls.list_networks())).items

    @operation
    def get_network(self, name: str) -> Flow[Network]:
        """Return a network with its layers."""
        return ask(calls.get_network(name))

    @operation
    def list_recipes(self) -> Flow[list[Recipe]]:
        """Return the recipes that a job can start from."""
        return (yield from ask(calls.list_recipes())).items

    @operation
    def get_recipe(self, name: str) -> Flow[Recipe]:
        """Return a recipe with every field of its spec."""
        return ask(calls.get_recipe(name))

    @operation
    def list_workers(self) -> Flow[list[Worker]]:
        """Return the workers that are alive."""
        return (yield from ask(calls.list_workers())).items

    @operation
    def check_readiness(self) -> Flow[Readiness]:
        """Return whether the service can do its work, and how many workers are alive."""
        return ask(calls.check_readiness())

    @operation
    def measure_storage(self) -> Flow[Storage]:
        """Return how many bytes are stored, and how many more would fit."""
        return ask(calls.measure_storage())

    @operation
    def create_key(
        self, name: str, scopes: Iterable[str], *, expires_in_days: int | None = None
    ) -> Flow[CreatedKey]:
        """Make an API key; `key` of the result is the only place where it can be read.

        `scopes` are of read, predict, train and admin.
        """
        body = {"name": name, "scopes": list(scopes), "expires_in_days": expires_in_days}
        return ask(calls.create_key({k: v for k, v in body.items() if v is not None}))

    @operation
    def list_keys(self) -> Flow[list[ApiKey]]:
        """Return all API keys without their secrets, also those that were revoked."""
        return (yield from ask(calls.list_keys())).items

    @operation
    def revoke_key(self, key_id: str) -> Flow[ApiKey]:
        """Let a key be refused from now on."""
        return ask(calls.revoke_key(key_id))


class Tenfold(TenfoldOperations, Synchronous):
    """A client that blocks.

    `url` defaults to `TENFOLD_URL`, else to `TENFOLD_HOST` and `TENFOLD_PORT`, also from a `.env`
    file, else to http://127.0.0.1:8000. Use it in a `with` block, or close it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        retries: RetryPolicy | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        connection = Connection.resolve(url, api_key, retries, timeout_seconds)
        self.url = connection.url
        self._runner = SyncRunner(connection)

    def close(self) -> None:
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _own_job(self, record: JobRecord) -> Job:
        return Job(self._runner, record)


class AsyncTenfold(TenfoldOperations, Asynchronous):
    """A client for asyncio: the same operations, awaited. `url` as for `Tenfold`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        retries: RetryPolicy | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        connection = Connection.resolve(url, api_key, retries, timeout_seconds)
        self.url = connection.url
        self._runner = AsyncRunner(connection)

    async def aclose(self) -> None:
        await self._runner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _own_job(self, record: JobRecord) -> AsyncJob:
        return AsyncJob(self._runner, record)
