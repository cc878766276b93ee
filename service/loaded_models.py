"""Which model a request means: `name`, `name@3`, `name@production`, or none at all.

References are resolved once and then watched: a request finds its model in a dictionary, and a
new version or a moved alias takes its place there when it is loaded and warm.
"""

import asyncio
import logging
from collections.abc import Sequence

from service.model_cache import LoadedModel, ModelCache, ModelKey
from service.tasks import end_task
from store import models
from store.database import ChangeDetector, Database
from store.errors import NotFoundError, TenfoldError

_logger = logging.getLogger(__name__)

REFRESH_INTERVAL_SECONDS = 0.25
# Clients choose the references, so their number is bounded.
_MOST_REFERENCES = 1_000


class LoadedModels:
    """Finds models by reference. Belongs to one event loop; `start` and `stop` it there."""

    def __init__(self, database: Database, cache: ModelCache) -> None:
        self.cache = cache
        self._database = database
        self._detector = ChangeDetector(database)
        self._by_reference: dict[str | None, LoadedModel] = {}
        self._loop = asyncio.get_running_loop()
        self._refreshing = asyncio.Lock()
        self._refreshes = 0
        self._is_stale = False
        self._unloadable: set[ModelKey] = set()
        self._unloaded: set[ModelKey] = set()
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
        await end_task(self._watch)
        self.cache.close()
        self._detector.close()

    async def find(self, reference: str | None) -> LoadedModel:
        """Return the model of a reference; without one, the newest. Load it on its first use.

        Raises NotFoundError (`no_model`, `model_not_found`), and ArtifactError where its stored
        bytes are damaged.
        """
        model = self._by_reference.get(reference)
        if model is None or model.key not in self.cache:
            model = await self._find_new(reference)
        model.used_at = self._loop.time()
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

    def refresh_from_thread(self) -> None:
        """Take up changes before this returns. For the threads that sync routes run in."""
        asyncio.run_coroutine_threadsafe(self._try_refresh(), self._loop).result()

    async def resolve(self, reference: str) -> ModelKey:
        """Return what a reference means now, without loading it. Raises NotFoundError."""
        return await asyncio.to_thread(self._resolve, reference)

    def unload(self, key: ModelKey) -> None:
        """Free the memory of a model. The next request for it loads it again."""
        self.cache.unload(key)
        self._unloaded.add(key)
        self._forget_unloaded()

    def is_unloaded(self, key: ModelKey) -> bool:
        """Tell whether `unload` was called on the model, and nobody has used it since."""
        return key in self._unloaded

    async def _find_new(self, reference: str | None) -> LoadedModel:
        """Resolve and load; again when a refresh came between, which did not see this one."""
        while True:
            refreshes = self._refreshes
            key = await asyncio.to_thread(self._resolve, reference)
            model = await self.cache.load(key)
            if refreshes == self._refreshes:
                break
        self._unloaded.discard(model.key)
        self._forget_unloaded()
        if len(self._by_reference) >= _MOST_REFERENCES:
            del self._by_reference[next(iter(self._by_reference))]
        self._by_reference[reference] = model
        return model

    async def _watch_changes(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_SECONDS)
            self.cache.measure()
            await self._try_refresh()

    async def _try_refresh(self) -> None:
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
            self._by_reference[reference] = await self.cache.load(key)
        except TenfoldError:
            _logger.exception("%s keeps serving, because %s cannot be loaded", present.key, key)
            self._unloadable.add(key)

    def _forget_unloaded(self) -> None:
        """Let go of the references to models that have left the cache."""
        for reference, model in list(self._by_reference.items()):
            if model.key not in self.cache:
                del self._by_reference[reference]

    def _resolve(self, reference: str | None) -> ModelKey:
        with self._database.reading() as session:
            return ModelKey.of(models.resolve(session, reference))

    def _resolve_all(self, references: Sequence[str | None]) -> dict[str | None, ModelKey | None]:
        found: dict[str | None, ModelKey | None] = {}
        with self._database.reading() as session:
            for reference in references:
                try:
                    found[reference] = ModelKey.of(models.resolve(session, reference))
                except NotFoundError:
                    found[reference] = None
        return found
