"""An HTTP proxy in front of the real service that loses, delays and damages what it is told to."""

import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import httpx

# Headers that are about one connection only.
_HOP_HEADERS = {"connection", "content-length", "host", "transfer-encoding"}
Change = Callable[[bytes], bytes]


class UnreliableProxy:
    """Each request takes the next of `faults`; without one it passes.

    `lose_reply`: the service gets the request, the client no reply. `busy`: 503 without asking
    the service. `cut`: half of the reply. `cut_after_event`: a stream that ends after one event.
    A function changes the body of the reply.
    """

    def __init__(self, upstream: str) -> None:
        self.faults: deque[str | Change | None] = deque()
        self.requests: list[str] = []
        self.retry_after = "0"
        self._http = httpx.Client(base_url=upstream, timeout=60)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy._handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing to tell."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._http.close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append(f"{handler.command} {handler.path}")
        fault = self.faults.popleft() if self.faults else None
        if fault == "busy":
            self._refuse(handler)
            return
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in _HOP_HEADERS}
        request = self._http.build_request(
            handler.command, handler.path, content=body, headers=headers
        )
        if fault == "cut_after_event":
            self._cut_stream(handler, request)
            return
        reply = self._http.send(request)
        if fault == "lose_reply":
            handler.close_connection = True
            return
        content = fault(reply.content) if callable(fault) else reply.content
        handler.send_response(reply.status_code)
        for name, value in reply.headers.items():
            if name.lower() not in _HOP_HEADERS:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if fault == "cut":
            handler.wfile.write(content[: len(content) // 2])
            handler.close_connection = True
        else:
            handler.wfile.write(content)

    def _refuse(self, handler: BaseHTTPRequestHandler) -> None:
        problem = {"type": "/problems/overloaded", "title": "Too much", "status": 503}
        content = json.dumps(problem | {"detail": "Try again.", "code": "overloaded"}).encode()
        handler.send_response(503)
        handler.send_header("Content-Type", "application/problem+json")
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("Retry-After", self.retry_after)
        handler.end_headers()
        handler.wfile.write(content)

    def _cut_stream(self, handler: BaseHTTPRequestHandler, request: httpx.Request) -> None:
        reply = self._http.send(request, stream=True)
        handler.send_response(reply.status_code)
        handler.send_header("Content-Type", reply.headers["Content-Type"])
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        received = b""
        for chunk in reply.iter_bytes():
            received += chunk
            if b"\n\n" in received:
                break
        handler.wfile.write(received[: received.index(b"\n\n") + 2])
        reply.close()
