"""The models in memory: many at once, loaded on first use, bounded by bytes.

References (`name`, `name@3`, `name@production`, none at all) are resolved once and then watched:
a request finds its model in a dictionary, and a new version or a moved alias takes its place
there when it is loaded and warm. Requests that still hold the old one finish on it.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from service.batching import Batcher
from service.decoding import Decoder, count_cores, is_large
from service.engines import load_engine
from service.monitoring import BatchObserver, Monitoring
from service.predictor import Item, Prediction, Predictor, read_input_shape
from store import models
from store.artifacts import ArtifactStore
from store.database import ChangeDetector, Database
from store.errors import NotFoundError, TenfoldError
from store.settings import Settings

_logger = logging.getLogger(__name__)

REFRESH_INTERVAL_SECONDS = 0.25
# Clients choose the references, so their number is bounded.
_MOST_REFERENCES = 1_000


class ModelKey(NamedTuple):
    name: str
    version: int


class LoadedModel:
    """One version of a model in memory, behind its own batcher."""

    def __init__(
        self,
        key: ModelKey,
        predictor: Predictor,
        size_bytes: int,
        batcher: Batcher[Item, Prediction],
        decoder: Decoder,
    ) -> None:
        self.key = key
        self.predictor = predictor
        self.size_bytes = size_bytes
        self.batcher = batcher
        self.used_at = 0.0
        self._decoder = decoder

    async def predict(
        self, items: Sequence[Item], deadline_seconds: float
    ) -> list[Prediction | Exception]:
        """Return a prediction, or the reason why there is none, for each item in order.

        Raises OverloadedError and DeadlineExceededError.
        """
        if any(map(is_large, items)):
            items = await self._decoder.decode_large(items, self.predictor.prepare)
        return await self.batcher.submit(items, deadline_seconds)


class LoadedModels:
    """Finds and keeps the models. Belongs to one event loop; `start` it and `stop` it there."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        artifacts: ArtifactStore,
        monitoring: Monitoring,
    ) -> None:
        self._settings = settings
        self._database = database
        self._artifacts = artifacts
        self._monitoring = monitoring
        self._detector = ChangeDetector(database)
        self._executor = ThreadPoolExecutor(count_cores(), thread_name_prefix="predict")
        self._decoder = Decoder(settings.predict_queue_images)
        self._by_reference: dict[str | None, LoadedModel] = {}
        self._loaded: dict[ModelKey, LoadedModel] = {}
        self._loading: dict[ModelKey, asyncio.Task[LoadedModel]] = {}
        self._refreshing = asyncio.Lock()
        self._refreshes = 0
        self._is_stale = False
        self._unloadable: set[ModelKey] = set()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the model that requests without a reference get, then watch for changes."""
        try:
            await self.find(None)
        except NotFoundError:
            _logger.info("No model has been published yet.")
        except TenfoldError:
            _logger.exception("The newest model cannot be loaded")
        self._watch = asyncio.create_task(self._watch_changes())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        for task in self._loading.values():
            task.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._decoder.shutdown()
        self._detector.close()

    async def find(self, reference: str | None) -> LoadedModel:
        """Return the model of a reference; without one, the newest. Load it on its first use.

        Raises NotFoundError (`no_model`, `model_not_found`), and ArtifactError where its stored
        bytes are damaged.
        """
        model = self._by_reference.get(reference)
        if model is None:
            model = await self._find_new(reference)
        model.used_at = asyncio.get_running_loop().time()
        return model

    async def refresh(self) -> None:
        """Take up what was published, moved or deleted since the last time."""
        async with self._refreshing:
            if not await asyncio.to_thread(self._detector.detect) and not self._is_stale:
                return
            self._is_stale = True
            self._refreshes += 1
            found = await asyncio.to_thread(self._resolve_all, list(self._by_reference))
            for reference, key in found.items():
                await self._retarget(reference, key)
            self._is_stale = False

    async def _find_new(self, reference: str | None) -> LoadedModel:
        """Resolve and load; again when a refresh came between, which did not see this one."""
        while True:
            refreshes = self._refreshes
            key = await asyncio.to_thread(self._resolve, reference)
            model = await self._load(key)
            if refreshes == self._refreshes:
                break
        if len(self._by_reference) >= _MOST_REFERENCES:
            del self._by_reference[next(iter(self._by_reference))]
        self._by_reference[reference] = model
        return model

    async def _watch_changes(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_SECONDS)
            try:
                await self.refresh()
            except TenfoldError as error:
                _logger.warning("Changed models cannot be read; trying again.", exc_info=error)

    async def _retarget(self, reference: str | None, key: ModelKey | None) -> None:
        present = self._by_reference.get(reference)
        if present is None or present.key == key or key in self._unloadable:
            return
        if key is None:
            del self._by_reference[reference]
            return
        try:
            model = await self._load(key)
        except TenfoldError:
            _logger.exception("%s keeps serving, because %s cannot be loaded", present.key, key)
            self._unloadable.add(key)
            return
        self._by_reference[reference] = model

    def _resolve(self, reference: str | None) -> ModelKey:
        with self._database.reading() as session:
            row = models.resolve(session, reference)
            return ModelKey(row.name, row.version)

    def _resolve_all(self, references: Sequence[str | None]) -> dict[str | None, ModelKey | None]:
        found: dict[str | None, ModelKey | None] = {}
        with self._database.reading() as session:
            for reference in references:
                try:
                    row = models.resolve(session, reference)
                    found[reference] = ModelKey(row.name, row.version)
                except NotFoundError:
                    found[reference] = None
        return found

    async def _load(self, key: ModelKey) -> LoadedModel:
        """Return the model, loading it once however many ask for it at the same time."""
        if key in self._loaded:
            return self._loaded[key]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load_new(key))
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        # One caller who goes away must not stop the loading that others wait for.
        return await asyncio.shield(task)

    async def _load_new(self, key: ModelKey) -> LoadedModel:
        predictor, size_bytes = await asyncio.to_thread(self._open, key)
        observer = BatchObserver(self._monitoring, key.name)
        batcher = Batcher(
            predictor.predict,
            self._executor,
            max_batch_items=self._settings.predict_batch_images,
            max_waiting_items=self._settings.predict_queue_images,
            observer=observer,
        )
        model = LoadedModel(key, predictor, size_bytes, batcher, self._decoder)
        self._monitoring.model_loads.labels(key.name).inc()
        self._make_room(size_bytes)
        self._loaded[key] = model
        return model

    def _open(self, key: ModelKey) -> tuple[Predictor, int]:
        """Read the artifact and return its predictor, warm, with the bytes of its network."""
        with self._database.reading() as session:
            row = models.get(session, key.name, key.version)
            manifest: dict[str, Any] = row.manifest
            network = self._artifacts.read(session, row.artifact_id, "model.onnx")
        shape = read_input_shape(manifest)
        engine = load_engine(
            network,
            (shape.height, shape.width, shape.channels),
            self._settings.predict_batch_images,
        )
        return Predictor(manifest, engine), len(network)

    def _make_room(self, size_bytes: int) -> None:
        """Let the least recently used go until `size_bytes` more fit, or none is left."""
        limit = self._settings.predict_models_bytes - size_bytes
        while self._loaded and sum(model.size_bytes for model in self._loaded.values()) > limit:
            oldest = min(self._loaded.values(), key=lambda model: model.used_at)
            self._unload(oldest.key)

    def _unload(self, key: ModelKey) -> None:
        self._loaded.pop(key, None)
        for reference in [r for r, model in self._by_reference.items() if model.key == key]:
            del self._by_reference[reference]
