"""uvicorn's HTTP protocol, with bounds on the time and the header of a request and its reply."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from service.connections import Connection, Connections
from service.errors import build_problem

# Who is refused may still be sending, and would lose the answer if the connection closed at once:
# many clients read it only after their last byte.
LINGER_BYTES = 64 << 20
_LINGER_SECONDS = 5.0
# After an answer before the body's end, so much is read for the sake of the next request.
_REUSE_BYTES = 1 << 16
_HEAD_START = b"HTTP/"


class _Stage(Enum):
    """What the connection waits for."""

    REQUEST = auto()
    HEADER = auto()
    BODY = auto()
    REPLY = auto()


class _ReplyTransport:
    """What replies are written to: the head of each goes out together with its first bytes.

    uvicorn writes them one after the other, and each write is a system call that wakes the client.
    A head that is still alone when the event loop has its next turn goes alone.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.abort = transport.abort

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD_START):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")


class _LingeringTransport:
    """What the reply to a request with a body is written to: closing waits for the client."""

    def __init__(self, transport: _ReplyTransport, linger: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = linger


class BoundedHttpProtocol(HttpToolsProtocol, Connection):
    """One connection. Refuses requests whose header is too large, or that come too slowly.

    A reply that starts before the request's body is whole ends the connection, unless the rest is
    short: a client that has sent everything would take it for free while most is still unread.
    """

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._watched = connections
        self._limits = connections.limits
        self._lingers = False
        self._began_at = 0.0
        # When the client was answered although it had not sent its whole request.
        self._answered_at: float | None = None
        # Since when the client has read nothing of a reply that is longer than the buffers.
        self._unread_since: float | None = None
        self._parsed_header_bytes = 0
        self._begin(_Stage.REQUEST)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport: _ReplyTransport = _ReplyTransport(transport, self.loop)  # type: ignore[assignment]
        if len(self.connections) > self._limits.connections and not self._watched.make_room():
            self._refuse("too_many_connections")
        self._watched.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watched.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._discard(data):
            return
        before, cycle_before = self._stage, self.cycle
        super().data_received(data)
        if self._lingers:
            return
        # What ends one request and begins the next is not counted for the next.
        if self._stage is before or before in {_Stage.REQUEST, _Stage.HEADER}:
            self._stage_bytes += len(data)
        if self._stage is _Stage.REPLY:
            if self._unread_since is None:
                self._watched.forget(self)
        elif self._stage is _Stage.HEADER and self._stage_bytes > self._limits.header_bytes:
            # The parser tells of a line once it is whole, and this one may never be.
            self._refuse("header_too_large")
        elif self._stage is _Stage.BODY and self.cycle is not cycle_before:
            self._expect_rest()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since = self.loop.time()
        self._watched.watch(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since = None
        if self._stage is _Stage.REPLY:
            self._watched.forget(self)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin(_Stage.HEADER)
        self._parsed_header_bytes = 0
        self._watched.watch(self)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_header(len(name) + len(value) + len(b": \r\n"))

    def on_headers_complete(self) -> None:
        self._begin(_Stage.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stage = _Stage.REPLY
        self.cycle.default_headers = self.server_state.default_headers
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The newest request: those that were sent behind this one may still wait for their replies.
        if self._stage is _Stage.REPLY and self.cycle.response_complete:
            self._begin(_Stage.REQUEST)
            self._watched.watch(self)

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this when the parser stops; `msg` is not for the client."""
        is_too_large = self._parsed_header_bytes > self._limits.header_bytes
        self._refuse("header_too_large" if is_too_large else "malformed_request")

    def check_progress(self, now: float) -> None:
        seconds = now - self._began_at
        if self._unread_since is not None:
            if now - self._unread_since > self._limits.reply_seconds:
                self._watched.count_refusal("reply_not_read")
                self.abort()
        elif self._lingers or self._is_answered_early():
            self._answered_at = self._answered_at or now
            if now - self._answered_at > _LINGER_SECONDS:
                self.abort()
        elif self._stage is _Stage.BODY:
            if self._is_too_slow(seconds):
                self._refuse("upload_too_slow")
        elif seconds > self._limits.header_seconds:
            if self._stage is _Stage.HEADER:
                self._refuse("header_too_slow")
            else:
                self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def _is_answered_early(self) -> bool:
        return self._stage is _Stage.BODY and self.cycle.response_complete

    def _begin(self, stage: _Stage) -> None:
        self._stage = stage
        self._answered_at = None
        self._began_at = self.loop.time()
        self._stage_bytes = 0

    def _count_header(self, count: int) -> None:
        self._parsed_header_bytes += count
        if self._parsed_header_bytes > self._limits.header_bytes:
            # The parser stops, and `send_400_response` is called.
            raise ValueError("the header is too large")

    def _is_too_slow(self, seconds: float) -> bool:
        if seconds > self._limits.upload_seconds:
            return True
        # While reading is paused the client waits for us.
        due = seconds * self._limits.upload_bytes_per_second
        is_behind = seconds > self._limits.header_seconds and self._stage_bytes < due
        return is_behind and not self.flow.read_paused

    def _expect_rest(self) -> None:
        """Prepare for a reply that starts before the body is whole. It has not started yet."""
        self.cycle.transport = _LingeringTransport(self.transport, self._linger)  # type: ignore[assignment]
        announced = dict(self.headers).get(b"content-length")
        if announced is None or int(announced) > _REUSE_BYTES:
            closing = [*self.server_state.default_headers, (b"connection", b"close")]
            self.cycle.default_headers = closing

    def _linger(self) -> None:
        """Close when the client has read the answer, or soon after."""
        if self._stage is not _Stage.BODY:
            self.transport.close()
        elif not self._lingers:
            self._begin_lingering()
            if not self.transport.is_closing():
                self.transport.write_eof()

    def _begin_lingering(self) -> None:
        """Discard whatever else the client sends."""
        self._lingers = True
        self._stage_bytes = 0

    def _discard(self, data: bytes) -> bool:
        if self._lingers:
            self._stage_bytes += len(data)
            if self._stage_bytes > LINGER_BYTES:
                self.abort()
        return self._lingers

    def _refuse(self, code: str) -> None:
        """Answer with a problem, and close when the client has read it, or soon after."""
        self._begin_lingering()
        self._watched.count_refusal(code)
        # The type leaves out that there is no cycle before the first request.
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]
            if self.cycle.response_started:
                self.abort()
                return
            # Whatever works for this request hears that its client has left.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        problem = build_problem(code, self._explain(code), headers={"Connection": "close"})
        head = b"".join(name + b": " + value + b"\r\n" for name, value in problem.raw_headers)
        self.transport.write(STATUS_LINE[problem.status_code] + head + b"\r\n" + problem.body)
        self.transport.write_eof()

    def _explain(self, code: str) -> str:
        limits = self._limits
        return {
            "too_many_connections": f"All {limits.connections:,} connections are in use: "
            "try again in a second.",
            "malformed_request": "The bytes are no HTTP/1.1 request: use an HTTP client.",
            "header_too_large": f"The header is larger than the {limits.header_bytes:,} bytes "
            "that are accepted: send a shorter address and fewer header fields.",
            "header_too_slow": f"The header was not there within {limits.header_seconds:g} s: "
            "send it at once.",
            "upload_too_slow": f"The body must come at {limits.upload_bytes_per_second:,g} bytes "
            f"a second or faster, and within {limits.upload_seconds:g} s: send less at once, "
            "or over a faster line.",
        }[code]
