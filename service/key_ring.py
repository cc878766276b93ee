"""The API keys in memory, so that no request waits for the database; changes arrive in a second."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, time

from service.scopes import Scopes
from service.tasks import end_task
from store import keys
from store.clock import utc_now
from store.database import ChangeDetector, Database
from store.errors import DatabaseError
from store.keys import Scope
from store.tables import ApiKey

_logger = logging.getLogger(__name__)

# The longest time for which a revoked key is still taken, while the database can be read.
REFRESH_INTERVAL_SECONDS = 1.0
# An id that is not known here may be new; whoever makes ids up causes no more reads than this.
_SHORTEST_REFRESH_SECONDS = 0.25
# How often `last_used_at` is written, and so how exact it is.
USES_INTERVAL_SECONDS = 60.0
# A key that has rested may send this many seconds' worth of requests at once.
BURST_SECONDS = 5.0


class KeyRefusedError(Exception):
    """The key is not taken; the message says why without repeating it."""


@dataclass(slots=True)
class HeldKey:
    """One key as requests need it."""

    id: str
    scopes: Scopes
    secret_sha256: str
    expires_at: datetime | None
    is_revoked: bool


@dataclass(slots=True)
class TokenBucket:
    """Lets `per_second` requests through on average, and at most `capacity` at once."""

    per_second: float
    capacity: float
    tokens: float = field(init=False)
    filled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.capacity
        self.filled_at = monotonic()

    def take(self) -> float:
        """Take one token and return 0, or return the seconds until there is one."""
        now = monotonic()
        gained = (now - self.filled_at) * self.per_second
        self.tokens = min(self.capacity, self.tokens + gained)
        self.filled_at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.per_second


class KeyRing:
    """Finds keys. Belongs to one event loop; `start` and `stop` it there.

    `is_always_closed` asks for a key even while there is none; otherwise the first key closes.
    """

    def __init__(
        self, database: Database, *, is_always_closed: bool, requests_per_second: float
    ) -> None:
        self._database = database
        self._detector = ChangeDetector(database)
        self._is_always_closed = is_always_closed
        self._requests_per_second = requests_per_second
        self._keys: dict[str, HeldKey] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._used: set[str] = set()
        self._fault: DatabaseError | None = DatabaseError("The keys have not been read yet.")
        self._is_stale = True
        self._refreshing = asyncio.Lock()
        self._catching_up = asyncio.Lock()
        self._refreshed_at = 0.0
        self._watch: asyncio.Task[None] | None = None

    @property
    def needs_keys(self) -> bool:
        """Whether requests need a key. Raises DatabaseError while no keys could be read."""
        if self._is_always_closed:
            return True
        if self._fault is not None:
            raise self._fault
        return bool(self._keys)

    async def start(self) -> None:
        await self._try_refresh()
        self._watch = asyncio.create_task(self._watch_changes())

    async def stop(self) -> None:
        await end_task(self._watch)
        await self._write_uses()
        self._detector.close()

    async def identify(self, text: str) -> HeldKey:
        """Return the key that a client presents. Raises KeyRefusedError."""
        presented = keys.read_key(text)
        if presented is None:
            raise KeyRefusedError(
                "What was sent is no API key of Tenfold: those begin with `tenfold_`."
            )
        held = self._keys.get(presented.id)
        if held is None:
            await self._catch_up()
            held = self._keys.get(presented.id)
        if held is None or not keys.is_secret_of(presented.secret, held.secret_sha256):
            raise KeyRefusedError("The API key is not known here.")
        if held.is_revoked:
            raise KeyRefusedError("The API key was revoked.")
        if held.expires_at is not None and held.expires_at.timestamp() <= time():
            raise KeyRefusedError("The API key has expired.")
        self._used.add(held.id)
        return held

    def count_request(self, key: HeldKey) -> float:
        """Count a request of a key; return 0, or the seconds to wait where it has sent too many."""
        if not self._requests_per_second:
            return 0.0
        bucket = self._buckets.get(key.id)
        if bucket is None:
            rate = self._requests_per_second
            bucket = self._buckets[key.id] = TokenBucket(rate, max(1.0, rate * BURST_SECONDS))
        return bucket.take()

    async def refresh(self) -> None:
        """Take up what was created or revoked since the last time. Raises DatabaseError."""
        async with self._refreshing:
            began_at = monotonic()
            try:
                if await asyncio.to_thread(self._detector.detect) or self._is_stale:
                    self._is_stale = True
                    rows = await asyncio.to_thread(self._read)
                    self._keys = {row.id: _hold(row) for row in rows}
                    self._is_stale = False
                    self._fault = None
            finally:
                self._refreshed_at = began_at

    async def _catch_up(self) -> None:
        """Read what was created up to now; those who ask at the same time share one read."""
        asked_at = monotonic()
        await asyncio.sleep(max(0.0, self._refreshed_at + _SHORTEST_REFRESH_SECONDS - asked_at))
        async with self._catching_up:
            if self._refreshed_at < asked_at:
                await self._try_refresh()

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
        except DatabaseError as error:
            if self._fault is not None:
                self._fault = error
            _logger.warning("The API keys cannot be read; trying again: %s", error.message)

    async def _watch_changes(self) -> None:
        written_at = monotonic()
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_SECONDS)
            await self._try_refresh()
            if monotonic() - written_at >= USES_INTERVAL_SECONDS:
                written_at = monotonic()
                await self._write_uses()

    async def _write_uses(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        try:
            await asyncio.to_thread(self._note_uses, dict.fromkeys(used, utc_now()))
        except DatabaseError as error:
            self._used |= used
            _logger.warning("The last use of API keys cannot be written: %s", error.message)

    def _note_uses(self, used_at: dict[str, datetime]) -> None:
        with self._database.writing() as session:
            keys.note_uses(session, used_at)

    def _read(self) -> Sequence[ApiKey]:
        with self._database.reading() as session:
            return keys.list_all(session)


def _hold(row: ApiKey) -> HeldKey:
    return HeldKey(
        id=row.id,
        scopes=frozenset(map(Scope, row.scopes)),
        secret_sha256=row.secret_sha256,
        expires_at=row.expires_at,
        is_revoked=row.revoked_at is not None,
    )
