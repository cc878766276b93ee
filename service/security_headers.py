"""Headers that tell browsers what a reply may be used for, on every reply; and CORS."""

from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A reply that is a page has a policy of its own; all others are no pages.
API_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_ENCODED = [(name.encode(), value.encode()) for name, value in API_HEADERS.items()]
_NAMES = frozenset(name for name, _ in _ENCODED)

_METHODS = ["GET", "POST", "PUT", "DELETE"]
_REQUEST_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Inference-Header-Content-Length",
    "Last-Event-ID",
    "Range",
]
_REPLY_HEADERS = [
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Inference-Header-Content-Length",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
]
_PREFLIGHT_SECONDS = 600


def cross_origin_options(origins: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of CORSMiddleware: these origins, and never a browser's credentials."""
    return {
        "allow_origins": list(origins),
        "allow_methods": _METHODS,
        "allow_headers": _REQUEST_HEADERS,
        "expose_headers": _REPLY_HEADERS,
        "allow_credentials": False,
        "max_age": _PREFLIGHT_SECONDS,
    }


class SecurityHeadersMiddleware:
    """Adds to each reply those headers that its route did not set."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = _NAMES.intersection(name for name, _ in headers)
                if present:
                    headers += [item for item in _ENCODED if item[0] not in present]
                else:
                    headers += _ENCODED
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)
