"""The networks in memory: each loaded once, bounded by bytes; the least recently used leaves."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from service.batching import Batcher
from service.decoding import Decoder, are_decoded_at_once
from service.engines import TunedEngine, load_engine
from service.monitoring import BatchObserver, Monitoring
from service.predictor import Item, Prediction, Predictor, PreparedItem, read_input_shape
from store import models
from store.artifacts import ArtifactStore
from store.cores import count_cores
from store.database import Database
from store.errors import InvalidRequestError
from store.memory import release_freed_memory
from store.settings import Settings
from store.tables import Model

_logger = logging.getLogger(__name__)

# A batch that runs faster than this runs on the event loop: a change of threads, there and back,
# and two threads that wait for each other's lock of the interpreter cost more.
_QUICK_BATCH_SECONDS = 0.001


class ModelKey(NamedTuple):
    """One published version, and its artifact: a deleted version's number may come again."""

    name: str
    version: int
    artifact_id: str

    @classmethod
    def of(cls, row: Model) -> "ModelKey":
        return cls(row.name, row.version, row.artifact_id)


class LoadedModel:
    """One version of a model in memory, behind its own batcher."""

    def __init__(
        self,
        key: ModelKey,
        predictor: Predictor,
        size_bytes: int,
        batcher: Batcher[PreparedItem, Prediction],
        *,
        decoder: Decoder,
        most_items: int,
    ) -> None:
        self.key = key
        self.predictor = predictor
        self.size_bytes = size_bytes
        self.batcher = batcher
        self.used_at = 0.0
        self._decoder = decoder
        self._most_items = most_items

    async def predict(
        self, items: Sequence[Item], deadline_seconds: float
    ) -> list[Prediction | Exception]:
        """Return a prediction, or the reason why there is none, for each item in order.

        Raises InvalidRequestError (`too_many_images`), OverloadedError and DeadlineExceededError.
        """
        if len(items) > self._most_items:
            raise InvalidRequestError(
                f"{len(items)} images were sent, and a request has at most {self._most_items}: "
                "send them in several requests.",
                code="too_many_images",
            )
        if are_decoded_at_once(items):
            prepared = [self.predictor.try_prepare(item) for item in items]
        else:
            prepared = await self._decoder.decode(items, self.predictor.try_prepare)
        return await self.batcher.submit(prepared, deadline_seconds)


class ModelCache:
    """Loads models and forgets them. Belongs to one event loop.

    A model that leaves answers the requests that it has: they hold on to it until they are done.
    """

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
        self._executor = ThreadPoolExecutor(count_cores(), thread_name_prefix="predict")
        self._decoder = Decoder(settings.predict_queue_images)
        self._loaded: dict[ModelKey, LoadedModel] = {}
        self._loading: dict[ModelKey, asyncio.Task[LoadedModel]] = {}
        self._measured: set[str] = set()

    def __contains__(self, key: ModelKey) -> bool:
        return key in self._loaded

    @property
    def models(self) -> list[LoadedModel]:
        return list(self._loaded.values())

    @property
    def size_bytes(self) -> int:
        return sum(model.size_bytes for model in self._loaded.values())

    async def load(self, key: ModelKey) -> LoadedModel:
        """Return the model, loading it once however many ask for it at the same time.

        Raises NotFoundError where the version has been deleted, and ArtifactError where its
        stored bytes are damaged.
        """
        if key in self._loaded:
            return self._loaded[key]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key))
            task.add_done_callback(lambda done: self._end_loading(key, done))
        # One caller who goes away must not stop the loading that others wait for.
        return await asyncio.shield(task)

    def unload(self, key: ModelKey) -> None:
        self._loaded.pop(key, None)

    def measure(self) -> None:
        """Note what waits and what is loaded, for whoever watches the service."""
        monitoring = self._monitoring
        monitoring.decoding_images.set(self._decoder.waiting)
        monitoring.models_loaded.set(len(self._loaded))
        monitoring.models_bytes.set(self.size_bytes)
        # Versions of one model share a name, and the last value would hide the others.
        names = {model.key.name for model in self.models}
        for name in names | self._measured:
            batchers = [model.batcher for model in self.models if model.key.name == name]
            waiting = sum(batcher.waiting_items for batcher in batchers)
            ages = [batcher.oldest_wait_seconds for batcher in batchers]
            monitoring.queue_images.labels(name).set(waiting)
            monitoring.queue_age_seconds.labels(name).set(max(ages, default=0.0))
        self._measured = names

    def close(self) -> None:
        for task in self._loading.values():
            task.cancel()
        self._loaded.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._decoder.shutdown()

    def _end_loading(self, key: ModelKey, done: "asyncio.Task[LoadedModel]") -> None:
        del self._loading[key]
        if not done.cancelled():
            # Whoever still waits gets it as well; asyncio would log it as lost when nobody does.
            done.exception()

    async def _load(self, key: ModelKey) -> LoadedModel:
        predictor, tuned, size_bytes = await asyncio.to_thread(self._open, key)
        _logger.info("%s@%d runs on %s", key.name, key.version, tuned.describe())
        is_quick = tuned.batch_seconds < _QUICK_BATCH_SECONDS
        batcher = Batcher(
            predictor.predict,
            None if is_quick else self._executor,
            max_batch_items=tuned.batch_items,
            max_running_batches=tuned.parallel_batches,
            max_waiting_items=self._settings.predict_queue_images,
            observer=BatchObserver(self._monitoring, key.name),
        )
        settings = self._settings
        most_items = min(settings.predict_queue_images, settings.limit_request_images)
        model = LoadedModel(
            key, predictor, size_bytes, batcher, decoder=self._decoder, most_items=most_items
        )
        model.used_at = asyncio.get_running_loop().time()
        self._monitoring.model_loads.labels(key.name).inc()
        self._make_room(size_bytes)
        self._loaded[key] = model
        return model

    def _open(self, key: ModelKey) -> tuple[Predictor, TunedEngine, int]:
        """Read the artifact and return its predictor, warm, and the bytes of its network."""
        with self._database.reading() as session:
            manifest = models.get(session, key.name, key.version).manifest
            network = self._artifacts.read(session, key.artifact_id, "model.onnx")
        shape = read_input_shape(manifest)
        tuned = load_engine(
            network,
            (shape.height, shape.width, shape.channels),
            self._settings.predict_batch_images,
        )
        # Reading, parsing and measuring used several times the size of the network.
        release_freed_memory()
        predictor = Predictor(manifest, tuned.engine, self._settings.limit_image_pixels)
        return predictor, tuned, len(network)

    def _make_room(self, size_bytes: int) -> None:
        """Let the least recently used go until `size_bytes` more fit, or none is left."""
        while self._loaded and self.size_bytes + size_bytes > self._settings.predict_models_bytes:
            oldest = min(self._loaded.values(), key=lambda model: model.used_at)
            self.unload(oldest.key)
