"""Bounds on a connection before there is a request to route: slow, large and many ones.

uvicorn has no deadline for receiving a request and no limit on its header, so a thousand clients
that send a byte a minute would hold a thousand descriptors for good.
"""

import asyncio
import resource
from dataclasses import dataclass

from service.monitoring import Monitoring
from store.settings import Settings

_SWEEP_INTERVAL_SECONDS = 0.5
# Descriptors that the process needs for itself: databases, models, logs.
_OWN_DESCRIPTORS = 128


@dataclass(frozen=True)
class ConnectionLimits:
    """What one process grants its clients."""

    connections: int
    header_bytes: int
    header_seconds: float
    upload_seconds: float
    upload_bytes_per_second: float
    reply_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        return cls(
            connections=min(settings.limit_connections, _raise_descriptor_limit()),
            header_bytes=settings.limit_header_bytes,
            header_seconds=settings.limit_header_seconds,
            upload_seconds=settings.limit_upload_seconds,
            upload_bytes_per_second=settings.limit_upload_bytes_per_second,
            reply_seconds=settings.limit_reply_seconds,
        )


class Connection:
    """What `Connections` needs of one; `service/http_protocol.py` has the whole of it."""

    loop: asyncio.AbstractEventLoop

    def check_progress(self, now: float) -> None:
        """End the connection where it is too slow. `now` is the loop's time in seconds."""
        raise NotImplementedError

    def abort(self) -> None:
        """End the connection at once."""
        raise NotImplementedError


class Connections:
    """Those of one process that wait for their clients. Belongs to one event loop."""

    def __init__(self, limits: ConnectionLimits, monitoring: Monitoring) -> None:
        self.limits = limits
        self._refusals = monitoring.refusals
        # In the order in which they began to wait.
        self._waiting: dict[Connection, None] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def watch(self, connection: Connection) -> None:
        self._waiting[connection] = None
        if self._sweeper is None:
            self._sweep_later(connection.loop)

    def forget(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    def count_refusal(self, code: str) -> None:
        self._refusals.labels(code).inc()

    def make_room(self) -> bool:
        """End the connection that has waited longest for its client; False when none waits."""
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self.forget(longest)
        longest.abort()
        return True

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeper = loop.call_later(_SWEEP_INTERVAL_SECONDS, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._waiting):
            connection.check_progress(now)
        self._sweeper = None
        if self._waiting:
            self._sweep_later(loop)


def _raise_descriptor_limit() -> int:
    """Raise the limit of open files as far as it goes; return how many connections fit under it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(_OWN_DESCRIPTORS, hard - _OWN_DESCRIPTORS)
